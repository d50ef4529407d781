"""Reads the event log back: the line in whatever stands around it, and text that harms no terminal.

A log passes through containers, files and other programs before somebody reads it. So nothing of it
is trusted: what is no line of the event log is text, and text has no control characters.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Control characters, those that turn the direction of writing or are not seen, and half characters.
_HARMFUL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of what was given to be read.

    Attributes:
        text: as it was written, whatever stands before the event log's object.
        json: that object as it was written; empty if there is none.
        fields: what it holds; nothing if there is none.
    """

    text: str
    json: str
    fields: Mapping[str, object]

    @property
    def time(self) -> datetime | None:
        """When it was told; None if that cannot be read."""
        return instant(self.fields.get("timestamp"))


def read(text: str) -> Line:
    """Find the event log's object in a line: it begins at the first brace and ends with the line.

    Container engines and `kubectl` put a name or a time before it. What has no `event` is none.
    """
    begin = text.find("{")
    if begin >= 0:
        try:
            fields = json.loads(text[begin:])
        except (ValueError, RecursionError):
            return Line(text, "", {})
        if isinstance(fields, dict) and isinstance(fields.get("event"), str):
            return Line(text, text[begin:].strip(), fields)
    return Line(text, "", {})


def instant(value: object) -> datetime | None:
    """Read a line's timestamp; None if it is none."""
    try:
        found = datetime.fromisoformat(value if isinstance(value, str) else "")
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


def harmless(text: str) -> str:
    """Spell out what a terminal would obey instead of showing."""
    return _HARMFUL.sub(lambda found: _SHORT.get(found[0]) or _spelt(found[0]), text)


def harmless_foreign(text: str) -> str:
    """Do so with a line of another program, of which colours and tabs are expected."""
    return harmless(_COLOUR.sub("", text).expandtabs())


def harmless_json(text: str) -> str:
    """Do so inside of JSON, whose meaning stays the same."""
    return _HARMFUL.sub(lambda found: " " if found[0] in _SHORT else _in_json(found[0]), text)


def _spelt(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"  # noqa: PLR2004  a byte


def _in_json(character: str) -> str:
    return json.dumps(character)[1:-1] if character > "\x7f" else f"\\u{ord(character):04x}"
