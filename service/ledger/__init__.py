"""The durable record of licence commands: what was intended, and what came of it.

The ledger knows what the broker cannot: the figures read before a write, and the result that was
told. Queries write nothing to it.

- `administration`: the ledger as an operator sees it.
- `opening`: the storage that the settings name, for the service and for a person.
- `sqlite`: the ledger of one process, in a file; `sqlite_statements`: its SQL; `sqlite_batches`:
  what waits together is written together; `sqlite_schema`: its tables, how old ones are upgraded,
  what a damaged file is called; `sqlite_care`: the file in a person's hands.
- `postgres`: the ledger that several replicas share; `postgres_statements`, `postgres_schema`,
  `postgres_care`: as above;
  `database`: statements that outlive a lost connection; `locks`: one replica writes at a time.
- `survey`: what in it waits for somebody, looked up every few seconds.
- `moment`: an instant whose age no clock step falsifies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from service.errors import Code, CourierError, Waiting
from service.ledger.administration import Care, Record, Settlement, Wanted

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from service.ledger.moment import Moment
    from service.messages.commands import Command


__all__ = [
    "Care",
    "Entry",
    "Intent",
    "IntentChanged",
    "IntentOpen",
    "Ledger",
    "Record",
    "Right",
    "Settlement",
    "Told",
    "Wanted",
]


class IntentOpen(Waiting):
    """Another licence write on this appliance is not settled yet; its figures must not mix."""

    def __init__(self, appliance: str) -> None:
        """Say which appliance waits for its earlier write to be settled."""
        super().__init__(Code.BUSY, f"an earlier licence write on {appliance} is not settled yet")


class IntentChanged(CourierError):
    """The ledger has another intent for this command than the caller knows: look it up again."""


@dataclass(frozen=True)
class Intent:
    """A licence write that may have been sent and has no result yet.

    Attributes:
        before: what was read before it, as JSON.
        recorded: when it was recorded.
        answer: what the appliance said to it, as JSON, where that had to be kept.
        origin: scheme, host and port of the appliance that was read, and that the write is for;
            None where an older courier recorded it.
        id: unique to this intent; a later intent of the same command has another.
    """

    before: bytes
    recorded: Moment
    answer: bytes | None = None
    origin: str | None = None
    id: str = field(default="", compare=False)


@dataclass(frozen=True)
class Told:
    """A command's end, as it was told: the conclusion, the event's data as JSON, the instant."""

    conclusion: str
    data: bytes
    at: datetime


@dataclass(frozen=True)
class Entry:
    """What is known of one command: an open intent, or a result.

    With neither, its intents were withdrawn: nothing was ever sent.
    """

    digest: str
    intent: Intent | None
    told: Told | None


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
        pruned_before: the newest result that was pruned is from this instant; None if none was.
            `find` brings it up to date.
        identity: unique to this ledger: a lost one's successor has another.
        is_shared: other processes may write for the intents in it.
    """

    created_at: datetime
    pruned_before: datetime | None
    identity: str
    is_shared: bool

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

    async def intend(
        self, command: Command, before: bytes, origin: str, right: Right | None = None
    ) -> Intent:
        """Record the intent to write.

        Args:
            command: whose write it is.
            before: what was read before it, as JSON.
            origin: scheme, host and port of the appliance.
            right: the caller's right to write there; without one, it has seen to that itself.

        Raises:
            IntentOpen: another intent is open on this appliance, by its name or its origin.
            Waiting: the right was lost; nothing is recorded.
        """
        ...

    async def keep_answer(self, command: Command, intent: Intent, answer: bytes) -> None:
        """Record what the appliance said to a write, if the intent is still open."""
        ...

    async def withdraw(self, command: Command, intent: Intent) -> None:
        """Withdraw an intent: the write was certainly not sent. That it was is remembered."""
        ...

    async def open_intents(self, appliance: str, origin: str) -> set[tuple[str, str]]:
        """List the commands with an open intent on an appliance, by its name or its origin."""
        ...

    def writing(self, appliance: str, origin: str) -> AbstractAsyncContextManager[Right]:
        """Hold the right to write on an appliance, so that no other replica has it.

        Args:
            appliance: its name.
            origin: scheme, host and port: two names may lead to one appliance.

        Raises:
            Waiting: another one has it for longer than a delivery may wait.
        """
        ...

    async def conclude(self, command: Command, told: Told, intent: Intent | None) -> Told:
        """Store a command's result, before it is published.

        Args:
            command: what ended.
            told: its result.
            intent: the open intent that this result closes; None if it was reached without one.

        Returns:
            What is stored: the first result stays, whatever comes later.

        Raises:
            IntentChanged: another intent is open, or this one was withdrawn: the result was reached
                by a look that is out of date, and is not stored.
        """
        ...

    async def forget(self, older_than: datetime) -> int:
        """Prune the results that were stored before an instant, and move `pruned_before`.

        Never an open intent, nor an `unknown` that is not resolved. Some hundred entries are
        deleted at a time, and commands are recorded in between.

        Args:
            older_than: by the caller's clock; a storage that has a clock of its own prunes nothing
                that is younger by that one.

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
