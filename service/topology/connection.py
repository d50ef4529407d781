"""Connections to the broker: restored wherever it answers, watched while they last."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import unquote

import aio_pika
from aio_pika.exceptions import AMQPConnectionError, AMQPError
from aio_pika.robust_channel import RobustChannel

from service.telemetry import log

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Sequence

    import aiormq
    from aio_pika.abc import AbstractConnection, AbstractRobustConnection
    from yarl import URL

DISCONNECTED = "broker-disconnected"
"""Why nothing is done while a connection is lost."""
CONNECT_TIMEOUT = 10.0
"""Seconds that a broker with one address may take for a connection."""
KNOCK_TIMEOUT = 4.0
"""Seconds that one of several nodes may take: one that is frozen takes them, and says nothing."""
CLOSE_TIMEOUT = 2.0
RETRY_PAUSE = 0.5
"""Seconds between two tries, at first."""
_PORTS: Final = {"amqp": 5672, "amqps": 5671}


class Channel(RobustChannel):
    """A channel whose consumers are not waited for without an end.

    aio-pika 10.2.1 restores consumers that the broker took away in the task that also restores the
    connection. Is that lost meanwhile, the task waits for a connection that only it could bring.

    Attributes:
        recovery_timeout: seconds that this may take.
    """

    recovery_timeout = 10.0
    __repr__, __str__ = object.__repr__, object.__str__

    async def _restore_consumers(self) -> bool:
        """Say whether it has to be tried again."""
        try:
            async with asyncio.timeout(self.recovery_timeout):
                return await super()._restore_consumers()
        except TimeoutError:
            return True


class Roaming(aio_pika.RobustConnection):
    """A connection that goes on to the next node when it is lost, and when that does not answer.

    Args:
        addresses: of the broker's nodes; `connect` tries the first.
        tls: for `amqps://`.

    Attributes:
        identity: see `identity_of`; empty before it was ever connected.
        is_whole: it stands, with channels, queues and consumers.
        restore_timeout: seconds for channels, queues and consumers on a new connection.
    """

    restore_timeout = 10.0

    CHANNEL_CLASS = Channel
    # aio-pika's own show the address, with credentials in its query if they stand there.
    __repr__, __str__ = object.__repr__, object.__str__

    def __init__(self, addresses: Sequence[URL], tls: ssl.SSLContext | None) -> None:
        """Keep the addresses; `opened` connects."""
        super().__init__(addresses[0], ssl_context=tls, reconnect_interval=RETRY_PAUSE)
        self._addresses = deque(addresses)
        self.identity = ""
        self.is_whole = False

    @property
    def addresses(self) -> list[URL]:
        """All of them; the one of the moment is the first."""
        return list(self._addresses)

    async def _on_connection_close(self, closing: asyncio.Future[object]) -> None:
        """Be told that it was lost; a try that failed comes here, too."""
        self.is_whole = False
        try:
            await super()._on_connection_close(closing)
        finally:
            self._addresses.rotate(-1)
            self.url = self._addresses[0]

    async def _on_connected(self) -> None:
        """Be told that a node answers, and restore everything there."""
        try:
            self._recognise()
            async with asyncio.timeout(self.restore_timeout):
                await super()._on_connected()
            self.is_whole = self.connected.is_set()
        except (AMQPConnectionError, TimeoutError) as error:
            # aio-pika tries again, but only when the connection has ended.
            if self.transport is not None:
                ending = self.transport.connection.close(error)
                await asyncio.gather(ending, return_exceptions=True)
            raise

    def _recognise(self) -> None:
        """See that it is the same broker, wherever that was reached.

        Raises:
            AMQPConnectionError: it is another.
        """
        found = identity_of(self)
        self.identity = self.identity or found
        if found != self.identity and len(self._addresses) > 1:
            raise AMQPConnectionError(f"that is {found}, and not {self.identity}")


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
        self._told: set[str] = set()
        self.was_lost = False

    def follow(self, connection: AbstractRobustConnection) -> None:
        """Be told about a connection from now on."""
        connection.close_callbacks.add(self.lost)
        connection.reconnect_callbacks.add(self.restored)

    async def lost(
        self, connection: AbstractConnection | None, error: BaseException | None
    ) -> None:
        """Be told by aio-pika that it closed; failed tries to reconnect come here too."""
        self._up.clear()
        self.was_lost = True
        if connection is None:
            return  # it is gone, with all who waited for it
        _unblock(connection)
        where = _where(connection)
        if connection.close_called or where in self._told:
            return  # we closed it ourselves, or it is no news
        silent = error is None or isinstance(error, asyncio.CancelledError)
        reason = "no heartbeat from the broker" if silent else why(error)
        if self._told:
            log.warning("broker-unreachable", broker=where, reason=reason)
        else:
            log.warning("broker-connection-lost", connection=self.name, broker=where, reason=reason)
        self._told.add(where)

    async def restored(self, connection: AbstractConnection | None) -> None:
        """Be told by aio-pika that it is back, with channels, queues and consumers."""
        self._up.set()
        self._told.clear()
        log.info("broker-connection-restored", connection=self.name, broker=_where(connection))


async def opened(addresses: Sequence[URL], tls: ssl.SSLContext | None) -> Roaming:
    """Open a connection to the first address; it is closed even if it never opened.

    aio-pika leaves such a one behind: it goes on trying if it was cancelled meanwhile, and it warns
    about itself when it is collected.
    """
    connection = Roaming(addresses, tls)
    try:
        await connection.connect(KNOCK_TIMEOUT if len(addresses) > 1 else CONNECT_TIMEOUT)
    except BaseException:
        await closed(connection.close())
        raise
    return connection


def told_to_stop() -> bool:
    """Tell whether a `CancelledError` is meant: aiormq raises it when a connection is lost."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def underlay(connection: AbstractConnection) -> aiormq.Connection:
    """Give the connection of the moment: what is done on it is not done again on the next one.

    Raises:
        AMQPConnectionError: it is lost at the moment.
    """
    if connection.transport is None:
        raise AMQPConnectionError("the connection is lost")
    return cast("aiormq.Connection", connection.transport.connection)


def is_connection_trouble(error: Exception) -> bool:
    """Tell whether a call failed because the broker, or the connection to it, ended it.

    aiormq 7.2.4 ends a call with a bare `Exception` where a channel is closed for no reason that
    it could name (`aiormq.base.FutureStore.reject_all`), as when the broker's heartbeats stay out.
    """
    trouble = isinstance(error, AMQPError | OSError | RuntimeError | TimeoutError)
    return trouble or type(error) is Exception


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


def identity_of(connection: AbstractConnection) -> str:
    """Name broker and virtual host in a way that survives a change of address."""
    current = underlay(connection)
    cluster = current.server_properties.get("cluster_name") or "unnamed"
    if isinstance(cluster, bytes):
        cluster = cluster.decode(errors="replace")
    # `amqp://host/` and `amqp://host/%2F` are the same virtual host, which is called "/".
    vhost = unquote(current.url.raw_path[1:])
    return f"{cluster}/{'' if vhost == '/' else vhost}"


def node_of(connection: AbstractConnection) -> str:
    """Say where a connection leads to; nothing while it is lost, or not restored yet."""
    stands = connection.connected.is_set()
    if isinstance(connection, Roaming):
        stands = connection.is_whole
    return node(cast("aio_pika.Connection", connection).url) if stands else ""


def shown(address: URL) -> str:
    """Write an address without its credentials."""
    return f"{node(address)}{address.path}"


def why(error: object) -> str:
    """Say why a node cannot be had; a time-out has no words of its own."""
    return str(error)[:200] or "no answer in time"


def _where(connection: AbstractConnection | None) -> str:
    return shown(cast("aio_pika.Connection", connection).url) if connection else ""


def node(address: URL) -> str:
    """Name a node by its host and port."""
    return f"{address.host}:{address.port or _PORTS[address.scheme]}"
