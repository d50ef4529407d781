"""Connections to the broker: opened when it answers, watched while they last."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

import aio_pika
from aio_pika.exceptions import AMQPConnectionError, AMQPError

from service.errors import ConfigurationError
from service.telemetry import log
from service.topology.refusal import host, refusal

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Sequence

    import aiormq
    from aio_pika.abc import AbstractConnection, AbstractRobustConnection
    from yarl import URL

DISCONNECTED = "broker-disconnected"
"""Why nothing is done while a connection is lost."""
CONNECT_TIMEOUT = 10.0
CLOSE_TIMEOUT = 2.0
LONGEST_PAUSE = 5.0
"""Seconds between two tries, at most."""


class Watch:
    """Tells of one connection when it was lost, and when it is back: once each.

    Args:
        name: which of the service's connections.
        up: set while the connection is whole.

    Attributes:
        was_lost: it is not the first connection any more.
    """

    def __init__(self, name: str, up: asyncio.Event | None = None) -> None:
        """Begin with a connection that is whole."""
        self.name = name
        self._up = up or asyncio.Event()
        self._told = False
        self.was_lost = False

    async def lost(
        self, connection: AbstractConnection | None, error: BaseException | None
    ) -> None:
        """Be told by aio-pika that it closed; failed tries to reconnect come here too."""
        self._up.clear()
        self.was_lost = True
        if connection is not None:
            _unblock(connection)
        if self._told or (connection is not None and connection.close_called):
            return  # or we closed it ourselves
        self._told = True
        silent = error is None or isinstance(error, asyncio.CancelledError)
        reason = "no heartbeat from the broker" if silent else str(error)[:200]
        log.warning("broker-connection-lost", connection=self.name, reason=reason)

    async def restored(self, _: object) -> None:
        """Be told by aio-pika that it is back, with channels, queues and consumers."""
        self._up.set()
        self._told = False
        log.info("broker-connection-restored", connection=self.name)


async def connect(
    addresses: Sequence[URL], tls: ssl.SSLContext | None
) -> tuple[AbstractRobustConnection, URL]:
    """Connect to the first broker that answers; wait until one does.

    Returns:
        The connection and the address that answered.

    Raises:
        ConfigurationError: the broker refuses us, or we do not trust it: see `refusal`.
    """
    pause, told = 0.5, False
    while True:
        for address in addresses:
            try:
                connection = await _opened(address, tls)
            except (AMQPError, OSError, TimeoutError) as error:
                if why := await asyncio.to_thread(refusal, address, error, tls):
                    raise ConfigurationError(why) from None
                if not told:
                    log.warning("broker-unreachable", broker=host(address), reason=str(error))
            else:
                return connection, address
        told = True
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


async def _opened(address: URL, tls: ssl.SSLContext | None) -> AbstractRobustConnection:
    """Open a connection; it is closed even if it never opened.

    aio-pika leaves such a one behind: it goes on trying if it was cancelled meanwhile, and it warns
    about itself when it is collected.
    """
    tls = tls if address.scheme == "amqps" else None
    connection = aio_pika.RobustConnection(address, ssl_context=tls, reconnect_interval=1)
    try:
        await connection.connect(CONNECT_TIMEOUT)
    except BaseException:
        await closed(connection.close())
        raise
    return connection


def told_to_stop() -> bool:
    """Tell whether a `CancelledError` is meant: aiormq raises it when a connection is lost."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def underlay(connection: AbstractRobustConnection) -> aiormq.Connection:
    """Give the connection of the moment: what is done on it is not done again on the next one.

    Raises:
        AMQPConnectionError: it is lost at the moment.
    """
    if connection.transport is None:
        raise AMQPConnectionError("the connection is lost")
    return cast("aiormq.Connection", connection.transport.connection)


def _unblock(connection: AbstractConnection) -> None:
    """Let go of whoever waits for the end of an alarm on a connection that has ended.

    aio-pika 10.2.1 opens a channel again as soon as it has closed. On a connection that was blocked
    it waits there for ever, and holds the lock that it needs on the next connection.
    """
    if connection.transport is not None:
        ended = connection.transport.connection
        ended._Connection__connection_unblocked.set()  # type: ignore[attr-defined] # noqa: SLF001  no public word


async def closed(closing: Awaitable[object]) -> None:
    """Close a connection, without waiting for a broker that does not answer."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await closing
    except asyncio.CancelledError:
        if told_to_stop():
            raise
    except (AMQPError, OSError, RuntimeError):
        pass  # it is closed, or will be with the process


def identity_of(connection: AbstractRobustConnection) -> str:
    """Name broker and virtual host in a way that survives a change of address."""
    current = underlay(connection)
    cluster = current.server_properties.get("cluster_name") or "unnamed"
    if isinstance(cluster, bytes):
        cluster = cluster.decode(errors="replace")
    # `amqp://host/` and `amqp://host/%2F` are the same virtual host, which is called "/".
    vhost = unquote(current.url.raw_path[1:])
    return f"{cluster}/{'' if vhost == '/' else vhost}"
