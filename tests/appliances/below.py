"""What stands below the transport, made to fail: connections that do not open, break or say no."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from typing_extensions import override

from service.appliances.http import Http
from service.appliances.transport import Transport

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.tracing import Trace

_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Nothing is verified here, and the default takes its time to load."""


class Line(asyncio.Transport):
    """A connection; `step` of it ends in an exception: connect, write or read.

    Attributes:
        written: what was sent.
    """

    def __init__(self, step: str, error: Exception) -> None:
        super().__init__()
        self.step, self.error = step, error
        self.written = b""
        self.protocol: ResponseHandler | None = None

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.step == "write":
            raise self.error
        self.written += data
        if self.step == "read" and self.protocol is not None:
            self.protocol.set_exception(self.error)

    @override
    def is_closing(self) -> bool:
        return False

    @override
    def close(self) -> None:
        """End without a word."""

    abort = close


class Wall(aiohttp.BaseConnector):
    """Every way leads to the same line."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self.line = line

    @override
    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        if self.line.step == "connect":
            raise self.line.error
        protocol = self.line.protocol = ResponseHandler(asyncio.get_running_loop())
        protocol.connection_made(self.line)
        return protocol


class Below(Transport):
    """The transport over a line of ours."""

    line: Line

    @override
    def _connector(self) -> aiohttp.BaseConnector:
        wall: Any = Wall(self.line)
        wall.allowed_protocol_schema_set = frozenset({"https"})
        connector: aiohttp.BaseConnector = wall
        return connector


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


def http_over(line: Line) -> Http:
    """Make the connections to an appliance, with something else below than the network."""
    http = http_to("https://fac-1.example")
    below = Below(_TLS, connections=1, connect_timeout=1, read_timeout=1)
    below.line = line
    http._transport = below  # noqa: SLF001  # there is no other way in
    return http
