"""Sessions that nobody uses are closed, and the appliance is told so, if it knows how."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import pytest

from service.errors import Failed
from service.simulator import Answer, Delay, Hang, Reset, Truncate
from tests.appliances.pairs import limited
from tests.support.wait import until

if TYPE_CHECKING:
    from structlog.typing import EventDict

    from service.simulator import Action
    from tests.appliances.pairs import Make, Pair, Voice
    from tests.support.clock import Clock

T = TypeVar("T")

IDLE = 600.0
"""Seconds without a request after which a session is closed, as the tests' limits have it."""
LOGOUT = "/api/v1/VoiceadminLogout"
"""What the adapter tries; the guide documents none."""


def closed(lines: list[EventDict]) -> list[tuple[object, object]]:
    """Return which sessions were closed, and why."""
    found = [line for line in lines if line["event"] == "session-closed"]
    return [(line["appliance"], line["reason"]) for line in found]


def state(pair: Pair) -> str:
    """Tell where the session stands."""
    return pair.adapter.status().session


async def due() -> None:
    """Let happen what is due by now."""
    for _ in range(3):
        await asyncio.sleep(0)


async def done(task: asyncio.Task[T]) -> bool:
    """Tell whether a task ends, once everything that is due has happened."""
    await due()
    ended, _ = await asyncio.wait([task], timeout=0.02)
    return bool(ended)


async def test_a_session_that_nobody_uses_is_closed(
    clock: Clock, pair: Pair, lines: list[EventDict]
) -> None:
    """The number of sessions is limited at the appliance; the next command logs in anew."""
    await pair.read()
    clock.forward(IDLE)
    await until(lambda: state(pair) == "closed")

    assert closed(lines) == [(pair.name, "idle")]
    await pair.read()
    assert pair.logins(reads=2) == 2


async def test_the_time_is_a_setting(make: Make) -> None:
    """An appliance that ends its sessions early is met halfway."""
    pair = make(limited(idle=0.05))
    await pair.read()

    await until(lambda: state(pair) == "closed")


async def test_each_use_begins_the_time_anew(
    clock: Clock, pair: Pair, lines: list[EventDict]
) -> None:
    """What is used now and then stays open."""
    for _ in range(5):
        await pair.read()
        clock.forward(IDLE * 0.9)
        await due()
    await pair.read()

    assert closed(lines) == []
    assert pair.logins(reads=6) == 1

    clock.forward(IDLE)
    await until(lambda: closed(lines))


async def test_a_session_in_which_a_request_is_under_way_is_not_idle(
    clock: Clock, make: Make, lines: list[EventDict]
) -> None:
    """However long the appliance takes for it; its time begins when it is answered."""
    pair = make(read_timeout=3600.0)
    await pair.read()
    pair.fault(Delay(seconds=3 * IDLE), times=1)
    reading = asyncio.create_task(pair.read())
    await until(lambda: pair.simulated.books.in_flight)
    for _ in range(2):
        clock.forward(IDLE)
        assert not await done(reading)

    clock.forward(IDLE)
    await reading
    await pair.read()

    assert closed(lines) == []
    assert pair.logins(reads=3) == 1


async def test_a_session_that_was_replaced_meanwhile_ends_no_newer_one(
    clock: Clock, pair: Pair, lines: list[EventDict]
) -> None:
    """Each session has its own time."""
    await pair.read()
    clock.forward(IDLE / 2)
    pair.end_session()
    await pair.read()

    clock.forward(IDLE / 2)
    await pair.read()

    assert closed(lines) == []
    assert pair.logins(reads=3) == 2


async def test_the_appliance_is_told_of_an_idle_sessions_end(clock: Clock, voice: Voice) -> None:
    """Sessions are scarce there: one that is not needed is given back."""
    voice.simulated.logout_path = LOGOUT
    await voice.read()

    clock.forward(IDLE)
    await until(lambda: voice.simulated.books.sessions_ended)

    assert voice.simulated.books.sessions_ended == {"logout": 1}
    assert voice.simulated.books.sessions_open == 0


async def test_closing_logs_out(voice: Voice, lines: list[EventDict]) -> None:
    """A service that ends leaves no session behind."""
    voice.simulated.logout_path = LOGOUT
    await voice.read()

    await voice.adapter.close("stopping")

    assert voice.simulated.books.sessions_ended == {"logout": 1}
    assert closed(lines) == [("fvc-1", "stopping")]


async def test_closing_without_a_session_sends_nothing(pair: Pair) -> None:
    """There is nothing to log out from, and nobody logs in for it."""
    await pair.adapter.close("stopping")

    assert not pair.simulated.books.requests


async def test_a_fortiauthenticator_knows_no_logout(pair: Pair) -> None:
    """HTTP Basic has none: it is asked nothing at the end. A FortiVoice is asked one thing."""
    await pair.read()
    before = pair.simulated.books.requests.total()

    await pair.adapter.close("stopping")

    assert before + (pair.name == "fvc-1") == pair.simulated.books.requests.total()


@pytest.mark.parametrize(
    "action",
    [
        None,
        *(Answer(status=status) for status in (301, 400, 401, 403, 404, 405, 429, 500, 503)),
        Answer(body="<h1>Good bye</h1>"),
        Answer(headers={"Set-Cookie": "APSCOOKIE=another"}),
        Reset(),
        Truncate(),
    ],
    ids=lambda action: str(action)[:60],
)
async def test_a_logout_that_the_appliance_does_not_take_harms_nothing(
    clock: Clock, voice: Voice, lines: list[EventDict], action: Action | None
) -> None:
    """Nobody is told, nothing is repeated, and the next command logs in as ever."""
    if action is not None:
        voice.simulated.logout_path = LOGOUT
        voice.fault(action, "logout")
    await voice.read()
    clock.forward(IDLE)
    await until(lambda: voice.requests("logout") + voice.requests("other"))

    await voice.read()

    assert voice.requests("logout") + voice.requests("other") == 1
    assert voice.logins(reads=2) == 2
    assert {line["log_level"] for line in lines} <= {"debug", "info"}


async def test_a_logout_that_hangs_keeps_the_end_waiting_for_three_seconds_at_most(
    clock: Clock, voice: Voice
) -> None:
    """The service has better things to do with its last moments."""
    voice.simulated.logout_path = LOGOUT
    voice.fault(Hang(), "logout")
    await voice.read()
    closing = asyncio.create_task(voice.adapter.close("stopping"))
    await until(lambda: voice.requests("logout"))
    clock.forward(2.5)
    assert not await done(closing)

    clock.forward(0.5)
    await closing


async def test_while_a_logout_hangs_commands_go_on(clock: Clock, voice: Voice) -> None:
    """The session is forgotten first; whoever comes meanwhile gets a new one."""
    voice.simulated.logout_path = LOGOUT
    voice.fault(Hang(), "logout")
    await voice.read()
    clock.forward(IDLE)
    await until(lambda: voice.requests("logout"))

    await voice.stampede(20)

    assert voice.logins(reads=21) == 2
    assert voice.strays() == 0
    voice.simulated.faults.replace([])
    clock.forward(3)


async def test_a_logout_from_an_appliance_that_is_gone_harms_nothing(
    pair: Pair, lines: list[EventDict]
) -> None:
    """The service ends all the same."""
    await pair.read()
    await pair.simulated.stop()

    await pair.adapter.close("stopping")

    assert closed(lines) == [(pair.name, "stopping")]


async def test_a_login_that_is_under_way_at_the_end_is_given_back_too(voice: Voice) -> None:
    """What the appliance has begun to open is closed again."""
    voice.simulated.logout_path = LOGOUT
    voice.fault(Delay(seconds=0.1), "login")
    reading = asyncio.create_task(voice.adapter.check())
    await until(lambda: voice.simulated.books.in_flight)

    await voice.adapter.close("stopping")

    assert voice.simulated.books.sessions_ended == {"logout": 1}
    await reading


async def test_a_login_that_hangs_keeps_the_end_waiting_for_three_seconds_at_most(
    clock: Clock, pair: Pair
) -> None:
    """Whoever waits for it is told, and nobody hangs."""
    pair.fault(Hang(), pair.login)
    reading = asyncio.create_task(pair.adapter.check())
    await until(lambda: pair.simulated.books.in_flight)
    closing = asyncio.create_task(pair.adapter.close("stopping"))
    assert not await done(closing)

    clock.forward(3)
    await closing

    async with asyncio.timeout(1):
        await asyncio.wait([reading])
    assert isinstance(reading.exception(), Failed)
