"""Server-sent events: what is new, soon, and never more than a browser can take."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from starlette.types import Message, Scope

from service.journal import KEPT, Journal
from service.messages.wire import format_instant, now
from service.topology import Count
from service.web import Web
from service.web.looks import Page
from service.web.standing import Standing
from service.web.streams import MOST
from tests.support.clock import Clock
from tests.support.wait import until
from tests.unit.fakes import FakeFac
from tests.unit.test_web import FakeSurvey

TICK: Final = 0.01
Json = dict[str, Any]


class Browser:
    """One that reads a stream, as ASGI sees it.

    Attributes:
        status: what it was answered.
        chunks: what it has taken.
        takes: cleared, it takes nothing any more.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.status = 0
        self.chunks: list[str] = []
        self.takes = asyncio.Event()
        self.takes.set()
        self._leaves = asyncio.Event()

    async def look(self, web: Web, since: str = "", *, resumed: str | None = None) -> None:
        headers = [(b"host", b"localhost")]
        headers += [(b"last-event-id", resumed.encode())] if resumed else []
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/page/stream",
            "raw_path": b"",
            "root_path": "",
            "query_string": f"since={since}".encode(),
            "headers": headers,
            "client": ("::1", self.port),
        }
        await web.app(scope, self._receive, self._send)

    def leave(self) -> None:
        """Close the tab."""
        self._leaves.set()

    async def _receive(self) -> Message:
        await self._leaves.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self.takes.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.chunks.append(message["body"].decode())

    @property
    def news(self) -> list[Json]:
        return [
            json.loads(line.removeprefix("data: "))
            for chunk in self.chunks
            for line in chunk.splitlines()
            if line.startswith("data: ")
        ]


class Stage:
    """A page with streams, and browsers that look at it."""

    def __init__(self, *, tick: float = TICK, heartbeat: float = 10.0) -> None:
        self.journal = Journal()
        self.fac = FakeFac()
        standing = Standing(list, [self.fac], lambda: {"courier.parked": Count(0, 0)}, FakeSurvey())
        self.page = Page(self.journal, standing, tick=tick, heartbeat=heartbeat)
        self.web = Web("::1", 0, not_ready=list, metrics=lambda: b"", page=self.page)
        self.looking: list[asyncio.Task[None]] = []

    def open(self, since: str = "", *, resumed: str | None = None) -> Browser:
        browser = Browser(len(self.looking))
        self.looking.append(asyncio.create_task(browser.look(self.web, since, resumed=resumed)))
        return browser

    def tell(self, event: str, command: str = "c-1", **fields: object) -> None:
        told = {"timestamp": format_instant(now()), "level": "info", "event": event}
        self.journal.hear({**told, "command_id": command, "command_type": "courier.x.v1", **fields})

    def end(self, command: str) -> None:
        self.tell("command-finished", command, conclusion="succeeded", duration_ms=1)


@asynccontextmanager
async def staged(*, tick: float = TICK, heartbeat: float = 10.0) -> AsyncIterator[Stage]:
    stage = Stage(tick=tick, heartbeat=heartbeat)
    try:
        yield stage
    finally:
        stage.page.streams.stop()
        async with asyncio.timeout(2):
            await asyncio.gather(*stage.looking)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged() as made:
        yield made


async def test_a_stream_begins_with_everything_and_goes_on_with_what_is_new(stage: Stage) -> None:
    """What did not change is not told again: neither commands nor how things stand."""
    stage.tell("command-received", "c-1")
    browser = stage.open()
    await until(lambda: browser.news)
    stage.tell("command-received", "c-2")
    await until(lambda: len(browser.news) == 2)
    first, second = browser.news
    assert (200, True, False) == (browser.status, first["whole"], second["whole"])
    assert (["c-1"], ["c-2"]) == tuple(
        [row["id"] for row in news["commands"]] for news in (first, second)
    )
    assert (True, False) == ("standing" in first, "standing" in second)


async def test_how_things_stand_is_told_when_it_changes(stage: Stage) -> None:
    """Though no command did."""
    browser = stage.open()
    await until(lambda: browser.news)
    stage.fac.standing = stage.fac.standing.__class__("refused", "closed", 0, 1, 1)
    await until(lambda: len(browser.news) == 2)
    assert "refused" == browser.news[1]["standing"]["appliances"][0]["session"]


@pytest.mark.parametrize("by_itself", [True, False])
async def test_a_browser_goes_on_where_it_was(by_itself: bool, stage: Stage) -> None:
    """Whether EventSource reconnects by itself or the page asks."""
    stage.tell("command-received", "c-1")
    browser = stage.open()
    known = (await until(lambda: browser.news))[0]["since"]
    browser.leave()
    stage.tell("command-received", "c-2")
    again = stage.open(resumed=known) if by_itself else stage.open(known)
    (news,) = await until(lambda: again.news)
    assert (False, ["c-2"]) == (news["whole"], [row["id"] for row in news["commands"]])


@pytest.mark.parametrize("since", ["0123456789ab.1", "1", ".", "x" * 5000, "{own}." + "9" * 5000])
async def test_who_names_a_version_of_another_process_gets_everything(
    since: str, stage: Stage
) -> None:
    """After a restart the numbers begin anew."""
    stage.tell("command-received", "c-1")
    first = stage.open()
    own = (await until(lambda: first.news))[0]["since"].partition(".")[0]
    browser = stage.open(since.replace("{own}", own))
    (news,) = await until(lambda: browser.news)
    assert (True, ["c-1"]) == (news["whole"], [row["id"] for row in news["commands"]])


async def test_a_browser_is_told_at_most_four_times_a_second() -> None:
    """However much happens; what happened meanwhile comes together."""
    async with staged(tick=0.25) as stage:
        browser = stage.open()
        began, number = time.monotonic(), 0

        def has_gone_on() -> bool:
            nonlocal number
            number += 1
            stage.end(f"c-{number}")
            return time.monotonic() - began > 0.7

        await until(has_gone_on)
        assert 2 <= len(browser.news) <= 4
        assert max(len(news["commands"]) for news in browser.news) > 3


async def test_silence_is_broken_now_and_then() -> None:
    """So that whatever stands between does not take the connection for dead."""
    async with staged(heartbeat=0.05) as stage:
        browser = stage.open()
        await until(lambda: browser.chunks.count(": nothing new\n\n") >= 2)
        assert 1 == len(browser.news)


async def test_a_browser_that_takes_nothing_costs_nothing(stage: Stage) -> None:
    """Nothing is put by for it: when it takes something again, it gets everything, once."""
    slow, other = stage.open(), stage.open()
    await until(lambda: slow.news)
    slow.takes.clear()
    for number in range(8 * KEPT):
        stage.end(f"c-{number}")
        if number % KEPT == 0:
            seen = len(other.news)
            await until(lambda seen=seen: len(other.news) > seen)  # type: ignore[misc]  # a default in a lambda has no type
    slow.takes.set()
    await until(lambda: len(slow.news) > 1 and slow.news[-1]["since"] == other.news[-1]["since"])
    assert 8 <= len(other.news)
    assert len(slow.news) <= 3
    assert slow.news[-1]["whole"]
    assert KEPT == len(slow.news[-1]["commands"])


async def test_no_more_than_twenty_browsers_look_at_once(stage: Stage) -> None:
    """The next one is told so, and finds a place when one of them has left."""
    browsers = [stage.open() for _ in range(MOST)]
    await until(lambda: all(browser.news for browser in browsers))
    refused = stage.open()
    await until(lambda: refused.status)
    assert (503, True) == (refused.status, "close one of them" in "".join(refused.chunks))
    browsers[3].leave()
    await until(stage.looking[3].done)
    welcome = stage.open()
    await until(lambda: welcome.news)
    assert 200 == welcome.status


async def test_a_stuck_browser_makes_room(
    clock: Clock, stage: Stage, dropped: list[tuple[str, int] | None]
) -> None:
    """One that took nothing for half a minute is cut off when another one wants to look."""
    browsers = [stage.open() for _ in range(MOST)]
    await until(lambda: all(browser.news for browser in browsers))
    browsers[5].takes.clear()
    well = [browser for browser in browsers if browser.takes.is_set()]
    stage.tell("command-received")
    await until(lambda: all(len(browser.news) == 2 for browser in well))
    clock.forward(31)
    stage.tell("command-received", "c-2")
    await until(lambda: all(len(browser.news) == 3 for browser in well))
    refused = stage.open()
    await until(lambda: refused.status)
    assert [("::1", 5)] == dropped
    browsers[5].takes.set()


@pytest.fixture
def dropped(stage: Stage) -> list[tuple[str, int] | None]:
    """Whose connections were ended, on a page whose web server is the test."""
    found: list[tuple[str, int] | None] = []

    class Listening(Web):
        def _drop(self, client: tuple[str, int] | None) -> None:
            found.append(client)

    stage.web = Listening("::1", 0, not_ready=list, metrics=lambda: b"", page=stage.page)
    return found


async def test_a_service_that_stops_ends_its_streams_at_once() -> None:
    """Nobody waits for a tab that somebody left open; and none begins any more."""
    async with staged(tick=60) as stage:
        browsers = [stage.open() for _ in range(3)]
        await until(lambda: all(browser.news for browser in browsers))
        await stage.web.stop()
        await until(lambda: all(task.done() for task in stage.looking))
        late = stage.open()
        await until(lambda: late.status)
        assert 503 == late.status
