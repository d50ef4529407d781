"""The gate: the contracts as they are, against those that were published last.

Against the last ones only: what keeps the promises of each version in turn keeps them of all, and a
draft that broke with the one before it has done so once and for all.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml
from jsonschema import Draft202012Validator

from deploy.compatibility.rules import Finding, Place, Rule
from deploy.compatibility.schemas import compared
from deploy.compatibility.versions import ASYNCAPI, FOLDER, changed, contracts, examples, newest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from deploy.compatibility.trees import Json


def findings(folder: Path) -> list[Finding]:
    """Say what the contracts in a folder break of the version that was published last.

    Raises:
        NotPublished: none was.
        OSError, ValueError: a file cannot be read.
    """
    copy = folder / FOLDER / newest(folder)
    found = {*changed(folder), *_channels(copy / ASYNCAPI, folder / ASYNCAPI)}
    today = contracts(folder)
    for name, old in contracts(copy).items():
        if name in today:
            found |= {*_contract(name, old, today[name])}
        else:
            found.add(Finding(name, Rule.CONTRACT_REMOVED))
    return sorted(found)


def _contract(name: str, old: Path, new: Path) -> Iterator[Finding]:
    before, after = _json(old), _json(new)
    yield from compared(name, before, after)
    # The same once more, by other means: what the walk should have missed, a message may show. That
    # a reader ignores what it does not know needs no help, as published events are open objects.
    yield from _judged(name, after, examples(old), Rule.EXAMPLE_REFUSED)
    if not name.startswith("commands/"):
        yield from _judged(name, before, examples(new), Rule.EXAMPLE_UNREADABLE)


def _judged(name: str, schema: Json, files: Iterable[Path], rule: Rule) -> Iterator[Finding]:
    judge = Draft202012Validator(schema)
    for file in files:
        for error in judge.iter_errors(_json(file)):
            place = Place(name)
            for key in error.absolute_path:
                place = place.below(str(key))
            yield place.breaks(rule, file.name)


def _channels(old: Path, new: Path) -> Iterator[Finding]:
    """Compare the addresses and bindings of the AsyncAPI document."""
    texts = [file.read_text("utf-8") for file in (old, new)]
    # Reading YAML takes longer than all the rest, and mostly there is nothing to see.
    if texts[0] == texts[1]:
        return
    before, after = (yaml.safe_load(text)["channels"] for text in texts)
    for name, channel in before.items():
        for promise in ("address", "bindings"):
            if channel.get(promise) != after.get(name, {}).get(promise):
                yield Finding(f"{ASYNCAPI} /channels/{name}/{promise}", Rule.CHANNEL_CHANGED)


def _json(file: Path) -> Json:
    return dict(json.loads(file.read_text("utf-8")))
