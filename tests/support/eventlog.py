"""Holds every line of the event log against its contract, and more strictly than a reader may.

Readers ignore slugs and fields that they do not know; a test run does not: whoever writes a new one
writes it into `contracts/event-log/v1.schema.json` first. Nothing here imports the service.
"""

import json
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from jsonschema import Draft202012Validator

Json: TypeAlias = dict[str, Any]

CONTRACT: Final = Path(__file__).parents[2] / "contracts" / "event-log" / "v1.schema.json"
SCHEMA: Final[Json] = json.loads(CONTRACT.read_text("utf-8"))
SLUGS: Final[Json] = SCHEMA["$defs"]
ABOUT: Final = frozenset({"command_id", "command_type", "correlation_id", "appliance", "trace_id"})
"""Fields that any line has which is written for a command."""
_BEGINS: Final = '{"timestamp": "'

noticed: Final[list[str]] = []
"""What is wrong with lines of processes; by that the test fails which is running then."""


def fields_of(slug: str) -> frozenset[str]:
    """Every field that a line with this slug may have."""
    own = SLUGS[slug]
    return frozenset({*SCHEMA["required"], *own["properties"], *own["required"], *ABOUT})


def defects(line: Json, *, below: bool = False) -> list[str]:
    """Say what is wrong with a line.

    Args:
        line: its fields.
        below: it was told by a part of the service on its own, which knows no command around it.
    """
    slug = str(line.get("event"))
    found = _defects_of_shape(slug, str(line.get("level")), frozenset(line), below)
    if slug in SLUGS:
        found += tuple(
            f"{name} is {value!r}"
            for name, value in line.items()
            if name != "level" and not _fits(slug, name, value)
        )
    return [f"{slug}: {defect}" for defect in found]


def of_text(text: str) -> Json | None:
    """Read a line of the event log; None for whatever else a program writes.

    That is also the last line of a program that was killed while it wrote it.
    """
    if not text.startswith(_BEGINS) or not text.endswith("}"):
        return None
    line: Json = json.loads(text)
    return line


def notice(text: str, where: str) -> None:
    """Look at a line that a process wrote."""
    line = of_text(text)
    if line is not None:
        noticed.extend(f"{where}: {defect}" for defect in defects(line))


def fail_if_off_contract(report: pytest.TestReport) -> None:
    """Fail a test that, or whose processes, wrote a line which the contract does not know."""
    found, noticed[:] = noticed[:], []
    if report.when == "teardown":
        for title, written in report.sections:
            if title.startswith("Captured stdout"):
                found += [f"the {title}: {each}" for each in _defects_in(written.splitlines())]
    if found and report.passed:
        report.outcome = "failed"
        what = "the event log is not as its contract says:"
        report.longrepr = "\n".join([what, *dict.fromkeys(found)])


def _defects_in(texts: Iterable[str]) -> Iterator[str]:
    """Find what is wrong with lines that were told in process."""
    for text in texts:
        if (line := of_text(text)) is not None:
            yield from defects(line, below=True)


@cache
def _defects_of_shape(slug: str, level: str, names: frozenset[str], below: bool) -> tuple[str, ...]:
    """Find what is wrong whatever the values are: a run writes thousands of lines of few shapes."""
    if slug not in SLUGS:
        return ("is no documented slug",)
    allowed = SLUGS[slug]["properties"]["level"]
    required = {*SCHEMA["required"], *SLUGS[slug]["required"]} - (ABOUT if below else set())
    return (
        *([] if level in allowed.get("enum", [allowed.get("const")]) else [f"is told as {level}"]),
        *(f"lacks {name}" for name in sorted(required - names)),
        *(f"has {name}, which its contract does not know" for name in names - fields_of(slug)),
    )


def _fits(slug: str, name: str, value: object) -> bool:
    """Tell whether a value is one that the field may have."""
    if _is_any_text(slug, name):
        return isinstance(value, str)  # most are: looking is ten times faster than validating
    if isinstance(value, str | int | float):
        return _fits_again(slug, name, type(value).__name__, value)
    return _validator(slug, name).is_valid(value)


@lru_cache(maxsize=4096)
def _fits_again(slug: str, name: str, _: str, value: str | float) -> bool:
    # The type is part of the key: True is 1 is 1.0 otherwise.
    return _validator(slug, name).is_valid(value)


@cache
def _is_any_text(slug: str, name: str) -> bool:
    general, own = SCHEMA["properties"].get(name, {}), SLUGS[slug]["properties"].get(name, True)
    return own is True and set(general) == {"description", "type"} and general["type"] == "string"


@cache
def _validator(slug: str, name: str) -> Draft202012Validator:
    parts = (SCHEMA["properties"], SLUGS[slug]["properties"])
    return Draft202012Validator({"allOf": [part[name] for part in parts if name in part]})
