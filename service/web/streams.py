"""Server-sent events, so that neither a slow browser nor many of them cost more than a little.

A stream keeps nothing for its browser but the version that it has sent last. What changed since
then is asked of the journal when the browser takes something again, and if that is too much by
then, everything is sent anew.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response, StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from service.messages.wire import Json

    Address = tuple[str, int] | None
    News = Callable[[str, Json], tuple[str, Json, Json] | None]

TICK = 0.25
"""Seconds between two looks: no browser is told more often."""
HEARTBEAT = 10.0
"""Seconds after which something is sent in any case."""
MOST = 20
STUCK = 30.0
"""Seconds for which a browser may take nothing before it has to make room for another one."""


@dataclass(eq=False)
class _Held:
    """A stream that is open, and when its browser last took something."""

    client: Address
    taken_at: float = field(default_factory=time.monotonic)


class Streams:
    """The streams that are open.

    Args:
        news: given the version that was sent last, and how things stood then, tells what these
            are now and what is new; None when nothing is.
        tick, heartbeat: seconds, see above.
    """

    def __init__(self, news: News, *, tick: float = TICK, heartbeat: float = HEARTBEAT) -> None:
        """Open none yet."""
        self._news = news
        self._tick = tick
        self._heartbeat = heartbeat
        self._held: set[_Held] = set()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End all of them, and open no more."""
        self._stopping.set()

    def open(self, request: Request, drop: Callable[[Address], None]) -> Response:
        """Begin one for a browser.

        Args:
            request: its `since`, or what EventSource says when it reconnects, names the version
                that it has.
            drop: ends the connection of a browser that takes nothing any more.
        """
        if self._stopping.is_set():
            return PlainTextResponse("The service is stopping.\n", status_code=503)
        if len(self._held) >= MOST:
            self._make_room(drop)
            sentence = f"{MOST} browsers are looking at this page; close one of them.\n"
            return PlainTextResponse(sentence, status_code=503)
        query = request.query_params.get("since", "")
        since = request.headers.get("last-event-id", query)
        client = request.client
        held = _Held((client.host, client.port) if client else None)
        return _Stream(self._held, held, self._frames(held, since))

    def _make_room(self, drop: Callable[[Address], None]) -> None:
        for held in self._held:
            if time.monotonic() - held.taken_at > STUCK:
                drop(held.client)

    async def _frames(self, held: _Held, since: str) -> AsyncIterator[bytes]:
        """Tell what is new, or that nothing is, until the service stops."""
        yield b"retry: 1000\n\n"
        standing: Json = None
        told_at = time.monotonic()
        while not self._stopping.is_set():
            held.taken_at = time.monotonic()
            news = self._news(since, standing)
            if news is not None:
                since, standing, told = news
                told_at = time.monotonic()
                yield f"id: {since}\ndata: {as_json(told)}\n\n".encode()
            elif time.monotonic() - told_at >= self._heartbeat:
                told_at = time.monotonic()
                yield b": nothing new\n\n"
            with suppress(TimeoutError):
                async with asyncio.timeout(self._tick):
                    await self._stopping.wait()


class _Stream(StreamingResponse):
    """An answer that goes on; it is counted for as long as it does."""

    media_type = "text/event-stream"

    def __init__(self, all_held: set[_Held], held: _Held, frames: AsyncIterator[bytes]) -> None:
        super().__init__(frames)
        self._all_held = all_held
        self._this = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._all_held.add(self._this)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._all_held.discard(self._this)


def as_json(told: Json) -> str:
    """Write it without spaces and without line breaks."""
    return json.dumps(told, separators=(",", ":"))
