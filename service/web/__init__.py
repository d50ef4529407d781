"""The HTTP surface, read only: is it alive, is it ready, if not, why; metrics; pages to look at.

- `looks`: the page's routes, what it is told.
- `standing`: how things stand, what needs a person, and what to do.
- `streams`: what is new, by server-sent events.
- `guard`: what browsers are told to keep to.
- `documents`: what the messages look like.
- `page/`, `docs/`: the files that the browser gets.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import nullcontext
from typing import TYPE_CHECKING

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.errors import ConfigurationError
from service.web.documents import documents
from service.web.guard import Guard
from service.web.looks import Page, page_is_off

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from starlette.requests import Request

    from service.web.streams import Address

_LAST_ANSWERS = 1.0
"""Seconds that an answer has to get out when the service stops; some browser may not take it."""


class _Server(uvicorn.Server):
    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # its generator type is narrower than needed
        """Leave the signals to `app.serve`."""
        return nullcontext()


class Web:
    """Answers probes, and shows the page.

    Args:
        host, port: where; port 0 takes a free one.
        not_ready: the reasons why nothing is done at the moment, none when all is well.
        metrics: what Prometheus reads, in its text format.
        connected: the broker's node that each connection leads to; empty while it is lost.
        page: None where it is off.

    Attributes:
        app: what answers, as ASGI has it.
        routes: all that there is to ask for.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        not_ready: Callable[[], list[str]],
        metrics: Callable[[], bytes],
        connected: Callable[[], Mapping[str, str]] = dict,
        page: Page | None = None,
    ) -> None:
        """Build the routes; `start` listens."""
        self._host = host
        self._port = port
        self._not_ready = not_ready
        self._connected = connected
        self._metrics = metrics
        self._page = page
        self._task: asyncio.Task[None] | None = None
        self.routes = [
            Route("/health/live", self._live),
            Route("/health/ready", self._ready),
            Route("/metrics", self._measure),
            *documents(),
            *(page.routes(self._drop) if page else page_is_off()),
        ]
        app = Starlette(routes=self.routes)
        # It would send a browser to wherever the request's own Host header says.
        app.router.redirect_slashes = False
        self.app = Guard(app, page.names if page else None)
        self._server = _Server(
            uvicorn.Config(
                self.app,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                # Nobody stands before us who says whom a request is from.
                proxy_headers=False,
            )
        )
        self.address = ""

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: the address is in use or not ours.
        """
        try:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            listening = socket.create_server((self._host, self._port), family=family)
        except OSError as error:
            raise ConfigurationError(
                f"COURIER_HTTP_HOST, COURIER_HTTP_PORT: cannot listen on"
                f" {self._host}:{self._port}: {error.strerror}"
            ) from None
        self.address = f"http://{self._host}:{listening.getsockname()[1]}"
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]))

    async def stop(self) -> None:
        """Stop listening; whoever does not take an answer is not waited for."""
        if self._page is not None:
            self._page.streams.stop()
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_LAST_ANSWERS)
            for connection in self._connections().values():
                connection.abort()
            await self._task

    def _drop(self, client: Address) -> None:
        """End a browser's connection, whatever is still to be sent to it."""
        if client in (connections := self._connections()):
            connections[client].abort()

    def _connections(self) -> dict[Address, asyncio.Transport]:
        """Look where uvicorn keeps its connections; only some of its protocols say whose it is."""
        # uvloop's transports are none of asyncio's class.
        return {
            getattr(each, "client", None): each.transport
            for each in self._server.server_state.connections
            if hasattr(getattr(each, "transport", None), "abort")
        }

    async def _live(self, _: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def _ready(self, _: Request) -> JSONResponse:
        reasons = sorted(set(self._not_ready()))
        status = "not ready" if reasons else "ready"
        told = {"status": status, "reasons": reasons, "broker": dict(self._connected())}
        return JSONResponse(told, status_code=503 if reasons else 200)

    async def _measure(self, _: Request) -> Response:
        return Response(self._metrics(), media_type=CONTENT_TYPE_LATEST)
