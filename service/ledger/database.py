"""PostgreSQL as the ledger needs it: every statement is done once its call returns.

A server that is gone, starts, is full or became a standby is waited for, as a locked file is. A
statement whose connection was lost may have been done or not, and is sent again: each of ours can
be.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self, TypeAlias, TypedDict

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from service.errors import ConfigurationError
from service.telemetry import log, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from service.settings import Postgres

    Session: TypeAlias = asyncpg.Connection[asyncpg.Record]
    """A connection, in the words of its server."""

SCHEMA_VERSION: Final = 2
APPLICATION: Final = f"courier/{SCHEMA_VERSION}"
"""What a session is called on the server: it says which schema its statements are for."""
STATEMENT_TIMEOUT: Final = 10.0
"""Seconds after which a statement counts as lost: it is sent again on another connection."""
CONNECT_TIMEOUT: Final = 5.0
_CLOSE_TIMEOUT: Final = 2.0
_CONNECTIONS: Final = 8
_LONGEST_PAUSE: Final = 5.0
WRONG: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ClientConfigurationError,
)
"""What no waiting mends."""
TROUBLE: Final = (
    *(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError),
    # What the driver says first on a session that the server has ended while it was idle.
    asyncpg.InternalClientError,
)
"""Everything that a driver says of a server that did not do what it was asked."""

_SETTINGS: Final = {
    # What is told is durable, whatever the server's default is.
    "synchronous_commit": "on",
    # A host that lost its power says no goodbye: its locks must not stay for two hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25000",
    "application_name": APPLICATION,
}


class _Arguments(TypedDict):
    """What a connection is opened with, in asyncpg's words."""

    dsn: str
    password: Callable[[], str] | None
    timeout: float
    command_timeout: float
    server_settings: dict[str, str]
    target_session_attrs: SessionAttribute | None


class Database:
    """A pool of connections.

    Args:
        place: where it is.
        pool: its connections.
    """

    def __init__(self, place: Postgres, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        """Use `opened`."""
        self._place = place
        self._pool = pool
        self._unavailable = False

    @classmethod
    async def opened(cls, place: Postgres) -> Self:
        """Connect to a server; wait until one answers.

        Raises:
            ConfigurationError: it refuses the user, the password or the database.
        """
        pause, told = 0.5, False
        while True:
            pool = asyncpg.create_pool(
                min_size=0, max_size=_CONNECTIONS, reset=_leave, **_arguments(place)
            )
            try:
                await pool
                await pool.release(await pool.acquire(timeout=CONNECT_TIMEOUT))
            except (*WRONG, ValueError) as error:
                raise refused(place, error) from None
            except TROUBLE as error:
                if not told:
                    log.error("ledger-unavailable", reason=reason_of(error))
                    told = True
            else:
                return cls(place, pool)
            pool.terminate()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    @property
    def is_unavailable(self) -> bool:
        """Tell whether a statement is being waited for."""
        return self._unavailable

    async def run(
        self, sql: str, *values: object, first: Callable[[], None] | None = None
    ) -> Sequence[asyncpg.Record]:
        """Run one statement, a transaction of its own; wait for a server that does not do it.

        Args:
            sql: the statement.
            values: what stands in it.
            first: called before each try.

        Raises:
            asyncpg.UniqueViolationError: another statement was faster.
        """
        pause = 0.1
        while True:
            if first is not None:
                first()
            try:
                rows = await self._fetch(sql, values)
            except asyncpg.UniqueViolationError:
                raise  # the server is well, and does not do it however often it is asked
            except (*TROUBLE, ConfigurationError) as error:
                await self._miss(error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            if self._unavailable:
                self._unavailable = False
                log.info("ledger-available")
            return rows

    async def session(self) -> Session:
        """Open a connection beside the others, for whoever asks to close.

        Raises:
            one of `TROUBLE`: there is none to be had.
        """
        return await asyncpg.connect(**_arguments(self._place))

    async def close(self) -> None:
        """Close every connection, without waiting for a server that does not answer."""
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._pool.close()
        except TROUBLE:
            self._pool.terminate()

    async def _fetch(self, sql: str, values: Sequence[object]) -> Sequence[asyncpg.Record]:
        connection = await self._pool.acquire(timeout=CONNECT_TIMEOUT)
        try:
            return await connection.fetch(sql, *values)
        except BaseException:
            # Whatever it is in the middle of: a polite end would wait for the server.
            connection.terminate()
            raise
        finally:
            await self._pool.release(connection)

    async def _miss(self, error: Exception) -> None:
        """Tell once that the server is not there; its other connections are no better."""
        if not self._unavailable:
            log.error("ledger-unavailable", reason=reason_of(error))
        self._unavailable = True
        await self._pool.expire_connections()


def refused(place: Postgres, error: Exception) -> ConfigurationError:
    """Say what a person can do about a database that cannot be used."""
    if isinstance(error, ValueError) and not isinstance(error, asyncpg.ClientConfigurationError):
        # Of an address that cannot be read, the driver repeats what may be the password.
        return ConfigurationError("COURIER_LEDGER_URL: is no address that can be used")
    return ConfigurationError(f"COURIER_LEDGER_URL: {place} cannot be used: {reason_of(error)}")


async def connected(place: Postgres) -> Session:
    """Open one connection, for a moment.

    Raises:
        ConfigurationError: that is not to be had.
    """
    try:
        return await asyncpg.connect(**_arguments(place))
    except (*TROUBLE, ValueError) as error:
        raise refused(place, error) from None


async def ended(session: Session) -> None:
    """Close a connection, without waiting for a server that does not answer."""
    with suppress(*TROUBLE):
        await session.close(timeout=_CLOSE_TIMEOUT)


def _arguments(place: Postgres) -> _Arguments:
    url = place.url.get_secret_value()
    # A standby, which a list of hosts may name, can record nothing.
    wanted = None if "target_session_attrs" in url else SessionAttribute.read_write
    return {
        "dsn": url,
        "password": place.password if place.password_file else None,
        "timeout": CONNECT_TIMEOUT,
        "command_timeout": STATEMENT_TIMEOUT,
        "server_settings": _SETTINGS,
        "target_session_attrs": wanted,
    }


async def _leave(_: Session) -> None:
    """Leave a connection as it is: our statements leave nothing behind."""


def reason_of(error: BaseException) -> str:
    """Say in one line what went wrong."""
    return redact(" ".join(str(error).split()) or type(error).__name__)[:200]
