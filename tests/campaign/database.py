"""The ledger that several couriers share in a campaign, and how it is broken."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import asyncpg

from service.ledger.postgres import PostgresLedger
from tests.campaign.proxy import Link
from tests.support.postgres import PrivatePostgres, asked

_OLDER: Final = """
UPDATE courier_ledger
SET created_at = created_at - interval '1 day', used_since = created_at - interval '1 day'
"""
_END_SESSIONS: Final = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name LIKE 'courier/%' AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class Database:
    """A server of its own, with one ledger in it.

    Attributes:
        url: the ledger, by TCP and through the link.
        link: can be made slow, or hold everything back.
    """

    server: PrivatePostgres
    url: str
    link: Link

    async def another(self) -> str:
        """Make a database without a ledger beside it, and say where it is."""
        place = await asyncio.to_thread(self.server.database)
        name = await asyncio.to_thread(asked, place, "SELECT current_database()")
        return self.server.url(str(name))

    async def kill(self, seconds: float) -> None:
        """Pull its plug; it is back after a while."""
        await asyncio.to_thread(self.server.kill)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.server.start)

    async def freeze(self, seconds: float) -> None:
        """Stop it in its tracks for a while: it takes connections and says nothing."""
        await asyncio.to_thread(self.server.freeze)
        try:
            await asyncio.sleep(seconds)
        finally:
            await asyncio.to_thread(self.server.thaw)

    async def end_sessions(self) -> None:
        """Let every courier lose its connections, and with them its locks."""
        with suppress(OSError, TimeoutError, asyncpg.PostgresError):
            await asyncio.to_thread(asked, self.server.place("postgres"), _END_SESSIONS)


@asynccontextmanager
async def shared() -> AsyncIterator[Database]:
    """Have a server, with a ledger that has been in use for long."""
    server = await asyncio.to_thread(PrivatePostgres)
    try:
        await asyncio.to_thread(server.start)
        place = await asyncio.to_thread(server.database)
        await (await PostgresLedger.open(place)).close()
        await asyncio.to_thread(asked, place, _OLDER)
        name = await asyncio.to_thread(asked, place, "SELECT current_database()")
        async with Link.opened("127.0.0.1", server.port) as link:
            url = server.url(str(name)).replace(f":{server.port}/", f":{link.port}/")
            yield Database(server, url, link)
    finally:
        await asyncio.to_thread(server.close)
