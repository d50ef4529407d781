"""What stands below httpx, made to fail: a pool, a connection, and what carries its bytes."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, NoReturn

import httpcore
import httpx
from anyio.abc import ByteStream
from httpcore._backends.anyio import AnyIOStream
from typing_extensions import override

from service.appliances.http import Http

if TYPE_CHECKING:
    from collections.abc import Iterable

_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Nothing is verified here, and the default takes its time to load."""


class Pool(httpcore.AsyncConnectionPool):
    """Connections none of which comes about."""

    def __init__(self, error: Exception) -> None:
        super().__init__(ssl_context=_TLS)
        self.error = error

    @override
    async def handle_async_request(self, request: httpcore.Request) -> NoReturn:
        raise self.error


class Line(httpcore.AsyncNetworkStream):
    """A connection; `step` of it ends in an exception: connect, tls, write or read.

    Attributes:
        written: what was sent.
    """

    def __init__(self, step: str, error: Exception) -> None:
        self.step, self.error = step, error
        self.written = b""

    def at(self, step: str) -> None:
        """Fail, if this is the step."""
        if step == self.step:
            raise self.error

    @override
    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.at("read")
        return b""

    @override
    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.at("write")
        self.written += buffer

    @override
    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.at("tls")
        return self

    @override
    async def aclose(self) -> None:
        """End without a word."""

    @override
    def get_extra_info(self, info: str) -> object:
        return None


class Pipe(ByteStream):
    """What anyio carries bytes with; `step`, write or read, ends in an exception."""

    def __init__(self, step: str, error: Exception) -> None:
        self.step, self.error = step, error

    @override
    async def receive(self, max_bytes: int = 65_536) -> bytes:
        raise self.error

    @override
    async def send(self, item: bytes) -> None:
        if self.step == "write":
            raise self.error

    @override
    async def send_eof(self) -> None:
        """End without a word."""

    @override
    async def aclose(self) -> None:
        """End without a word."""


class Network(httpcore.AsyncNetworkBackend):
    """Every way leads to the same end."""

    def __init__(self, end: Line | Pipe) -> None:
        self.end = end

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        if isinstance(self.end, Pipe):
            return AnyIOStream(self.end)
        self.end.at("connect")
        return self.end


def http_to(url: str) -> Http:
    """Make the connections to an appliance."""
    return Http(
        "fac-1",
        url,
        tls=_TLS,
        concurrency=1,
        connect_timeout=1,
        read_timeout=1,
        breaker_failures=5,
        writing=asyncio.Lock(),
    )


def http_over(below: Pool | Line | Pipe) -> Http:
    """Make the connections to an appliance, with something else below httpx than the network."""
    # A pipe has had its TLS already.
    http = http_to("http://fac-1.example" if isinstance(below, Pipe) else "https://fac-1.example")
    transport = http._client._transport  # noqa: SLF001  # httpx has no other way in
    assert isinstance(transport, httpx.AsyncHTTPTransport)
    transport._pool = (  # noqa: SLF001  # the same
        below
        if isinstance(below, Pool)
        else httpcore.AsyncConnectionPool(ssl_context=_TLS, network_backend=Network(below))
    )
    return http
