"""Which commands may be older than what the ledger knows.

A ledger knows nothing of what was done before it was created, nor of what was pruned, nor of what
was done while another ledger served the virtual host. A licence command that it does not know, and
that may have been run before, is never run on a guess.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from service.messages.wire import now

if TYPE_CHECKING:
    from datetime import datetime

    from service.execution.fence import VirtualHostHold
    from service.execution.plans import Plan
    from service.execution.received import Received
    from service.ledger import Entry, Ledger

_MAX_SEEN = 10_000
"""Commands that are remembered while the ledger is new."""
_KEPT = timedelta(days=29)
"""Every ledger keeps results for longer: the shortest `COURIER_LEDGER_RETENTION` is 30 days."""
_TAKEOVER_LASTS = timedelta(hours=1)
"""How long after a takeover a redelivered command without any time counts as older than that."""


class LedgerHorizon:
    """Tells commands that may predate the ledger.

    Args:
        ledger: which is asked about commands.
        hold: of that ledger.
    """

    def __init__(self, ledger: Ledger, hold: VirtualHostHold) -> None:
        """Start with no command seen."""
        self._ledger = ledger
        self._hold = hold
        self._first_seen: dict[tuple[str, str], tuple[datetime | None, ...]] = {}
        """By command: the gaps that there were then."""

    def note(self, received: Received) -> None:
        """Remember a command that no process had before, while the ledger is new.

        Call it after the ledger was asked, which brings `pruned_before` up to date.
        """
        if not self._ledger.is_new or received.redelivered:
            return
        self._first_seen[received.command.key] = self._gaps
        if len(self._first_seen) > _MAX_SEEN:
            del self._first_seen[next(iter(self._first_seen))]

    def may_predate(self, received: Received, plan: Plan, entry: Entry | None) -> bool:
        """Tell whether a command would write that a lost ledger may have known.

        Args:
            received: the command.
            plan: how it is carried out.
            entry: what the ledger knows of it; a ledger that knows it is not the lost one.
        """
        if entry is not None or not plan.writes(received.command.data):
            return False
        return received.had_intent or (received.redelivered and self._may_be_older(received))

    def _may_be_older(self, received: Received) -> bool:
        """Tell whether a redelivered command may be older than what the ledger knows."""
        pruned, taken_over = self._gaps
        if self._first_seen.get(received.command.key) == (pruned, taken_over):
            return False  # no other process had it, and nothing that was known is gone since
        # The time of first receipt in a retry copy is more reliable than the producer's clock.
        sent_at = None if received.delayed else received.command.envelope.time
        ages = [age for age in (sent_at, received.known_since) if age is not None]
        if ages:
            known = (self._ledger.created_at, pruned, taken_over)
            return min(ages) < max(each for each in known if each is not None)
        # Nothing tells its age. If the ledger is new, an earlier process that had the command had
        # another ledger. If it pruned what no retention allows, a clock was wrong.
        gaps = ((pruned, _KEPT), (taken_over, _TAKEOVER_LASTS))
        if any(at is not None and now() - at < lasts for at, lasts in gaps):
            return True
        return self._ledger.is_new and received.inherited

    @property
    def _gaps(self) -> tuple[datetime | None, datetime | None]:
        """Before which instants there may be commands that the ledger does not know any more."""
        return self._ledger.pruned_before, self._hold.taken_over_at
