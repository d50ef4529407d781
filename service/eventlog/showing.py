"""How a line of the event log, and the story of a command, look to a person.

Spans are pairs of text and style, as `rich.text.Text.assemble` takes them. Nothing in them is read
as markup, and nothing in them is a control character.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from rich.color import ColorSystem
from rich.style import Style

from service.eventlog.reading import harmless, instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.console import Console

    Fields = Mapping[str, object]

Span: TypeAlias = tuple[str, str]

LEVELS = {"debug": "dim", "info": "green", "warning": "yellow", "error": "red", "critical": "red"}
"""From the least to the greatest, with the colour of each."""
ABOUT = frozenset({"command_id", "command_type", "correlation_id", "appliance", "trace_id"})
"""What is the same on every line of a story."""
_AROUND = frozenset({"timestamp", "level", "event", "exception", "trace_id"})
_CONCLUSIONS = {"succeeded": "green", "unknown": "bold red"}
_NAMES_TYPE = frozenset({"command-received", "command-finished", "command-rejected"})
_TYPE = re.compile(r"courier\.(.+)\.v[0-9]+")
_PLAIN = re.compile(r'[^\s"=]+')
_COLOURS = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
}
_NEVER = datetime.fromtimestamp(0, UTC)
_ABSURD = 2**53
_SECOND, _MINUTE, _HOUR = 1_000, 60_000, 3_600_000


class Paint:
    """Turns spans into what a console can show; a hundred times faster than `Console.print`."""

    def __init__(self, console: Console) -> None:
        """See which colours the console has."""
        self._system = None if console.no_color else _COLOURS.get(console.color_system or "")
        self._styles: dict[str, Style] = {}

    def __call__(self, spans: Iterable[Span]) -> str:
        """Give one line, without its end."""
        return "".join(self._painted(text, style) for text, style in spans)

    def _painted(self, text: str, name: str) -> str:
        if not name or self._system is None:
            return text
        style = self._styles.setdefault(name, Style.parse(name))
        return style.render(text, color_system=self._system)


def line_spans(fields: Fields, *, hidden: frozenset[str] = frozenset()) -> list[list[Span]]:
    """Show a line: time of day, level, slug, the fields that matter; a traceback below it.

    Args:
        fields: the line's.
        hidden: names of fields that the reader knows already.
    """
    at = instant(fields.get("timestamp"))
    time = at.strftime("%H:%M:%S.") + f"{at.microsecond // 1000:03}" if at else "--:--:--.---"
    return [[(f"{time} ", "dim"), *_body(fields, hidden)], *_traceback(fields)]


def story_spans(steps: Sequence[Fields]) -> Iterator[list[Span]]:
    """Show what happened to one command: a header, then each step with the time since the first.

    Args:
        steps: the command's lines, in any order.
    """
    timed = _in_order(steps)
    yield _header(timed)
    first, before = timed[0][0], timed[0]
    for at, fields in timed:
        if before[1].get("event") == "command-delayed" and before[1] is not fields:
            gap = _span((at - before[0]).total_seconds() * _SECOND)
            yield [(f"{'...':>12}  waited {gap} in a retry queue", "cyan")]
        since = f"{(at - first).total_seconds() * _SECOND:>9.0f} ms  "
        yield [(since, "dim"), *_body(fields, ABOUT)]
        yield from _traceback(fields)
        before = at, fields
    if before[1].get("event") == "command-delayed":
        yield [(f"{'...':>12}  waits in a retry queue", "cyan")]
    yield []


def _in_order(steps: Sequence[Fields]) -> list[tuple[datetime, Fields]]:
    """Sort by time; what has none stays behind the line that it was written after."""
    known = [at for fields in steps if (at := instant(fields.get("timestamp")))]
    last, timed = (known or [_NEVER])[0], []
    for fields in steps:
        last = instant(fields.get("timestamp")) or last
        timed.append((last, fields))
    return sorted(timed, key=lambda step: step[0])


def _header(timed: Sequence[tuple[datetime, Fields]]) -> list[Span]:
    found: dict[str, object] = {}
    for _, fields in timed:
        found |= fields
    about = [str(found.get("command_id")), _type(found.get("command_type"))]
    about += [str(found["appliance"])] if "appliance" in found else []
    if found.get("correlation_id", about[0]) != about[0]:
        about.append(f"correlation {found['correlation_id']}")
    events = {fields.get("event") for _, fields in timed}
    began = timed[0][0].strftime("%Y-%m-%d %H:%M:%S UTC")
    end = _end(found, events)
    return [
        (harmless(about[0]), "bold"),
        (harmless(f"  {'  '.join(about[1:])}  "), ""),
        (harmless(end), _CONCLUSIONS.get(end, "yellow")),
        (f" {'in' if 'result-told' in events else 'after'} {_total(timed)}", ""),
        (f"  {began}", "dim"),
    ]


def _end(found: Fields, events: set[object]) -> str:
    if "conclusion" in found:
        return str(found["conclusion"])
    if "command-rejected" in events:
        return f"rejected ({found.get('reason')})"
    return "not finished"


def _total(timed: Sequence[tuple[datetime, Fields]]) -> str:
    """Say how long all of it took: what the end says of it, if the beginning is not here."""
    seen = (timed[-1][0] - timed[0][0]).total_seconds() * _SECOND
    ends = [fields for _, fields in timed if fields.get("event") == "command-finished"]
    said = ends[-1].get("duration_ms") if ends else 0
    return _span(max(seen, said if isinstance(said, int | float) and said < _ABSURD else 0))


def _body(fields: Fields, hidden: frozenset[str]) -> Iterator[Span]:
    level, slug = str(fields.get("level", "")), str(fields["event"])
    yield f"{harmless(level):<8}", LEVELS.get(level, "")
    told = [each for each in fields if each not in hidden and each not in _AROUND]
    told.sort(key=lambda each: each not in ABOUT)  # whose it is comes first
    shown = {name: text for name in told if (text := _shown(name, fields))}
    yield f"{harmless(slug):<20}" if shown else harmless(slug), "bold"
    for name, text in shown.items():
        yield f" {harmless(name)}=", "dim"
        yield harmless(text), _CONCLUSIONS.get(text, "yellow") if name == "conclusion" else ""


def _shown(name: str, fields: Fields) -> str:
    """Give a field's text; nothing for one that says nothing new."""
    value = fields[name]
    if name == "correlation_id" and value == fields.get("command_id"):
        return ""
    if name == "command_type":
        return _type(value) if fields["event"] in _NAMES_TYPE else ""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _type(value: object) -> str:
    """Shorten a command's type to its name, as the command line takes it."""
    found = _TYPE.fullmatch(str(value))
    return found[1] if found else str(value)


def _traceback(fields: Fields) -> Iterator[list[Span]]:
    if isinstance(text := fields.get("exception"), str):
        for line in text.splitlines():
            yield [(f"    {harmless(line)}", "red")]


def _span(milliseconds: float) -> str:
    """Write a duration as one reads it."""
    whole = round(milliseconds)
    if whole < _SECOND:
        return f"{whole} ms"
    if whole < 2 * _MINUTE:
        return f"{whole / _SECOND:.1f} s"
    if whole < 2 * _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE // _SECOND} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
