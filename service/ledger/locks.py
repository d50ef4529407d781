"""One replica writes on an appliance at a time: PostgreSQL's advisory locks, all on one session.

A lock ends with its session, never before: not by a lease, which a process that was stopped for a
while would outlive. Therefore no proxy that shares sessions (a transaction pool) may stand between.
Within a process `execution.line` sees to it that one writes at a time.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from service.errors import Code, ConfigurationError, Waiting
from service.ledger.database import TROUBLE, ended

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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

    @asynccontextmanager
    async def held(self, appliance: str) -> AsyncIterator[Lock]:
        """Hold an appliance's lock.

        Raises:
            Waiting: another replica has it, or the database does not answer, for too long.
        """
        lock = await self._taken(appliance)
        try:
            yield lock
        finally:
            # Whoever is cancelled meanwhile leaves no lock behind.
            await asyncio.shield(self._give_back(lock))

    async def close(self) -> None:
        """End the session, and with it every lock."""
        if self._opening is not None:
            with suppress(*TROUBLE, ConfigurationError):
                await self._opening
        if self._session is not None:
            await ended(self._session)

    async def _taken(self, appliance: str) -> Lock:
        try:
            async with asyncio.timeout(MAX_WAIT):
                while (lock := await self._try(appliance)) is None:  # noqa: ASYNC110  nobody tells
                    await asyncio.sleep(_LOOK)
                return lock
        except TimeoutError:
            raise Waiting(Code.BUSY, f"another courier writes on {appliance}") from None

    async def _try(self, appliance: str) -> Lock | None:
        """Ask once; None if it is not to be had now."""
        async with self._asking:
            try:
                session = await self._opened()
                taken = await self._ask(session, _LOCK, appliance)
            except (*TROUBLE, ConfigurationError):
                return None
            return Lock(appliance, session) if taken else None

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

    async def _give_back(self, lock: Lock) -> None:
        async with self._asking:
            if lock.stands:
                try:
                    await self._ask(lock.session, _UNLOCK, lock.appliance)
                except TROUBLE:
                    lock.session.terminate()

    async def _ask(self, session: Session, sql: str, appliance: str) -> bool:
        try:
            return bool(await session.fetchval(sql, appliance))
        except BaseException:
            # Nobody knows what it has: the server takes back all that it gave.
            session.terminate()
            raise


class Lock:
    """An appliance's lock, for as long as its session lasts."""

    def __init__(self, appliance: str, session: Session) -> None:
        """Use `Locks.held`."""
        self.appliance = appliance
        self.session = session

    @property
    def stands(self) -> bool:
        """Tell whether nobody else can have it, as far as is known here."""
        return not self.session.is_closed()
