"""Sorts the event log's lines into commands' stories, and forgets a story when it was given out."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from service.eventlog.reading import Line

    Fields = Mapping[str, object]

Key: TypeAlias = tuple[str, str, str]

HELD = 32 * 1024 * 1024
"""Characters of unfinished stories that are held; then the one that is silent longest goes."""
LONGEST = 1_000
"""Lines of one story; a longer one is given out in parts."""
_LINGERING = 64
"""Stories that have ended and may get another line: that a reply was ignored, a second telling."""


@dataclass
class _Story:
    """The lines of one command, as they were written: that is a tenth of them as objects."""

    lines: list[str] = field(default_factory=list)
    wanted: bool = False
    size: int = 0


class Stories:
    """Takes lines, gives stories.

    Args:
        wants: tells which lines make a story worth telling.
        held: how much is held of stories that have no end yet.
    """

    def __init__(self, wants: Callable[[Line], bool], *, held: int = HELD) -> None:
        """Begin with none."""
        self._wants = wants
        self._most = held
        self._held = 0
        self._open: OrderedDict[Key, _Story] = OrderedDict()
        self._ended: OrderedDict[Key, _Story] = OrderedDict()

    def add(self, line: Line) -> Iterator[list[Fields]]:
        """Take a line; give the stories that end by it, or must be given up because of it."""
        fields = line.fields
        if "command_id" not in fields:
            return
        key = _key(fields)
        if fields["event"] == "command-received" and key in self._ended:
            yield from self._give(self._ended, key)  # it is asked again: another story
        at = self._ended if key in self._ended else self._open
        story = at.setdefault(key, _Story())
        story.lines.append(line.json)
        story.size += len(line.json)
        story.wanted |= self._wants(line)
        self._held += len(line.json)
        at.move_to_end(key)
        if fields["event"] == "result-told" and at is self._open:
            self._ended[key] = self._open.pop(key)
        if len(story.lines) >= LONGEST:
            yield from self._give(self._ended if key in self._ended else self._open, key)
        if len(self._ended) > _LINGERING:
            yield from self._give(self._ended, next(iter(self._ended)))
        while self._held > self._most:
            oldest = self._open or self._ended
            yield from self._give(oldest, next(iter(oldest)))

    def ended(self) -> Iterator[list[Fields]]:
        """Give those that have ended: nothing more is to be expected just now."""
        while self._ended:
            yield from self._give(self._ended, next(iter(self._ended)))

    def rest(self) -> Iterator[list[Fields]]:
        """Give what is left, finished or not."""
        yield from self.ended()
        while self._open:
            yield from self._give(self._open, next(iter(self._open)))

    def _give(self, stories: OrderedDict[Key, _Story], key: Key) -> Iterator[list[Fields]]:
        story = stories.pop(key)
        self._held -= story.size
        if story.wanted:
            yield [json.loads(line) for line in story.lines]


def _key(fields: Fields) -> Key:
    """Tell commands apart: their ids alone need not differ between sources."""
    return str(fields["command_id"]), str(fields.get("command_type")), str(fields.get("appliance"))
