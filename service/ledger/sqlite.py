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
from uuid import uuid4

from service.errors import ConfigurationError
from service.ledger import Entry, Intent, IntentChanged, IntentOpen, Told
from service.ledger import sqlite_statements as statements
from service.ledger.moment import Moment
from service.ledger.sqlite_batches import Batches
from service.ledger.sqlite_schema import connect, explained, prepare
from service.messages.wire import format_instant, now, parse_instant
from service.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from pathlib import Path

    from service.ledger import Right
    from service.ledger.sqlite_batches import Row
    from service.ledger.sqlite_schema import About
    from service.messages.commands import Command

_AT_ONCE = 200
"""Entries that are forgotten at once: a command waits for no more than these."""
_LONGEST_PAUSE = 5.0


class _Owner:
    """The right of whoever owns the file, who is the only one."""

    stands = True


class SqliteLedger:
    """A `Ledger` in a file."""

    is_shared = False

    def __init__(
        self,
        batches: Batches,
        about: About,
        opened: AsyncExitStack,
        intents: dict[str, tuple[str, str]],
    ) -> None:
        """Use `open`."""
        self._batches = batches
        batches.on_hang = partial(self._miss, "it does not answer")
        self._opened = opened
        self._unavailable = False
        self.created_at = about.created_at
        self.pruned_before = about.pruned_before
        self.identity = about.identity
        self._owner = about.broker
        self._is_new = about.broker is None
        # By name and by origin, as in the file: no other process writes there.
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
                connection, about = await asyncio.to_thread(_prepared, path)
                batches = Batches(connection)
                opened.push_async_callback(batches.close)
                intents = {
                    place: (source, id_)
                    for name, origin, source, id_ in connection.execute(statements.OPEN_INTENTS)
                    for place in (name, origin)
                    if place
                }
            except sqlite3.Error as error:
                raise explained(path, error) from None
            return cls(batches, about, opened.pop_all(), intents)

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
        rows = await self._execute(statements.FIND, key)
        if not rows:
            return None
        digest, *intent, concluded_at, conclusion, data = rows[0]
        return Entry(
            digest=digest,
            intent=intent_of(*intent),
            told=told_of(concluded_at, conclusion, data),
        )

    async def open_intents(self, appliance: str, origin: str) -> set[tuple[str, str]]:
        """List the commands with an open intent there. See `Ledger`."""
        found = (self._intents.get(place) for place in (appliance, origin))
        return {key for key in found if key is not None}

    def writing(self, appliance: str, origin: str) -> AbstractAsyncContextManager[Right]:
        """Hold the right to write: this process is the only one. See `Ledger`."""
        del appliance, origin
        return nullcontext(_Owner())

    async def intend(
        self, command: Command, before: bytes, origin: str, right: Right | None = None
    ) -> Intent:
        """Record the intent to write. See `Ledger`."""
        del right
        recorded, writer = Moment.current(), uuid4().hex

        def row() -> Row:
            nonlocal recorded
            recorded = Moment.current()  # it is no older for having been waited for
            at = format_instant(recorded.at)
            values = (recorded.boot, recorded.uptime, before, origin, writer)
            return (*_identity(command), at, *values)

        try:
            rows = await self._execute(statements.INTEND, row)
        except sqlite3.IntegrityError:
            raise IntentOpen(command.data.appliance) from None
        if not rows:
            raise IntentOpen(command.data.appliance)
        self._intents |= dict.fromkeys((command.data.appliance, origin), command.key)
        return Intent(before, recorded, origin=origin, id=writer)

    async def keep_answer(self, command: Command, intent: Intent, answer: bytes) -> None:
        """Record what the appliance said to a write. See `Ledger`."""
        await self._execute(statements.SAVE_RESPONSE, (answer, *command.key, intent.id))

    async def withdraw(self, command: Command, intent: Intent) -> None:
        """Withdraw an intent. See `Ledger`."""
        at = format_instant(now())
        if await self._execute(statements.WITHDRAW, (at, *command.key, intent.id)):
            self._closed(command)  # not if a later intent of the same command is open

    async def conclude(self, command: Command, told: Told, intent: Intent | None) -> Told:
        """Store a result; the first one stays. See `Ledger`."""
        end = (format_instant(told.at), told.conclusion, told.data)
        known = intent.id if intent else None
        if not await self._execute(statements.CONCLUDE, (*_identity(command), *end, known)):
            entry = await self.find(command.key)
            if entry is None or entry.told is None:
                raise IntentChanged
            told = entry.told
        self._closed(command)
        return told

    async def forget(self, older_than: datetime) -> int:
        """Prune results that were stored before an instant. See `Ledger`."""
        instant, current = format_instant(older_than), Moment.current()
        least_uptime = current.uptime - (now() - older_than).total_seconds()
        old = (instant, current.boot, least_uptime)
        # The guard moves first: an interruption must not leave pruned results unguarded.
        moved = await self._execute(statements.MOVE_GUARD, old)
        if moved:
            self.pruned_before = parse_instant(moved[0][0])
        await self._execute(statements.PRUNE_WITHDRAWN, (instant,))
        forgotten, deleted = 0, _AT_ONCE
        while deleted == _AT_ONCE:
            deleted = len(await self._execute(statements.PRUNE, (*old, _AT_ONCE)))
            forgotten += deleted
        if forgotten:
            log.info("ledger-entries-forgotten", entries=forgotten)
        return forgotten

    def _closed(self, command: Command) -> None:
        for place in [place for place, key in self._intents.items() if key == command.key]:
            del self._intents[place]

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
        await self._execute(statements.BIND_BROKER, (broker,))

    async def close(self) -> None:
        """Close the file and let go of the lock."""
        await self._opened.aclose()


def intent_of(
    intended_at: str | None,
    boot: str | None,
    uptime: float | None,
    before: bytes,
    answer: bytes | None,
    origin: str | None,
    writer: str | None,
) -> Intent | None:
    """Read an intent from its columns; None if there was none."""
    if intended_at is None:
        return None
    recorded = Moment(parse_instant(intended_at), boot, uptime or 0.0)
    return Intent(before, recorded, answer, origin, writer or "")


def told_of(concluded_at: str | None, conclusion: str, data: bytes) -> Told | None:
    """Read an end from its columns; None if there is none yet."""
    return Told(conclusion, data, parse_instant(concluded_at)) if concluded_at else None


def _identity(command: Command) -> tuple[str | None, ...]:
    envelope = command.envelope
    told = (command.correlation_id, envelope.traceparent)
    return (*command.key, envelope.type, command.digest, command.data.appliance, *told)


def _prepared(path: Path) -> tuple[sqlite3.Connection, About]:
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
