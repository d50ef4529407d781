"""What mutations begin with: every example and counterexample of a command, with canaries in them.

A canary is a secret by which a leak is found: all licences and files of the corpus are made of it.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.fuzz.trees import Node, of_json

CONTRACTS: Final = Path(__file__).parents[2] / "contracts" / "commands"
LICENCE: Final = "CNRY-CNRY-CNRY-CNRY-TA1L"
"""All but the last four characters may be told nowhere."""
FILE: Final = b"a canary in a file of licences \x00\xff 000000"
CONTENT: Final = base64.b64encode(FILE).decode()
SUM: Final = hashlib.sha256(FILE).hexdigest()
ID: Final = "fuzz-000000"
_SPOKEN: Final = re.compile(r"CNRY|" + "|".join((CONTENT[:8], CONTENT[8:16], "canary")))
TELLABLE: Final = ("id", "source", "type", "correlationid", "traceparent", "tracestate")
"""What events repeat: whoever puts a secret there tells it himself."""
PAIRS: Final = 4
"""Appliances of each kind on a stand."""
_WEIGHT: Final = 5
_LICENCE: Final = re.compile(r"[A-Za-z0-9]{4}(?:-[A-Za-z0-9]{4}){3,4}")


def tells(text: str) -> bool:
    """Say whether a text holds a part of a canary, in clear or as base64."""
    return _SPOKEN.search(text) is not None


def says_it_himself(body: bytes) -> bool:
    """Say whether a message holds a canary where events repeat what they are given."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(document, dict):
        return False
    data = document.get("data")
    repeated: list[Any] = [document.get(name) for name in TELLABLE]
    if isinstance(data, dict):
        file = data.get("file")
        repeated += [data.get("appliance"), file.get("name") if isinstance(file, dict) else None]
    return any(tells(each) for each in repeated if isinstance(each, str))


def documents(appliances: dict[str, str] | None = None) -> list[Node]:
    """Read the corpus.

    Args:
        appliances: what to call the appliances of the examples, by the first letters of a name.
    """
    return [_planted(of_json(json.loads(text)), appliances or {}) for text in _texts()]


def told_apart(body: bytes, number: int) -> bytes:
    """Give a message an id, a licence and a file of its own, where it has them whole."""
    file = FILE[:-6] + b"%06d" % number
    for old, new in (
        (ID.encode(), b"fuzz-%06d" % number),
        (LICENCE.encode(), b"CNRY-CNRY-%04d-%04d-TA1L" % divmod(number, 10_000)),
        (CONTENT.encode(), base64.b64encode(file)),
        (SUM.encode(), hashlib.sha256(file).hexdigest().encode()),
        (b'"fac-1"', b'"fac-%d"' % (number % PAIRS + 1)),
        (b'"fvc-1"', b'"fvc-%d"' % (number % PAIRS + 1)),
    ):
        body = body.replace(old, new)
    return body


def _texts() -> Iterator[str]:
    for path in sorted(CONTRACTS.glob("*/v1.*examples/*.json")):
        # What is valid leads further when it is changed a little.
        yield from [path.read_text("utf-8")] * (1 if "counter" in path.parent.name else _WEIGHT)


def _planted(node: Node, appliances: dict[str, str], name: str = "") -> Node:
    """Put the canaries in, and the appliances that there are."""
    if isinstance(node, list):
        return [_planted(each, appliances) for each in node]
    if isinstance(node, tuple):
        return tuple((key, _planted(each, appliances, key)) for key, each in node)
    return _planted_text(node, appliances, name) if isinstance(node, str) else node


def _planted_text(text: str, appliances: dict[str, str], name: str) -> str:
    if name == "appliance":
        return appliances.get(text[:3], text)
    if name == "id":
        return ID + text[4:] if appliances and len(text) > len(ID) else text
    if name == "content":
        return CONTENT
    if name == "sha256" and re.fullmatch("[0-9a-f]{64}", text):
        return SUM
    return _LICENCE.sub(lambda found: LICENCE[: len(found[0])], text)
