"""One replica writes on an appliance at a time: PostgreSQL's advisory locks, all on one session.

A lock ends with its session, never before: not by a lease, which a process that was stopped for a
while would outlive. Therefore no proxy that shares sessions (a transaction pool) may stand between.
Within a process `execution.line` sees to it that one writes at a time.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncpg

from service.errors import Code, ConfigurationError, Waiting
from service.ledger.database import TROUBLE, ended

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from service.ledger.database import Database, Session

MAX_WAIT: Final = 5.0
"""Seconds for which a delivery waits for another replica."""
_LOOK: Final = 0.1
# Of this ledger's schema: two ledgers may stand in one database.
_KEY: Final = "hashtextextended(current_schema() || ' courier ' || $1, 0)"
_LOCK: Final = f"SELECT pg_try_advisory_lock({_KEY})"
_UNLOCK: Final = f"SELECT pg_advisory_unlock({_KEY})"


class Locks:
    """The locks of this process.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        """Have none, and no session yet."""
        self._database = database
        self._session: Session | None = None
        self._opening: asyncio.Task[Session] | None = None
        self._asking = asyncio.Lock()
        self._abandoned: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def held(self, appliance: str, origin: str) -> AsyncIterator[Locked]:
        """Hold the locks of an appliance: of its name and of its origin, in this order.

        Raises:
            Waiting: another replica holds one, or the database does not answer, for too long.
        """
        deadline = asyncio.get_running_loop().time() + MAX_WAIT
        locks: list[Lock] = []
        try:
            try:
                locks.append(await self._acquired(appliance, deadline))
                locks.append(await self._acquired(origin, deadline))
            except TimeoutError:
                raise Waiting(Code.BUSY, f"another courier writes on {appliance}") from None
            yield Locked(locks)
        finally:
            # A cancelled command leaves no lock behind.
            await asyncio.shield(self._release(locks))

    async def run(self, locked: Locked, sql: str, *values: object) -> Sequence[asyncpg.Record]:
        """Run one statement on the session that holds an appliance's locks.

        What it did is durable before the locks can be another session's. If it fails, it may have
        been done all the same, and the locks are lost.

        Raises:
            one of `TROUBLE`: it failed, or the locks were lost before.
        """
        async with self._asking:
            if not locked.stands:
                raise ConnectionError("the locks were lost")
            session = locked.locks[0].session
            try:
                return await session.fetch(sql, *values)
            except asyncpg.UniqueViolationError:
                raise
            except BaseException:
                session.terminate()
                raise

    async def close(self) -> None:
        """End the session, and with it every lock."""
        if self._opening is not None:
            with suppress(*TROUBLE, ConfigurationError):
                await self._opening
        if self._session is not None:
            await ended(self._session)

    async def _acquired(self, key: str, deadline: float) -> Lock:
        """Ask for a lock until it is granted.

        The deadline falls between questions, never into one: a statement that is cut off leaves a
        session of which nobody knows what it holds, and all locks of this process are on it. A
        question that is still open at the deadline is left to its end, and what it brings is
        released.

        Raises:
            TimeoutError: the deadline has passed.
        """
        while True:
            question = asyncio.create_task(self._try(key))
            try:
                async with asyncio.timeout_at(deadline):
                    lock = await asyncio.shield(question)
            except BaseException:
                self._abandon(question)
                raise
            if lock is not None:
                return lock
            async with asyncio.timeout_at(deadline):
                await asyncio.sleep(_LOOK)

    def _abandon(self, question: asyncio.Task[Lock | None]) -> None:
        async def release() -> None:
            if (lock := await question) is not None:
                await self._release([lock])

        task = asyncio.create_task(release())
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)

    async def _try(self, key: str) -> Lock | None:
        """Ask once; None if it is not to be had now."""
        async with self._asking:
            try:
                session = await self._opened()
                taken = await self._ask(session, _LOCK, key)
            except (*TROUBLE, ConfigurationError):
                return None
            return Lock(key, session) if taken else None

    async def _opened(self) -> Session:
        """Give the session; whoever stops waiting for a new one leaves it to the next."""
        if self._session is None or self._session.is_closed():
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(self._open())
                self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
            return await asyncio.shield(self._opening)
        return self._session

    async def _open(self) -> Session:
        self._session = await self._database.session()
        return self._session

    async def _release(self, locks: Sequence[Lock]) -> None:
        for lock in locks:
            async with self._asking:
                if lock.stands:
                    with suppress(*TROUBLE):
                        await self._ask(lock.session, _UNLOCK, lock.key)

    async def _ask(self, session: Session, sql: str, key: str) -> bool:
        try:
            return bool(await session.fetchval(sql, key))
        except BaseException:
            # What the session holds is not known: the server takes back all that it granted.
            session.terminate()
            raise


@dataclass(frozen=True)
class Lock:
    """An advisory lock, for as long as its session lasts."""

    key: str
    session: Session

    @property
    def stands(self) -> bool:
        """Tell whether no other session can have it, as far as is known here."""
        return not self.session.is_closed()


@dataclass(frozen=True)
class Locked:
    """The locks of one appliance."""

    locks: Sequence[Lock]

    @property
    def stands(self) -> bool:
        """Tell whether all of them are held. See `Right`."""
        return all(lock.stands for lock in self.locks)
