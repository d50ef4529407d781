"""The fence before a licence write: what must be true until its first byte is sent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from service.errors import Code, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from service.execution.intent import LedgerIntent
    from service.ledger import Right


class VirtualHostHold(Protocol):
    """The hold of a ledger on its virtual host; see `service.topology.ledger_hold`.

    Attributes:
        taken_over_at: when another ledger's hold ended and this one's began; None if none did.
    """

    taken_over_at: datetime | None

    @property
    def is_held(self) -> bool:
        """Tell whether no other ledger can serve the virtual host at this moment."""
        ...

    async def wait_until_held(self) -> None:
        """Return when the hold is confirmed, at once if it is."""
        ...


def write_fence(intent: LedgerIntent, right: Right, hold: VirtualHostHold) -> Callable[[], float]:
    """Return what tells the age of a write in seconds: infinite when it must not be sent any more.

    Raises:
        Waiting: the virtual host is not held, so not even the intent may be recorded.
    """
    if not hold.is_held:
        raise Waiting(Code.BUSY, "the virtual host is not held for this ledger at the moment")
    return lambda: intent.age if right.stands and hold.is_held else math.inf
