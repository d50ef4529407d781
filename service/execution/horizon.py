"""Which commands may be older than what the ledger knows.

A ledger knows nothing of what was done before it was created, nor of what was pruned. A licence
command that it does not know, and that may have been run before, is never run on a guess.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from service.execution.received import Received
    from service.ledger import Ledger

_MAX_SEEN = 10_000
"""Commands that are remembered while the ledger is new."""


class LedgerHorizon:
    """Tells commands that may predate the ledger.

    Args:
        ledger: which does not know the commands that are asked about.
    """

    def __init__(self, ledger: Ledger) -> None:
        """Start with no command seen."""
        self._ledger = ledger
        self._first_seen: dict[tuple[str, str], datetime | None] = {}
        """By command: what was pruned by then."""

    def note(self, received: Received) -> None:
        """Remember a command that no process had before, while the ledger is new.

        Call it after the ledger was asked, which brings `pruned_before` up to date.
        """
        if not self._ledger.is_new or received.redelivered:
            return
        self._first_seen[received.command.key] = self._ledger.pruned_before
        if len(self._first_seen) > _MAX_SEEN:
            del self._first_seen[next(iter(self._first_seen))]

    def may_predate(self, received: Received) -> bool:
        """Tell whether a command that the ledger does not know may have been run before."""
        if received.had_intent:
            return True
        if not received.redelivered:
            return False
        created_at, pruned = self._ledger.created_at, self._ledger.pruned_before
        key = received.command.key
        if key in self._first_seen and self._first_seen[key] == pruned:
            return False  # no other process had it, and nothing was pruned since
        # The time of first receipt in a retry copy is more reliable than the producer's clock.
        sent_at = None if received.delayed else received.command.envelope.time
        ages = [age for age in (sent_at, received.known_since) if age is not None]
        if ages:
            return min(ages) < (max(created_at, pruned) if pruned else created_at)
        # Nothing tells its age. If the ledger is new, an earlier process that had the command had
        # another ledger.
        return self._ledger.is_new and received.inherited
