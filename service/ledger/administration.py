"""A ledger as an operator sees it: list, look up, resolve an `unknown`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from service.ledger import Intent, Told


@dataclass(frozen=True)
class Settlement:
    """What a person found that an `unknown` write did: the public verdict, a note, who and when."""

    verdict: str
    note: str
    settled_by: str
    at: datetime


@dataclass(frozen=True)
class Record:
    """All that the ledger knows of one command, for those who look after it.

    Attributes:
        type: the command's CloudEvents type.
        digest: of its type and data.
        correlation_id: what its result was correlated by; None where an older courier recorded it.
        traceparent: the trace that it belonged to.
        intent: the write that was announced, if one was; open while nothing is told.
        told: its end, if it has one.
        settlement: what a person said of an end that is unknown.
        withdrawn_at: when its last intent was withdrawn; None if it was not, or another followed.
    """

    source: str
    id: str
    type: str
    digest: str
    appliance: str
    correlation_id: str | None
    traceparent: str | None
    intent: Intent | None
    told: Told | None
    settlement: Settlement | None
    withdrawn_at: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Source and id: the idempotency key."""
        return self.source, self.id


@dataclass(frozen=True)
class Wanted:
    """Which entries are looked for.

    Attributes:
        finished: those, too, with which nobody has anything left to do.
        appliance: on this one only.
        conclusion: that ended so.
        older_than: that were announced, or ended without that, before this instant.
        limit: no more than these.
    """

    finished: bool = False
    appliance: str | None = None
    conclusion: str | None = None
    older_than: datetime | None = None
    limit: int = 100


class Care(Protocol):
    """A ledger in a person's hands: read while the service runs, an `unknown` settled.

    Every method blocks. A reader keeps nobody waiting.

    Attributes:
        created_at: when it began; None if nobody knows.
        pruned_before: see `Ledger`.
        broker: the broker and virtual host that it belongs to; None if it never had one.
    """

    created_at: datetime | None
    pruned_before: datetime | None
    broker: str | None

    def entries(self, wanted: Wanted) -> list[Record]:
        """List entries: open intents and unsettled unknowns, oldest first; then the newest ends."""
        ...

    def open_figures(self) -> tuple[int, int, datetime | None]:
        """Count the open intents and the unsettled unknowns; say when the oldest of these ended."""
        ...

    def of_id(self, command_id: str, source: str | None = None) -> list[Record]:
        """Find the commands with an id; there is one for each source that used it."""
        ...

    def find(self, key: tuple[str, str]) -> Record | None:
        """Look a command up by source and id."""
        ...

    def settle(self, key: tuple[str, str], settlement: Settlement) -> Settlement | None:
        """Store what a person found, durably, if nobody did before.

        Returns:
            What is stored now: the first settlement stays. None if the command did not end
            unknown.
        """
        ...
