"""The cable between an adapter and an appliance: carries bytes, and can damage them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType

_DAMAGED = b"\x17\x03\x03\x00\x20" + bytes(32)
"""A TLS record of application data that nobody can decipher."""


class Cable:
    """Forwards every connection to the appliance at `url`, running inside `async with`.

    Attributes:
        url: the address of the adapter's end.
        garbled: whether what the appliance answers arrives damaged from now on.
    """

    def __init__(self, url: str) -> None:
        self.garbled = False
        self.url = ""
        self._port = urlsplit(url).port
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Note the connection, so that it ends with the cable."""
        self._connections.add(asyncio.create_task(self._carry(reader, writer)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        both = (
            asyncio.create_task(self._pump(reader, far_writer)),
            asyncio.create_task(self._pump(far_reader, writer, answers=True)),
        )
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in both:
                pump.cancel()
            for end in (writer, far_writer):
                end.transport.abort()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool = False
    ) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65_536):
                sink.write(_DAMAGED if answers and self.garbled else data)
                await sink.drain()
