"""httpx's requests over aiohttp's connections, with one thing that neither tells: what has left.

httpx's own client takes eight times the CPU of aiohttp for a small answer over TLS, half of that on
any transport. The library that joins the two (httpx-aiohttp 0.2) is not used: by it a PUT is
silently sent again when a reused connection drops, and a refused connection looks like a lost
answer. Here nothing is ever sent twice, and an error says truly on which side of a request's first
byte it happened.
"""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import aiohttp
import httpx
from aiohttp.http import HttpProcessingError
from yarl import URL

from service.errors import CommandError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import SimpleNamespace

    from multidict import MultiMapping

    Leaving: TypeAlias = Callable[[], None]

KEEPALIVE = 5.0
"""Seconds for which a connection is kept that nobody uses, as httpx does."""
_FIRST_FINAL = 200
"""The status of an answer, and not of something before it that nobody asked for."""
_PLAIN = "chunked"
"""The one transfer encoding that packs nothing."""
_NO_HTTP = "what the server sent is no HTTP"
_LARGE = 256 * 1024
_LONGEST_HEADER = 64 * 1024
"""Bytes; session cookies are long."""


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

    async def exchange(
        self, request: httpx.Request, *, most: int, leaving: Leaving | None = None
    ) -> Reply:
        """Send a request once, and read the answer.

        Args:
            request: its body, if it has one, is in memory.
            most: bytes of the answer's body that are wanted.
            leaving: called in the instant before the first byte leaves. What it raises keeps the
                request from leaving, and is raised here.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout: no byte of it has left.
            httpx.RemoteProtocolError: the server closed the connection, or speaks no HTTP.
            httpx.ReadError, httpx.ReadTimeout: it may have left, and there is no whole answer.
        """
        content = request.read()
        sending = _Sending(leaving, has_body=bool(content))
        try:
            async with self._opened().request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=[(name.decode(), value.decode()) for name, value in request.headers.raw],
                # In one piece it would hold up everybody else.
                data=io.BytesIO(content) if len(content) > _LARGE else content or None,
                allow_redirects=False,
                trace_request_ctx=sending,
            ) as response:
                at = time.time()
                packed = response.headers.get("Transfer-Encoding", _PLAIN) != _PLAIN
                if packed or response.status < _FIRST_FINAL:
                    response.close()
                    raise httpx.RemoteProtocolError(_NO_HTTP)
                body = await _read(response, most)
                return Reply(response.status, response.headers, body, at)
        except (CommandError, httpx.TransportError):
            raise
        except _FOREIGN as error:
            raise sending.refusal or _told(error, left=sending.left) from error

    async def aclose(self) -> None:
        """Close the connections."""
        self.is_closed = True
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self.is_closed:
            raise RuntimeError("the connections were closed")
        if self._session is None:
            tracing = aiohttp.TraceConfig()
            tracing.on_request_headers_sent.append(_on_headers)
            tracing.on_request_chunk_sent.append(_on_chunk)
            self._session = aiohttp.ClientSession(
                connector=self._connector(),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("Content-Type", "User-Agent"),
                max_line_size=_LONGEST_HEADER,
                max_field_size=_LONGEST_HEADER,
                middlewares=(_once,),
                trace_configs=[tracing],
            )
        return self._session

    def _connector(self) -> aiohttp.BaseConnector:
        return aiohttp.TCPConnector(
            ssl=self._tls, limit=self._connections, keepalive_timeout=KEEPALIVE
        )


class _Sending:
    """One request on its way.

    Attributes:
        left: nobody can say any more that none of it has left.
        refusal: why it was kept from leaving.
    """

    __slots__ = ("_has_body", "_leaving", "left", "refusal")

    def __init__(self, leaving: Leaving | None, *, has_body: bool) -> None:
        self._leaving = leaving
        self._has_body = has_body
        self.left = False
        self.refusal: Exception | None = None

    def begin(self) -> None:
        """Be told that there is a connection; a head waits there for its body."""
        if not self._has_body:
            self.leave()

    def leave(self) -> None:
        """Be told that a piece is about to leave."""
        if self.left:
            return
        try:
            if self._leaving is not None:
                self._leaving()
        except Exception as error:
            self.refusal = error  # aiohttp wraps what is raised while it writes a body
            raise
        self.left = True


async def _on_headers(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    context.trace_request_ctx.begin()


async def _on_chunk(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    context.trace_request_ctx.leave()


class _Lost(Exception):
    """Around what makes aiohttp send a request again."""


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending anything but a POST twice when its connection is lost."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Lost from error


_FOREIGN = (
    *(aiohttp.ClientError, HttpProcessingError, _Lost),
    *(OSError, ValueError, RuntimeError, AssertionError),
)
"""What aiohttp raises, or lets through from below. (An assertion: the connection was just lost.)"""


def _told(error: Exception, *, left: bool) -> httpx.TransportError:
    """Say in httpx's words what happened."""
    if isinstance(error, _Lost) and isinstance(error.__cause__, Exception):
        error = error.__cause__
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
