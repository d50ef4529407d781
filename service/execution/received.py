"""What one delivery brings to the execution, and what the execution may say to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from service.errors import Code
    from service.messages.commands import Command


@dataclass(frozen=True)
class Received:
    """A command as one delivery brought it.

    Attributes:
        received_at: when the courier first saw the command.
        delayed: it has waited in a retry queue since then.
        attempts: how many deliveries before this one sent a request, as far as they could say so.
        deliveries: how many brought this very message before, and did not come to their end.
        had_intent: a retry copy says that a write was announced.
        redelivered: this or an earlier process had it before.
        inherited: it was an earlier process, as far as the connection tells.
        last_error: why the delivery before this one did not finish it.
        known_since: since when there has been such a command, if the delivery tells; it may have
            been parked, and replayed, before it was received.
        expired: the broker says that its time is over.
    """

    command: Command
    received_at: datetime
    delayed: bool = False
    attempts: int = 0
    deliveries: int = 0
    had_intent: bool = False
    redelivered: bool = False
    inherited: bool = False
    last_error: Code | None = None
    known_since: datetime | None = None
    expired: bool = False


@dataclass(frozen=True)
class Retry:
    """The command comes back later.

    Attributes:
        delay: one of the configured delays, in seconds.
        attempts: how many deliveries have sent a request so far.
        intent: a write is announced and not settled.
        error: what went wrong last, if anything did.
    """

    delay: int
    attempts: int
    intent: bool
    error: Code | None
