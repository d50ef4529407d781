"""What an appliance reads from a request, what it sends back, and the broken ways of sending it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from aiohttp import web
from multidict import CIMultiDict

from service.simulator.actions import Answer, Decision, Hang, Reset, Truncate

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOOK: Final = 0.1  # seconds between two looks for the client of a hung request


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it arrived: path and query are not decoded."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_json(self) -> bool:
        """Whether the content is announced as JSON."""
        kind = self.headers.get("Content-Type", "").partition(";")[0]
        return kind.strip().lower() == "application/json"

    def object(self) -> dict[str, object]:
        """Return the body's JSON object, an empty one when it is none or not announced as JSON."""
        with suppress(ValueError):
            if self.is_json and isinstance(body := json.loads(self.body), dict):
                return body
        return {}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is ready to be sent; ``kind`` is the body's type, where there is a body."""

    status: int
    body: str = ""
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    def altered(self, answer: Answer) -> Reply:
        """Return this answer with what ``answer`` says instead."""
        body = json.dumps(answer.json) if answer.json is not None else answer.body
        named = {name.lower() for name in answer.headers}
        kept = tuple(pair for pair in self.headers if pair[0].lower() not in named)
        return replace(
            self,
            status=answer.status or self.status,
            body=self.body if body is None else body,
            headers=kept + tuple(answer.headers.items()),
        )


async def send(
    request: web.BaseRequest, reply: Reply, decision: Decision | None, closing: asyncio.Event
) -> web.StreamResponse:
    """Send a reply as the deciding fault says; a hung one is given up when ``closing`` is set."""
    if isinstance(decision, Answer) and decision.repeat > 1:
        return await _repeat(request, reply, decision.repeat)
    if isinstance(decision, Truncate):
        return await _truncate(request, reply, decision.keep)
    if isinstance(decision, Hang):
        while request.transport is not None and not closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(closing.wait(), _LOOK)
        return _drop(request, clean=False)
    if isinstance(decision, Reset):
        return _drop(request, clean=decision.clean)
    return web.Response(status=reply.status, body=reply.body.encode(), headers=_headers(reply))


def _headers(reply: Reply) -> CIMultiDict[str]:
    headers = CIMultiDict(reply.headers)
    if reply.body:
        headers.setdefault("Content-Type", reply.kind)
    return headers


async def _repeat(request: web.BaseRequest, reply: Reply, times: int) -> web.StreamResponse:
    """Send the body many times over, until all is sent or the client has gone."""
    response = web.StreamResponse(status=reply.status, headers=_headers(reply))
    piece = reply.body.encode()
    at_once = max(1, 65_536 // max(1, len(piece)))
    with suppress(ConnectionError):
        await response.prepare(request)
        for sent in range(0, times, at_once):
            await response.write(piece * min(at_once, times - sent))
    return response


async def _truncate(request: web.BaseRequest, reply: Reply, keep: int | None) -> web.StreamResponse:
    """Send at least one byte, announce at least one more (as 200 for 204), and close in order."""
    body = reply.body.encode()
    sent = body[: keep or len(body) // 2] or b" "
    status = 200 if reply.status == web.HTTPNoContent.status_code else reply.status
    response = web.StreamResponse(status=status, headers=_headers(reply))
    response.content_length = max(len(body), len(sent) + 1)
    with suppress(ConnectionError):
        await response.prepare(request)
        await response.write(sent)
    _drop(request, clean=True)
    return response


def _drop(request: web.BaseRequest, *, clean: bool) -> web.Response:
    """Close the connection without an answer; what is returned finds it closed."""
    transport = request.transport
    if transport is not None and not clean:
        linger = struct.pack("ii", 1, 0)  # zero seconds: a reset (RST), no orderly end (FIN)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    elif transport is not None:
        transport.close()
    return web.Response()
