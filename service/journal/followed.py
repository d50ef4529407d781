"""One command as the journal follows it: where it is, how it ended, and its story's lines."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LINES = 40
"""Lines of one command's story; the last ones."""
REJECTED = "rejected"
"""How a message ends that is no valid command; the other ends are the conclusions."""
Key = tuple[str, str]

_TEXT = 300
_TRACEBACK = 1000
"""Characters of a text that are kept."""
_ELSEWHERE = frozenset(
    {"timestamp", "level", "event", "command_id", "command_type", "correlation_id", "appliance"}
    | {"trace_id"}
)
"""Fields that are the same on every line of a story, or stand in a place of their own."""


class State(StrEnum):
    """Where a command is."""

    RUNNING = "running"
    WAITING = "waiting"
    """In a retry queue of the broker."""
    ENDED = "ended"


@dataclass(slots=True)
class Line:
    """One line of a command's story; `at` in milliseconds since the epoch."""

    at: int
    level: str
    event: str
    fields: dict[str, int | float | str]


@dataclass(slots=True, eq=False)
class Followed:
    """A command, or a message that is none, as far as its lines have told.

    Attributes:
        number: the journal's own; ids may come more than once.
        received: when this process saw it first, in milliseconds since the epoch, as all instants.
        attempts: which try this is while it runs; else how many sent a request.
        conclusion: how it ended; `rejected` if it was no valid command.
        error: `error.code`, or why it was rejected, or why it waits.
        until: when it comes back from where it waits.
        duration: milliseconds since it was first received, by whichever process.
        repeated: its stored end was told again.
        changed: the journal's version at its last change.
        deliveries: how many of it are being looked at.
        left_out: older lines that are not kept any more.
    """

    number: int
    id: str
    type: str
    appliance: str
    received: int
    correlation_id: str = ""
    state: State = State.RUNNING
    attempts: int | None = None
    conclusion: str = ""
    error: str = ""
    until: int | None = None
    ended: int | None = None
    duration: int | None = None
    repeated: bool = False
    changed: int = 0
    deliveries: int = 0
    left_out: int = 0
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=LINES))

    @property
    def key(self) -> Key:
        """What its lines have in common."""
        return self.id, self.type

    def note(self, at: int, told: Mapping[str, object]) -> None:
        """Keep a line, but of what it says only what not every line of the command says."""
        self.left_out += len(self.lines) == LINES
        fields = {
            name: value if isinstance(value, int | float) else _kept(name, value)
            for name, value in told.items()
            if name not in _ELSEWHERE
        }
        self.lines.append(Line(at, str(told["level"]), str(told["event"]), fields))


def text(told: Mapping[str, object], name: str) -> str:
    """Read a field as text, cut to what is kept; empty if the line does not have it."""
    return str(told.get(name, ""))[:_TEXT]


def number(told: Mapping[str, object], name: str) -> int | None:
    """Read a field as a whole number; None if the line does not have it."""
    value = told.get(name)
    return round(value) if isinstance(value, int | float) else None


def _kept(name: str, value: object) -> str:
    if name == "exception":
        return str(value)[-_TRACEBACK:]  # what went wrong stands at its end
    return (", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))[:_TEXT]
