"""The ledger in one SQLite file, for one process: full sync, one owner.

`synchronous=FULL` makes each commit durable before the call returns (SQLite documentation,
PRAGMA synchronous). The owner holds a lock on a file beside the database: SQLite's own locks last
for a transaction only, and tools must be able to read while the service runs.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from contextlib import AsyncExitStack, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Self

from service.errors import ConfigurationError
from service.ledger import Entry, Intent, IntentOpen, Told
from service.ledger.moment import Moment
from service.ledger.sqlite_batches import Batches
from service.ledger.sqlite_schema import connect, explained, prepare
from service.messages.wire import format_instant, parse_instant
from service.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from pathlib import Path

    from service.ledger import Right
    from service.ledger.sqlite_batches import Row
    from service.messages.commands import Command

_AT_ONCE = 200
"""Entries that are forgotten at once: a command waits for no more than these."""
_FIND = """
SELECT digest, intended_at, boot, uptime, before, answer, concluded_at, conclusion, data
FROM commands WHERE source = ? AND id = ?
"""
_INTEND = """
INSERT INTO commands (source, id, type, digest, appliance, correlation_id, traceparent,
    intended_at, boot, uptime, before)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_KEEP = "UPDATE commands SET answer = ? WHERE source = ? AND id = ? AND concluded_at IS NULL"
_WITHDRAW = "DELETE FROM commands WHERE source = ? AND id = ? AND concluded_at IS NULL"
_CONCLUDE = """
INSERT INTO commands (source, id, type, digest, appliance, correlation_id, traceparent,
    concluded_at, conclusion, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (source, id) DO UPDATE SET
    concluded_at = excluded.concluded_at, conclusion = excluded.conclusion, data = excluded.data
WHERE concluded_at IS NULL
RETURNING id
"""
_OPEN = "SELECT appliance, source, id FROM commands WHERE concluded_at IS NULL"
# The condition stands as it does in the index, or SQLite would not see that the index serves.
_FORGET = """
DELETE FROM commands WHERE (source, id) IN (
    SELECT source, id FROM commands
    WHERE concluded_at < ?1 AND (conclusion <> 'unknown' OR verdict IS NOT NULL)
    AND coalesce(settled_at, concluded_at) < ?1
    ORDER BY concluded_at LIMIT ?2
) RETURNING id
"""
_LONGEST_PAUSE = 5.0


class _Owner:
    """The right of whoever owns the file, who is the only one."""

    stands = True


class SqliteLedger:
    """A `Ledger` in a file."""

    def __init__(
        self,
        batches: Batches,
        created_at: datetime,
        opened: AsyncExitStack,
        *,
        owner: str | None,
        intents: dict[str, tuple[str, str]],
    ) -> None:
        """Use `open`."""
        self._batches = batches
        batches.on_hang = partial(self._miss, "it does not answer")
        self._opened = opened
        self._unavailable = False
        self.created_at = created_at
        self._owner = owner
        self._is_new = owner is None
        # As they stand in the file: nobody else writes there, or not about these.
        self._intents = intents

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the ledger, or make a new one.

        Raises:
            ConfigurationError: another courier owns it, it is newer than this program, damaged,
                or cannot be written.
        """
        async with AsyncExitStack() as opened:
            opened.callback(os.close, _own(path))
            try:
                connection, created_at = await asyncio.to_thread(_prepared, path)
                batches = Batches(connection)
                opened.push_async_callback(batches.close)
                (owner,) = connection.execute("SELECT broker FROM about").fetchone() or (None,)
                intents = {name: (source, id_) for name, source, id_ in connection.execute(_OPEN)}
            except sqlite3.Error as error:
                raise explained(path, error) from None
            return cls(batches, created_at, opened.pop_all(), owner=owner, intents=intents)

    @property
    def is_new(self) -> bool:
        """Tell whether no courier has run commands on it before this process. See `Ledger`."""
        return self._is_new

    @property
    def idle_reason(self) -> str | None:
        """Say why nothing can be recorded. See `Ledger`."""
        return "ledger-unavailable" if self._unavailable else None

    async def find(self, key: tuple[str, str]) -> Entry | None:
        """Look a command up by source and id."""
        rows = await self._execute(_FIND, key)
        if not rows:
            return None
        digest, *intent, concluded_at, conclusion, data = rows[0]
        return Entry(
            digest=digest,
            intent=intent_of(*intent),
            told=told_of(concluded_at, conclusion, data),
        )

    async def open_intent(self, appliance: str) -> tuple[str, str] | None:
        """Say whose write there is not settled. See `Ledger`."""
        return self._intents.get(appliance)

    def writing(self, appliance: str) -> AbstractAsyncContextManager[Right]:
        """Hold the right to write: this process is the only one. See `Ledger`."""
        del appliance
        return nullcontext(_Owner())

    async def intend(self, command: Command, before: bytes) -> Intent:
        """Announce a write. See `Ledger`."""
        recorded = Moment.current()

        def row() -> Row:
            nonlocal recorded
            recorded = Moment.current()  # it is no older for having been waited for
            at = format_instant(recorded.at)
            return (*_identity(command), at, recorded.boot, recorded.uptime, before)

        try:
            await self._execute(_INTEND, row)
        except sqlite3.IntegrityError:
            raise IntentOpen(command.data.appliance) from None
        self._intents[command.data.appliance] = command.key
        return Intent(before, recorded)

    async def keep_answer(self, command: Command, answer: bytes) -> None:
        """Record what was said to an announced write. See `Ledger`."""
        await self._execute(_KEEP, (answer, *command.key))

    async def withdraw(self, command: Command) -> None:
        """Take an intent back. See `Ledger`."""
        await self._execute(_WITHDRAW, command.key)
        self._settled(command)

    async def conclude(self, command: Command, told: Told) -> Told:
        """Record an end; the first one stays. See `Ledger`."""
        end = (format_instant(told.at), told.conclusion, told.data)
        rows = await self._execute(_CONCLUDE, (*_identity(command), *end))
        self._settled(command)
        if rows:
            return told
        entry = await self.find(command.key)
        return (entry and entry.told) or told

    async def forget(self, older_than: datetime) -> int:
        """Delete what was finished before an instant. See `Ledger`."""
        instant = format_instant(older_than)
        forgotten, deleted = 0, _AT_ONCE
        while deleted == _AT_ONCE:
            deleted = len(await self._execute(_FORGET, (instant, _AT_ONCE)))
            forgotten += deleted
        if forgotten:
            log.info("ledger-entries-forgotten", entries=forgotten)
        return forgotten

    def _settled(self, command: Command) -> None:
        if self._intents.get(command.data.appliance) == command.key:
            del self._intents[command.data.appliance]

    async def _execute(self, sql: str, row: Row | Callable[[], Row]) -> list[sqlite3.Row]:
        """Run one statement; wait for a storage that is locked, full or gone."""
        pause = 0.1
        while True:
            try:
                rows = await self._batches.run(sql, row)
            except sqlite3.IntegrityError:
                raise
            except sqlite3.Error as error:
                self._miss(str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            if self._unavailable:
                self._unavailable = False
                log.info("ledger-available")
            return rows

    def _miss(self, reason: str) -> None:
        """Tell once that the storage is not there."""
        if not self._unavailable:
            log.error("ledger-unavailable", reason=reason)
        self._unavailable = True

    async def check_owner(self, broker: str) -> None:
        """Check whose it is. See `Ledger`."""
        if self._owner not in {None, broker}:
            raise ConfigurationError(
                f"COURIER_LEDGER_URL: this ledger belongs to {self._owner}, not to {broker};"
                " another broker wants a ledger of its own"
            )

    async def belong_to(self, broker: str) -> None:
        """Bind the ledger to its broker. See `Ledger`."""
        await self._execute("UPDATE about SET broker = ?", (broker,))

    async def close(self) -> None:
        """Close the file and let go of the lock."""
        await self._opened.aclose()


def intent_of(
    intended_at: str | None, boot: str | None, uptime: float | None, before: bytes, answer: bytes
) -> Intent | None:
    """Read the announcement of a write from its columns; None if there was none."""
    if intended_at is None:
        return None
    return Intent(before, Moment(parse_instant(intended_at), boot, uptime or 0.0), answer)


def told_of(concluded_at: str | None, conclusion: str, data: bytes) -> Told | None:
    """Read an end from its columns; None if there is none yet."""
    return Told(conclusion, data, parse_instant(concluded_at)) if concluded_at else None


def _identity(command: Command) -> tuple[str | None, ...]:
    envelope = command.envelope
    told = (command.correlation_id, envelope.traceparent)
    return (*command.key, envelope.type, command.digest, command.data.appliance, *told)


def _prepared(path: Path) -> tuple[sqlite3.Connection, datetime]:
    connection = connect(path, any_thread=True)
    try:
        return connection, prepare(connection, path)
    except BaseException:
        connection.close()
        raise


def _own(path: Path) -> int:
    """Take the lock that only one courier can hold; it goes with the process."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        os.close(os.open(path, flags, 0o600))  # SQLite would let everybody read a new file
        lock = os.open(f"{path}.lock", flags, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"COURIER_LEDGER_URL: {path} cannot be used: {error.strerror}"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ConfigurationError(
            f"COURIER_LEDGER_URL: another courier owns {path}; for several couriers use PostgreSQL"
        ) from None
    return lock
