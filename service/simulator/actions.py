"""The ways in which a request can go wrong, as data.

An action is written in JSON as its name and its fields: ``{"action": "reset", "when": "after"}``.
A ``Decision`` settles what the client gets; the others change it and let the next rule speak.
``when`` says on which side of the effect it happens: ``before`` it, so that nothing was done, or
``after`` it, so that the appliance did the work and the client does not hear so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from service.simulator.checks import FieldError, check

if TYPE_CHECKING:
    from collections.abc import Mapping

When = Literal["before", "after"]


@dataclass(frozen=True, kw_only=True)
class Action:
    """One way to go wrong; ``name`` is its name in JSON."""

    name: ClassVar[str]

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class Decision(Action):
    """An action that settles what the client gets: no further rule is asked."""

    when: When = "before"


@dataclass(frozen=True, kw_only=True)
class Answer(Decision):
    """Send another answer; with ``after``, what is not given is taken from the normal answer.

    ``repeat`` sends the body that many times, without announcing its length.
    """

    name: ClassVar[str] = "answer"
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    json: object = None
    repeat: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.body is not None and self.json is not None:
            raise FieldError("body", "cannot stand beside 'json'")


@dataclass(frozen=True, kw_only=True)
class Delay(Action):
    """Take ``seconds`` longer, before the effect or between the effect and the answer."""

    name: ClassVar[str] = "delay"
    seconds: float
    when: When = "before"


@dataclass(frozen=True, kw_only=True)
class Reset(Decision):
    """Drop the connection: a TCP reset, or with ``clean`` an orderly close, without an answer."""

    name: ClassVar[str] = "reset"
    clean: bool = False


@dataclass(frozen=True, kw_only=True)
class Truncate(Decision):
    """Announce more bytes than are sent (``keep`` of them, else half), then close."""

    name: ClassVar[str] = "truncate"
    keep: int | None = None
    when: When = "after"


@dataclass(frozen=True, kw_only=True)
class Hang(Decision):
    """Never answer, until the client goes away."""

    name: ClassVar[str] = "hang"


@dataclass(frozen=True, kw_only=True)
class ExpireSession(Action):
    """End all sessions: before the request is looked at, or after it was done."""

    name: ClassVar[str] = "expire-session"
    when: When = "before"


@dataclass(frozen=True, kw_only=True)
class RotateCookie(Action):
    """Give the session a new cookie with this answer; the old one is worth nothing any more."""

    name: ClassVar[str] = "rotate-cookie"


@dataclass(frozen=True, kw_only=True)
class PageCap(Action):
    """Give at most ``size`` rows, whatever ``pageSize`` says."""

    name: ClassVar[str] = "page-cap"
    size: int


@dataclass(frozen=True, kw_only=True)
class ShrinkPages(Action):
    """Give at most ``size`` rows, then ``step`` fewer on each further page, at least one."""

    name: ClassVar[str] = "shrink-pages"
    size: int
    step: int = 1


@dataclass(frozen=True, kw_only=True)
class DuplicateRows(Action):
    """Begin every page but the first ``count`` rows too early."""

    name: ClassVar[str] = "duplicate-rows"
    count: int


@dataclass(frozen=True, kw_only=True)
class Total(Action):
    """Lie about ``totalRemoteCount``: say ``value``, or the truth plus ``add``."""

    name: ClassVar[str] = "total"
    value: int | None = None
    add: int = 0


@dataclass(frozen=True, kw_only=True)
class EmptyPage(Action):
    """Give no row and promise more."""

    name: ClassVar[str] = "empty-page"


@dataclass(frozen=True, kw_only=True)
class Endless(Action):
    """Have another full page of new rows, always."""

    name: ClassVar[str] = "endless"


ACTIONS: Final[Mapping[str, type[Action]]] = {
    action.name: action
    for action in (
        *(Answer, Delay, Reset, Truncate, Hang, ExpireSession, RotateCookie),
        *(PageCap, ShrinkPages, DuplicateRows, Total, EmptyPage, Endless),
    )
}
"""Every action by its name in JSON."""
