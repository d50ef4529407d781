"""The HTTP surface, read only: is the process alive, is it ready, and if not, why; metrics."""

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

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from starlette.requests import Request


class _Server(uvicorn.Server):
    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # its generator type is narrower than needed
        """Leave the signals to `app.serve`."""
        return nullcontext()


class Web:
    """Answers probes.

    Args:
        host, port: where; port 0 takes a free one.
        not_ready: the reasons why nothing is done at the moment, none when all is well.
        metrics: what Prometheus reads, in its text format.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        not_ready: Callable[[], list[str]],
        metrics: Callable[[], bytes],
    ) -> None:
        """Build the routes; `start` listens."""
        self._host = host
        self._port = port
        self._not_ready = not_ready
        self._metrics = metrics
        self._task: asyncio.Task[None] | None = None
        routes = [
            Route("/health/live", self._live),
            Route("/health/ready", self._ready),
            Route("/metrics", self._measure),
        ]
        self._server = _Server(
            uvicorn.Config(
                Starlette(routes=routes), log_config=None, access_log=False, lifespan="off"
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
        """Stop listening."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task

    async def _live(self, _: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def _ready(self, _: Request) -> JSONResponse:
        reasons = sorted(set(self._not_ready()))
        status = "not ready" if reasons else "ready"
        return JSONResponse(
            {"status": status, "reasons": reasons}, status_code=503 if reasons else 200
        )

    async def _measure(self, _: Request) -> Response:
        return Response(self._metrics(), media_type=CONTENT_TYPE_LATEST)
