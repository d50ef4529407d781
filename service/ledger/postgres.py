"""The ledger in PostgreSQL, for several replicas: what one announces, all others see.

Times are the server's, so that replicas whose clocks differ agree on how old a write is.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from service.errors import ConfigurationError
from service.ledger import Entry, Intent, IntentOpen, Told
from service.ledger.database import TROUBLE, Database, ended, reason_of
from service.ledger.locks import Locks
from service.ledger.moment import Moment
from service.ledger.postgres_schema import prepare
from service.telemetry import log

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from uuid import UUID

    import asyncpg

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
_FIND = """
SELECT digest, intended_at, before, answer, concluded_at, conclusion, data,
    extract(epoch FROM clock_timestamp() - intended_at)::float8 AS age
FROM courier_commands WHERE source = $1 AND id = $2
"""
# The second line finds what the first one did before its answer was lost.
_INTEND = """
WITH made AS (
    INSERT INTO courier_commands (source, id, type, digest, appliance, correlation_id, traceparent,
        intended_at, before, writer)
    VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp(), $8, $9)
    ON CONFLICT DO NOTHING RETURNING writer
)
SELECT writer FROM made
UNION ALL SELECT writer FROM courier_commands WHERE source = $1 AND id = $2 AND writer = $9
"""
_KEEP = """
UPDATE courier_commands SET answer = $3
WHERE source = $1 AND id = $2 AND concluded_at IS NULL AND writer = $4
"""
_WITHDRAW = """
DELETE FROM courier_commands
WHERE source = $1 AND id = $2 AND concluded_at IS NULL AND writer = $3
"""
_CONCLUDE = """
INSERT INTO courier_commands (source, id, type, digest, appliance, correlation_id, traceparent,
    concluded_at, conclusion, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (source, id) DO UPDATE SET
    concluded_at = excluded.concluded_at, conclusion = excluded.conclusion, data = excluded.data
WHERE courier_commands.concluded_at IS NULL
RETURNING id
"""
_OPEN = "SELECT source, id FROM courier_commands WHERE appliance = $1 AND concluded_at IS NULL"
_FORGET = """
DELETE FROM courier_commands WHERE (source, id) IN (
    SELECT source, id FROM courier_commands
    WHERE concluded_at < $1 AND (conclusion <> 'unknown' OR verdict IS NOT NULL)
    AND coalesce(settled_at, concluded_at) < $1
    ORDER BY concluded_at LIMIT $2
) RETURNING id
"""
_BELONG = """
UPDATE courier_ledger SET broker = $1, used_since = coalesce(used_since, clock_timestamp())
WHERE broker IS NULL OR broker = $1
RETURNING extract(epoch FROM clock_timestamp() - used_since)::float8
"""


class PostgresLedger:
    """A `Ledger` in a database."""

    def __init__(self, database: Database, about: About) -> None:
        """Use `open`."""
        self._database = database
        self._locks = Locks(database)
        self._owner = about.broker
        self._young_until: float | None = None
        self._writers: dict[str, UUID] = {}
        self.created_at = about.created_at

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
        rows = await self._database.run(_FIND, *key)
        if not rows:
            return None
        row = rows[0]
        return Entry(digest=row["digest"], intent=intent_of(row), told=told_of(row))

    async def open_intent(self, appliance: str) -> tuple[str, str] | None:
        """Say whose write there is not settled. See `Ledger`."""
        rows = await self._database.run(_OPEN, appliance)
        return (rows[0]["source"], rows[0]["id"]) if rows else None

    def writing(self, appliance: str) -> AbstractAsyncContextManager[Right]:
        """Hold the right to write, among all replicas. See `Ledger`."""
        return self._locks.held(appliance)

    async def intend(self, command: Command, before: bytes) -> Intent:
        """Announce a write. See `Ledger`."""
        writer, recorded = uuid4(), Moment.current()

        def note() -> None:
            nonlocal recorded
            recorded = Moment.current()  # never younger than it is for the others

        values = (*_identity(command), before, writer)
        if not await self._database.run(_INTEND, *values, first=note):
            raise IntentOpen(command.data.appliance)
        self._writers[command.data.appliance] = writer
        return Intent(before, recorded)

    async def keep_answer(self, command: Command, answer: bytes) -> None:
        """Record what was said to an announced write. See `Ledger`."""
        writer = self._writers.get(command.data.appliance)
        await self._database.run(_KEEP, *command.key, answer, writer)

    async def withdraw(self, command: Command) -> None:
        """Take an intent back. See `Ledger`."""
        writer = self._writers.get(command.data.appliance)
        await self._database.run(_WITHDRAW, *command.key, writer)

    async def conclude(self, command: Command, told: Told) -> Told:
        """Record an end; the first one stays. See `Ledger`."""
        end = (told.at, told.conclusion, told.data)
        rows = await self._database.run(_CONCLUDE, *_identity(command), *end)
        if rows:
            return told
        entry = await self.find(command.key)
        return (entry and entry.told) or told

    async def forget(self, older_than: datetime) -> int:
        """Delete what was finished before an instant. See `Ledger`."""
        forgotten, deleted = 0, _AT_ONCE
        while deleted == _AT_ONCE:
            deleted = len(await self._database.run(_FORGET, older_than, _AT_ONCE))
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
        rows = await self._database.run(_BELONG, broker)
        if not rows:
            raise _of_another("another broker", broker)
        self._young_until = asyncio.get_running_loop().time() + YOUNG - float(rows[0][0])

    async def close(self) -> None:
        """Give every lock and connection back."""
        await self._locks.close()
        await self._database.close()


def intent_of(row: asyncpg.Record) -> Intent | None:
    """Read the announcement of a write from its row; None if there was none.

    Its age, by the server's clock, is put on the clock of this system.
    """
    if row["intended_at"] is None:
        return None
    current = Moment.current()
    recorded = Moment(row["intended_at"], current.boot, current.uptime - max(0.0, row["age"]))
    return Intent(row["before"], recorded, row["answer"])


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
