"""httpx's requests over aiohttp's connections, with one thing that neither tells: what has left.

httpx's own client takes eight times the CPU of aiohttp for a small answer over TLS, half of that on
any transport. The library that joins the two (httpx-aiohttp 0.2) is not used: by it a PUT is
silently sent again when a reused connection drops, and a refused connection looks like a lost
answer. Here nothing is ever sent twice, and an error says truly on which side of a request's first
byte it happened.
"""

from __future__ import annotations

import asyncio
import io
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import aiohttp
import httpx
from aiohttp.helpers import TimerNoop
from aiohttp.http import HttpProcessingError
from multidict import CIMultiDict
from typing_extensions import override
from yarl import URL

from service.errors import CommandError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.connector import Connection
    from multidict import MultiMapping

    Leaving: TypeAlias = Callable[[], None]

KEEPALIVE = 30.0
"""Seconds for which a connection is kept that nobody uses. Its end is noticed if the appliance
closes it first; with a thousand appliances each is visited every few seconds only."""
_FIRST_FINAL = 200
"""The status of an answer, and not of something before it that nobody asked for."""
_PLAIN = "chunked"
"""The one transfer encoding that packs nothing."""
_CLOSED = "the connections were closed"
_NO_HTTP = "what the server sent is no HTTP"
_OURS = frozenset({"Content-Type", "User-Agent"})
_NO_TIMER = TimerNoop()
_LARGE = 256 * 1024
_LONGEST_HEADER = 64 * 1024
"""Bytes; session cookies are long."""


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """A request, put together; its address is encoded."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        body: None if it is longer than what was wanted.
        at: when it began, in seconds since 1970.
    """

    status: int
    headers: MultiMapping[str] = field(repr=False)
    body: bytes | None = field(repr=False)
    at: float


class Transport:
    """The connections to one server, opened as they are needed.

    Args:
        tls: how the server's certificate is verified.
        connections: at most.
        connect_timeout: seconds until a connection stands, TLS included.
        read_timeout: seconds between two pieces of an answer.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        *,
        connections: int,
        connect_timeout: float,
        read_timeout: float,
    ) -> None:
        """Keep the parts; a session wants a running loop."""
        self._tls = tls
        self._connections = connections
        self._timeout = aiohttp.ClientTimeout(
            total=None,
            connect=connect_timeout,
            sock_connect=connect_timeout,
            sock_read=read_timeout,
        )
        self._session: aiohttp.ClientSession | None = None
        self.is_closed = False

    async def exchange(self, asked: Asked, *, most: int, leaving: Leaving | None = None) -> Reply:
        """Send a request once, and read the answer.

        Args:
            asked: the request.
            most: bytes of the answer's body that are wanted.
            leaving: called in the instant before the first byte leaves. What it raises keeps the
                request from leaving, and is raised here.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout: no byte of it has left.
            httpx.RemoteProtocolError: the server closed the connection, or speaks no HTTP.
            httpx.ReadError, httpx.ReadTimeout: it may have left, and there is no whole answer.
        """
        session = self._opened()
        sent = _Request(
            asked.method,
            URL(asked.url, encoded=True),
            headers=CIMultiDict(asked.headers),
            skip_auto_headers=_OURS,
            # In one piece it would hold up everybody else.
            data=io.BytesIO(asked.body) if len(asked.body) > _LARGE else asked.body or None,
            loop=asyncio.get_running_loop(),
            session=session,
        )
        sent.leaving = leaving
        try:
            response = await self._answered(session, sent)
            at = time.time()
            packed = response.headers.get("Transfer-Encoding", _PLAIN) != _PLAIN
            if packed or response.status < _FIRST_FINAL:
                response.close()
                raise httpx.RemoteProtocolError(_NO_HTTP)
            try:
                return Reply(response.status, response.headers, await _read(response, most), at)
            except BaseException:
                response.close()
                raise
        except _FOREIGN as error:
            raise _told(error, left=sent.left) from error

    async def _answered(
        self, session: aiohttp.ClientSession, sent: _Request
    ) -> aiohttp.ClientResponse:
        """Do what aiohttp's session does, without what it does twice."""
        if session.connector is None:
            raise httpx.ConnectError(_CLOSED)
        connection = await session.connector.connect(sent, traces=[], timeout=self._timeout)
        if connection.protocol is None:
            raise httpx.ConnectError(_CLOSED)
        try:
            connection.protocol.set_response_params(
                timer=_NO_TIMER,
                auto_decompress=False,
                read_until_eof=True,
                read_timeout=self._timeout.sock_read,
                max_line_size=_LONGEST_HEADER,
                max_field_size=_LONGEST_HEADER,
            )
            response = await sent.send(connection)
            try:
                return await response.start(connection)
            except BaseException:
                response.close()
                raise
        except BaseException:
            connection.close()
            raise

    async def aclose(self) -> None:
        """Close the connections."""
        self.is_closed = True
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self.is_closed:
            raise httpx.ConnectError(_CLOSED)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self._connector(), cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _connector(self) -> aiohttp.BaseConnector:
        return aiohttp.TCPConnector(
            ssl=self._tls, limit=self._connections, keepalive_timeout=KEEPALIVE
        )


class _Request(aiohttp.ClientRequest):
    """One request on its way.

    Attributes:
        leaving: see `Transport.exchange`.
        left: nobody can say any more that none of it has left.
        refusal: what `leaving` raised in the task that writes head and body.
    """

    leaving: Leaving | None = None
    left = False
    refusal: CommandError | None = None

    @override
    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Send it, but for a body, with which the head leaves."""
        if not self.body:
            self._leave()
        response = await super().send(conn)
        if self.refusal is not None:
            response.close()
            raise self.refusal
        return response

    @override
    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Send head and body, in a task of aiohttp's.

        A refusal reaches the caller in one of two ways: by `refusal` if the task ran within `send`
        (Python 3.12 and newer start it eagerly), else by the protocol, which is being read.
        """
        try:
            self._leave()
        except CommandError as error:
            self.refusal = error
            if conn.protocol is not None:
                conn.protocol.set_exception(error)
            conn.close()
        else:
            await super().write_bytes(writer, conn, content_length)

    def _leave(self) -> None:
        if self.leaving is not None:
            self.leaving()
        self.left = True


_FOREIGN = (
    *(aiohttp.ClientError, HttpProcessingError),
    *(OSError, ValueError, RuntimeError, AssertionError),
)
"""What aiohttp raises, or lets through from below. (An assertion: the connection was just lost.)"""


def _told(error: Exception, *, left: bool) -> httpx.TransportError:
    """Say in httpx's words what happened."""
    is_late = isinstance(error, TimeoutError)
    if not left:
        return httpx.ConnectTimeout("timed out") if is_late else httpx.ConnectError(str(error))
    if is_late:
        return httpx.ReadTimeout("timed out")
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return httpx.RemoteProtocolError("the server closed the connection without an answer")
    if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
        return httpx.RemoteProtocolError(_NO_HTTP)
    if isinstance(error, aiohttp.ClientPayloadError):
        return httpx.RemoteProtocolError("the answer was cut off")
    return httpx.ReadError(str(error))


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    """Read a body, but no more of it than is wanted: None if there is more."""
    content, pieces, size = response.content, [], 0
    while not content.at_eof():
        piece = await content.readany()
        size += len(piece)
        if size > most:
            response.close()
            return None
        pieces.append(piece)
    return b"".join(pieces)
