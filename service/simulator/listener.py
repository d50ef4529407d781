"""A socket that can be switched off and on, and served with another certificate."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from aiohttp import web

from service.simulator.checks import FieldError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

_PATIENCE: Final = 0.1
"""Seconds that a request in work has left when the appliance is stopped."""

_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not bound


class Listener(ABC):
    """Something that listens on a socket of its own.

    Attributes:
        on: Whether it listens, or will when it is opened.
        issue: Issues its certificates by their names (``certificates``); None without TLS.
    """

    def __init__(self) -> None:
        self.on = True
        self.issue: Callable[[str], ssl.SSLContext] | None = None
        self._address: tuple[str, int, ssl.SSLContext | None] = ("127.0.0.1", 0, None)
        self._runner: web.ServerRunner | None = None
        self._server: web.Server | None = None
        self._closing = asyncio.Event()
        self._switching = asyncio.Lock()

    @property
    def url(self) -> str:
        """Its address; known once it was started."""
        host, port, tls = self._address
        host = _WILDCARDS.get(host, host)
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if tls else 'http'}://{host}:{port}"

    def listen_on(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Say where ``start`` will listen; port 0 is any free one, which is then kept."""
        self._address = (host, port, tls)

    async def start(self) -> None:
        """Begin to listen, after ``stop`` on the same port again."""
        async with self._switching:
            self.on = True
            await self.open()

    async def stop(self) -> None:
        """Close the socket and all connections; everything else stays."""
        async with self._switching:
            self.on = False
            await self.close()

    async def certify(self, certificate: str) -> None:
        """Serve with another one of ``certificates.CERTIFICATES`` from now on; connections end.

        Raises:
            FieldError: it speaks plain HTTP.
        """
        if self.issue is None:
            raise FieldError("", "cannot be changed: it speaks plain HTTP")
        async with self._switching:
            listens = self._runner is not None
            await self.close()
            host, port, _ = self._address
            self.listen_on(host, port, self.issue(certificate))
            if listens:
                await self.open()

    async def open(self) -> None:
        """Listen, if it is on; one that is off has a port all the same, for its ``url``."""
        if self._runner is not None:
            return
        host, port, tls = self._address
        if not self.on:
            self.listen_on(host, port or _free_port(host), tls)
            return
        self._closing = asyncio.Event()
        self._server = web.Server(self.serve, access_log=None)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_PATIENCE)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, ssl_context=tls).start()
        except OSError:
            await self.close()
            raise
        self.listen_on(host, self._runner.addresses[0][1], tls)

    async def close(self) -> None:
        """Close the socket and all connections, whether it is on or not."""
        if self._runner is None or self._server is None:
            return
        self._closing.set()
        transports = [connection.transport for connection in self._server.connections]
        await self._runner.cleanup()
        for transport in transports:
            # A closed TLS transport still waits for the client's farewell. One that was closed
            # twice is gone already, and Python 3.11.2 raises at that.
            with suppress(AttributeError):
                if transport is not None:
                    transport.abort()
        self._runner = None

    @abstractmethod
    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; ``_closing`` is set when there is no time left."""


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as bound:
        bound.bind((host, 0))
        return int(bound.getsockname()[1])
