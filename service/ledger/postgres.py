"""The ledger in PostgreSQL, for several replicas: what one announces, all others see.

Times are the server's, so that replicas whose clocks differ agree on how old a write is.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self
from uuid import uuid4

import asyncpg

from service.errors import Code, ConfigurationError, Waiting
from service.ledger import Entry, Intent, IntentChanged, IntentOpen, Told
from service.ledger import postgres_statements as statements
from service.ledger.database import TROUBLE, Database, ended, reason_of
from service.ledger.locks import Locked, Locks
from service.ledger.moment import Moment
from service.ledger.postgres_schema import prepare
from service.messages.wire import now
from service.telemetry import log

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from service.ledger import Right
    from service.ledger.postgres_schema import About
    from service.messages.commands import Command
    from service.settings import Postgres

YOUNG = 3600.0
"""Seconds from its first use on, during which a ledger counts as new for every replica: what a lost
one's couriers left in the queues comes to any of them."""
_PAUSE = 1.0
"""Seconds before a start is tried again that the server interrupted."""
_AT_ONCE = 200
"""Entries that are forgotten at once."""


class PostgresLedger:
    """A `Ledger` in a database."""

    is_shared = True

    def __init__(self, database: Database, about: About) -> None:
        """Use `open`."""
        self._database = database
        self._locks = Locks(database)
        self._owner = about.broker
        self._young_until: float | None = None
        self.created_at = about.created_at
        self.pruned_before = about.pruned_before
        self.identity = about.identity

    @classmethod
    async def open(cls, place: Postgres) -> Self:
        """Open the ledger, or make a new one; wait for a server that does not answer.

        Raises:
            ConfigurationError: it cannot be used as it is named, or is newer than this program.
        """
        told = False
        while True:
            database = await Database.opened(place)
            try:
                connection = await database.session()
                try:
                    return cls(database, await prepare(connection, place))
                finally:
                    await ended(connection)
            except ConfigurationError:
                await database.close()
                raise
            except TROUBLE as error:
                await database.close()
                if not told:
                    log.error("ledger-unavailable", reason=reason_of(error))
                told = True
                await asyncio.sleep(_PAUSE)

    @property
    def is_new(self) -> bool:
        """Tell whether what a lost ledger knew may still come. See `Ledger` and `YOUNG`."""
        until = self._young_until
        return until is None or asyncio.get_running_loop().time() < until

    @property
    def idle_reason(self) -> str | None:
        """Say why nothing can be recorded. See `Ledger`."""
        return "ledger-unavailable" if self._database.is_unavailable else None

    async def find(self, key: tuple[str, str]) -> Entry | None:
        """Look a command up by source and id."""
        (row,) = await self._database.run(statements.FIND, *key)
        self.pruned_before = row["pruned_before"]
        if row["digest"] is None:
            return None
        return Entry(digest=row["digest"], intent=intent_of(row), told=told_of(row))

    async def open_intents(self, appliance: str, origin: str) -> set[tuple[str, str]]:
        """List the commands with an open intent there. See `Ledger`."""
        rows = await self._database.run(statements.OPEN_INTENTS, appliance, origin)
        return {(row["source"], row["id"]) for row in rows}

    def writing(self, appliance: str, origin: str) -> AbstractAsyncContextManager[Right]:
        """Hold the right to write, among all replicas. See `Ledger`."""
        return self._locks.held(appliance, origin)

    async def intend(
        self, command: Command, before: bytes, origin: str, right: Right | None = None
    ) -> Intent:
        """Record the intent to write. See `Ledger`.

        It is recorded on the session that holds the write lock: a session that has ended unnoticed
        records nothing, and nobody else gets the lock before the intent can be seen. Its age is the
        row's, which the other replicas read: an answer that was lost, or came late, does not make
        it younger.
        """
        writer, asked = uuid4(), Moment.current()

        def note() -> None:
            nonlocal asked
            asked = Moment.current()

        values = (*_identity(command), before, writer, origin, asked.boot, asked.uptime)
        try:
            if isinstance(right, Locked):
                rows = await self._locks.run(right, statements.INTEND, *values)
            else:
                rows = await self._database.run(statements.INTEND, *values, first=note)
        except asyncpg.UniqueViolationError:
            rows = []
        except TROUBLE:
            await self._database.run(statements.WITHDRAW, *command.key, writer)
            raise Waiting(Code.BUSY, "the write lock was lost before the intent") from None
        if not rows:
            raise IntentOpen(command.data.appliance)
        recorded = asked.before(max(0.0, rows[0]["age"]))
        return Intent(before, recorded, origin=origin, id=str(writer))

    async def keep_answer(self, command: Command, intent: Intent, answer: bytes) -> None:
        """Record what the appliance said to a write. See `Ledger`."""
        await self._database.run(statements.SAVE_RESPONSE, *command.key, answer, intent.id)

    async def withdraw(self, command: Command, intent: Intent) -> None:
        """Withdraw an intent. See `Ledger`."""
        await self._database.run(statements.WITHDRAW, *command.key, intent.id)

    async def conclude(self, command: Command, told: Told, intent: Intent | None) -> Told:
        """Store a result; the first one stays. See `Ledger`."""
        end = (told.at, told.conclusion, told.data)
        known = intent.id if intent else None
        if await self._database.run(statements.CONCLUDE, *_identity(command), *end, known):
            return told
        entry = await self.find(command.key)
        if entry is None or entry.told is None:
            raise IntentChanged
        return entry.told

    async def forget(self, older_than: datetime) -> int:
        """Prune results that were stored before an instant. See `Ledger`."""
        age = now() - older_than
        await self._database.run(statements.PRUNE_WITHDRAWN, older_than, age)
        forgotten, deleted = 0, _AT_ONCE
        while deleted == _AT_ONCE:
            rows = await self._database.run(statements.PRUNE, older_than, _AT_ONCE, age)
            deleted = rows[0]["count"]
            forgotten += deleted
        if forgotten:
            log.info("ledger-entries-forgotten", entries=forgotten)
        return forgotten

    async def check_owner(self, broker: str) -> None:
        """Check whose it is. See `Ledger`."""
        if self._owner not in {None, broker}:
            raise _of_another(self._owner, broker)

    async def belong_to(self, broker: str) -> None:
        """Bind the ledger to its broker. See `Ledger`.

        Raises:
            ConfigurationError: a replica bound it to another one meanwhile.
        """
        rows = await self._database.run(statements.BIND_BROKER, broker)
        if not rows:
            raise _of_another("another broker", broker)
        self._young_until = asyncio.get_running_loop().time() + YOUNG - float(rows[0][0])

    async def close(self) -> None:
        """Give every lock and connection back."""
        await self._locks.close()
        await self._database.close()


def intent_of(row: asyncpg.Record) -> Intent | None:
    """Read an intent from its row; None if there is none.

    Its age is the smallest that any clock gives: the server's, this host's, and the uptime where
    this host recorded it. A clock that was put forward must not end the wait for a write that the
    appliance may still be working on; one that is behind only makes the wait longer.
    """
    if row["intended_at"] is None:
        return None
    current = Moment.current()
    by_wall_clock = Moment(row["intended_at"])
    by_uptime = Moment(row["intended_at"], row["boot"], row["uptime"] or 0.0)
    ages = (row["age"], by_wall_clock.age(current), by_uptime.age(current))
    recorded = current.before(max(0.0, min(ages)))
    writer = str(row["writer"]) if row["writer"] else ""
    return Intent(row["before"], recorded, row["answer"], row["origin"], writer)


def told_of(row: asyncpg.Record) -> Told | None:
    """Read an end from its row; None if there is none yet."""
    if row["concluded_at"] is None:
        return None
    return Told(row["conclusion"], row["data"], row["concluded_at"])


def _of_another(owner: str | None, broker: str) -> ConfigurationError:
    return ConfigurationError(
        f"COURIER_LEDGER_URL: this ledger belongs to {owner}, not to {broker};"
        " another broker wants a ledger of its own"
    )


def _identity(command: Command) -> tuple[str | None, ...]:
    envelope = command.envelope
    told = (command.correlation_id, envelope.traceparent)
    return (*command.key, envelope.type, command.digest, command.data.appliance, *told)
