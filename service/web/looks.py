"""The page: what runs, what came of the last commands, what needs a person; read only, and live.

Everything that it shows comes by `/page/state` and `/page/stream`; both tell the same, the whole of
it or what changed. The browser does the rest (`page/`).
"""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from service.messages.wire import now
from service.web.streams import HEARTBEAT, TICK, Streams, as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from starlette.requests import Request

    from service.journal import Journal, Look
    from service.journal.followed import Followed
    from service.journal.hour import Minute
    from service.messages.wire import Json
    from service.web.standing import Standing
    from service.web.streams import Address

_FILES = {
    "index.html": "text/html",
    "style.css": "text/css",
    "page.js": "text/javascript",
    "charts.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_NO_PAGE = (
    "The page is off. COURIER_PAGE=true shows it to everybody who reaches this port; without that"
    " it is there only where COURIER_HTTP_HOST is a loopback address.\n"
)
_DIGITS = 15


class Page:
    """Answers `/` and `/page/...`.

    Args:
        journal: what the commands are told from.
        standing: tells the rest.
        names: hosts that it may be asked for by; None for any.
        tick, heartbeat: seconds, see `streams`.

    Attributes:
        streams: those that are open.
    """

    def __init__(
        self,
        journal: Journal,
        standing: Standing,
        *,
        names: Collection[str] | None = None,
        tick: float = TICK,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        """Read its files."""
        self.names = names
        self.streams = Streams(self._news, tick=tick, heartbeat=heartbeat)
        self._journal = journal
        self._standing = standing
        self._version = version("appliance-courier")
        self._started = now()
        # Another process counts its own versions: a browser that stayed must begin anew with it.
        self._process = uuid4().hex[:12]
        folder = Path(__file__).parent / "page"
        self._files = {name: (folder / name).read_bytes() for name in _FILES}

    def routes(self, drop: Callable[[Address], None]) -> list[Route]:
        """List the routes.

        Args:
            drop: ends a browser's connection.
        """
        return [
            Route("/", partial(self._file, "index.html")),
            Route("/page/state", self._state),
            Route("/page/stream", partial(self._stream, drop)),
            Route("/page/commands/{number}", self._command),
            *(Route(f"/page/{name}", partial(self._file, name)) for name in _FILES),
        ]

    async def _file(self, name: str, _: Request) -> Response:
        return Response(self._files[name], media_type=_FILES[name])

    async def _state(self, _: Request) -> Response:
        return _json(self._told(self._journal.look(), self._standing.told()))

    async def _stream(self, drop: Callable[[Address], None], request: Request) -> Response:
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        return self.streams.open(request, drop)

    async def _command(self, request: Request) -> Response:
        number = _number(request.path_params["number"])
        one = None if number is None else self._journal.find(number)
        if one is None:
            return PlainTextResponse("This command is not kept any more.\n", status_code=404)
        return _json(
            _row(one)
            | {
                "left_out": one.left_out,
                "lines": [
                    {
                        "at": each.at,
                        "level": each.level,
                        "event": each.event,
                        "fields": {**each.fields},
                    }
                    for each in one.lines
                ],
            }
        )

    def _news(self, since: str, before: Json) -> tuple[str, Json, Json] | None:
        """Tell what a browser does not know yet."""
        process, _, number = since.partition(".")
        known = _number(number) if process == self._process else None
        stands = self._standing.told()
        if known == self._journal.version and stands == before:
            return None
        look = self._journal.look(known)
        told = self._told(look, None if stands == before and not look.whole else stands)
        return f"{self._process}.{look.version}", stands, told

    def _told(self, look: Look, stands: Json) -> Json:
        told: dict[str, Json] = {
            "whole": look.whole,
            "since": f"{self._process}.{look.version}",
            "now": round(now().timestamp() * 1000),
            "commands": [_row(each) for each in look.commands],
            "gone": [*look.gone],
            "minutes": [_minute(each) for each in look.minutes],
            "hour": {"p50": look.hour.quantile(0.5), "p95": look.hour.quantile(0.95)},
        }
        if look.whole:
            started = round(self._started.timestamp() * 1000)
            told |= {"version": self._version, "started": started}
        return told if stands is None else told | {"standing": stands}


def page_is_off() -> list[Route]:
    """List the routes that say how to have the page."""

    async def say(_: Request) -> Response:
        return PlainTextResponse(_NO_PAGE, status_code=404)

    return [Route("/", say), Route("/page/{rest:path}", say)]


def _row(one: Followed) -> dict[str, Json]:
    return {
        "number": one.number,
        "id": one.id,
        "type": one.type,
        "appliance": one.appliance,
        "correlation_id": one.correlation_id,
        "received": one.received,
        "state": one.state.value,
        "attempts": one.attempts,
        "conclusion": one.conclusion,
        "error": one.error,
        "until": one.until,
        "ended": one.ended,
        "duration": one.duration,
        "repeated": one.repeated,
        "changed": one.changed,
    }


def _minute(minute: Minute) -> Json:
    durations = minute.durations
    return {
        "number": minute.number,
        "ends": {**minute.ends},
        "p50": durations.quantile(0.5),
        "p95": durations.quantile(0.95),
    }


def _number(text: str) -> int | None:
    """Read one of our own numbers; None if it is none."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


def _json(told: Json) -> Response:
    return Response(as_json(told), media_type="application/json")
