"""The durable record of licence commands: what was intended, and what came of it.

The ledger knows what the broker cannot: the figures read before a write, and the result that was
told. Queries write nothing to it.

- `opening`: the storage that the settings name, for the service and for a person.
- `sqlite`: the ledger of one process, in a file; `sqlite_batches`: what waits together is written
  together; `sqlite_schema`: its tables, how old ones are upgraded, what a damaged file is called;
  `sqlite_care`: the file in a person's hands.
- `postgres`: the ledger that several replicas share; `postgres_schema`, `postgres_care`: as above;
  `database`: statements that outlive a lost connection; `locks`: one replica writes at a time.
- `survey`: what in it waits for somebody, looked up every few seconds.
- `moment`: an instant whose age no clock step falsifies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from service.errors import Code, Waiting

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from service.ledger.moment import Moment
    from service.messages.commands import Command


class IntentOpen(Waiting):
    """Another licence write on this appliance is not settled yet; its figures must not mix."""

    def __init__(self, appliance: str) -> None:
        """Say which appliance waits for its earlier write to be settled."""
        super().__init__(Code.BUSY, f"an earlier licence write on {appliance} is not settled yet")


@dataclass(frozen=True)
class Intent:
    """A write that was announced and not settled.

    Attributes:
        before: what was read before it, as JSON.
        recorded: when it was recorded.
        answer: what the appliance said to it, as JSON, where that had to be kept.
    """

    before: bytes
    recorded: Moment
    answer: bytes | None = None


@dataclass(frozen=True)
class Told:
    """A command's end, as it was told: the conclusion, the event's data as JSON, the instant."""

    conclusion: str
    data: bytes
    at: datetime


@dataclass(frozen=True)
class Entry:
    """What is known of one command; either an open intent or an end."""

    digest: str
    intent: Intent | None
    told: Told | None


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
        broker: the broker and virtual host that it belongs to; None if it never had one.
    """

    created_at: datetime | None
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


class Right(Protocol):
    """The right to write on an appliance, among all replicas.

    Attributes:
        stands: nobody else has it. It is lost with the connection to the ledger, and what was not
            sent by then must not be sent any more.
    """

    @property
    def stands(self) -> bool:
        """See above."""
        ...


class Ledger(Protocol):
    """Where licence commands are recorded. Every write is durable when the call returns.

    A storage that does not answer is waited for: nothing may be run or told without it.

    Attributes:
        created_at: when it began; it knows nothing of what was done before.
    """

    created_at: datetime

    @property
    def is_new(self) -> bool:
        """Tell whether commands may come that a lost ledger knew and this one does not."""
        ...

    @property
    def idle_reason(self) -> str | None:
        """Say why nothing can be recorded at the moment, or None when it can."""
        ...

    async def find(self, key: tuple[str, str]) -> Entry | None:
        """Look a command up by source and id."""
        ...

    async def intend(self, command: Command, before: bytes) -> Intent:
        """Announce a write.

        Raises:
            IntentOpen: another command's write on this appliance is not settled.
        """
        ...

    async def keep_answer(self, command: Command, answer: bytes) -> None:
        """Record what the appliance said to an announced write."""
        ...

    async def withdraw(self, command: Command) -> None:
        """Take an intent back: the write was certainly not sent."""
        ...

    async def open_intent(self, appliance: str) -> tuple[str, str] | None:
        """Say which command's write on this appliance is announced and not settled, if one is."""
        ...

    def writing(self, appliance: str) -> AbstractAsyncContextManager[Right]:
        """Hold the right to write on an appliance, so that no other replica has it.

        Raises:
            Waiting: another one has it for longer than a delivery may wait.
        """
        ...

    async def conclude(self, command: Command, told: Told) -> Told:
        """Record a command's end, before it is told.

        Returns:
            What is recorded: the first end stays, whatever comes later.
        """
        ...

    async def forget(self, older_than: datetime) -> int:
        """Delete the entries that were finished before an instant.

        Never an open intent, nor an `unknown` that nobody has settled. It deletes some hundred
        entries at a time, and commands are recorded in between.

        Args:
            older_than: what was concluded at this instant stays.

        Returns:
            How many there were.
        """
        ...

    async def check_owner(self, broker: str) -> None:
        """Check that it belongs to a broker and virtual host, or to none yet.

        Raises:
            ConfigurationError: it belongs to another one.
        """
        ...

    async def belong_to(self, broker: str) -> None:
        """Bind it to its broker, durably: from the next start on it is not new any more.

        It is also the proof that the storage can be written, and waits until that is so.
        """
        ...

    async def close(self) -> None:
        """Let go of the storage."""
        ...
