"""What one delivery of a command does on an appliance, so that attempts are counted truly."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _just_now() -> float:
    return 0.0


@dataclass
class Visit:
    """What was done so far.

    Attributes:
        requests: how many were sent, logins included.
        status: of the answer to the last request; None if it was not answered.
        session_told: the event log says which session it goes over.
        write_age: tells how many seconds ago its write was announced; infinitely many if another
            replica may have got the right to write meanwhile.
        busy_until: until when its requests may take, by the loop's clock.
    """

    requests: int = 0
    status: int | None = None
    session_told: bool = False
    write_age: Callable[[], float] = field(default=_just_now, repr=False)
    busy_until: float = 0.0

    def note_request(self, longest: float) -> None:
        """Note that a request is sent, which ends after so many seconds at the latest."""
        self.requests += 1
        self.status = None  # until this one is answered
        self.busy_until = max(self.busy_until, asyncio.get_running_loop().time() + longest)


visit: ContextVar[Visit | None] = ContextVar("visit", default=None)
"""The visit of the command that is being run here; None for whoever asks without one."""


def note_session() -> bool:
    """Note that the event log says which session is used; tell whether it had still to be said."""
    current = visit.get()
    if current is None or current.session_told:
        return False
    current.session_told = True
    return True


def current_visit() -> Visit:
    """Give the visit that was begun for the command that is being run here, or a new one."""
    return visit.get() or Visit()
