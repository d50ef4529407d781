"""An appliance that cannot be reached, or that wants to be left alone, is left alone."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trustme

from service.appliances.ports import NotSent
from service.errors import Code, CommandError, Failed, Waiting
from service.simulator import Answer, Delay, Hang, Reset, Truncate
from tests.appliances.pairs import limited
from tests.support.wait import until

if TYPE_CHECKING:
    from structlog.typing import EventDict

    from tests.appliances.pairs import Make, Pair, Sms, Voice
    from tests.support.clock import Clock

FAILURES = 5
"""Connections in a row that cannot be made before the breaker opens."""
PAUSE = 5.0
"""Seconds between two looks at an appliance that cannot be reached."""
MOST = 600.0
"""Seconds for which a `Retry-After` is obeyed at most."""


def about(lines: list[EventDict], *slugs: str) -> list[EventDict]:
    """Return the lines of the event log with these slugs."""
    return [line for line in lines if line["event"] in slugs]


def breaker(pair: Pair) -> str:
    """Tell how the breaker stands."""
    return pair.adapter.status().breaker


async def miss(pair: Pair, times: int = FAILURES) -> None:
    """Fail to reach the appliance that often."""
    for _ in range(times):
        with pytest.raises(NotSent):
            await pair.read()


async def kept_back(pair: Pair) -> Waiting:
    """Read, and return why nothing was sent; nothing may have arrived."""
    before = pair.simulated.books.requests.total()
    with pytest.raises(Waiting) as caught:
        await pair.read()
    assert before == pair.simulated.books.requests.total()
    return caught.value


async def lost(pair: Pair) -> None:
    """Open a session, then make the appliance unreachable until the breaker is open."""
    await pair.read()
    await pair.simulated.stop()
    await miss(pair)


async def test_after_five_refused_connections_commands_wait_without_connecting(
    pair: Pair,
) -> None:
    """They come back through the broker, instead of each running into the time-out."""
    await pair.simulated.stop()
    await miss(pair)
    await pair.simulated.start()

    error = await kept_back(pair)

    assert (error.code, breaker(pair)) == (Code.UNREACHABLE, "open")
    assert error.message.startswith(f"{pair.name} cannot be reached: ")


@pytest.mark.parametrize("failures", [1, 3])
async def test_how_many_is_a_setting(make: Make, failures: int) -> None:
    """One fewer leaves it closed."""
    pair = make(limited(breaker_failures=failures))
    await pair.simulated.stop()

    await miss(pair, failures - 1)
    assert breaker(pair) == "closed"
    await miss(pair, 1)
    assert breaker(pair) == "open"


async def test_an_answer_begins_the_count_anew(pair: Pair) -> None:
    """Only failures in a row say that it is gone."""
    for _ in range(3):
        await pair.simulated.stop()
        await miss(pair, FAILURES - 1)
        await pair.simulated.start()
        await pair.read()

    assert breaker(pair) == "closed"


@pytest.mark.parametrize("status", [200, 301, 404, 500, 503])
async def test_an_answer_of_any_kind_leaves_it_closed(pair: Pair, status: int) -> None:
    """An appliance that is confused, or in trouble, is there."""
    await pair.read()
    pair.fault(Answer(status=status, body="<h1>no</h1>"))
    for _ in range(FAILURES + 1):
        with pytest.raises(Failed):
            await pair.read()

    assert breaker(pair) == "closed"


@pytest.mark.parametrize("action", [Reset(), Truncate(), Hang()], ids=lambda each: str(each.name))
async def test_requests_that_get_no_answer_open_it_too(
    make: Make, action: Reset | Truncate | Hang
) -> None:
    """An appliance that takes connections and says nothing would cost each command a time-out."""
    pair = make(read_timeout=0.05)
    await pair.read()
    pair.fault(action)
    for _ in range(FAILURES):
        with pytest.raises(Failed, match=f"no answer from {pair.name}"):
            await pair.read()

    assert "no answer from" in (await kept_back(pair)).message


async def test_logins_that_the_appliance_cannot_serve_open_it_too(pair: Pair) -> None:
    """Nothing works without one; who waits is told what was answered."""
    pair.fault(Answer(status=500), pair.login)
    for _ in range(FAILURES):
        with pytest.raises(Failed):
            await pair.read()

    error = await kept_back(pair)

    assert (Code.APPLIANCE_ERROR, 500) == (error.code, error.status)


async def test_certificates_that_are_not_trusted_open_it(pair: Pair) -> None:
    """The one who repairs it reads the reason from every command that waits."""
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(stranger)
    await pair.simulated.stop()
    port = int(pair.simulated.url.rpartition(":")[2])
    pair.simulated.listen_on("127.0.0.1", port, stranger)
    await pair.simulated.start()
    await miss(pair)

    error = await kept_back(pair)

    assert error.code is Code.UNREACHABLE
    assert f"{pair.name} cannot be reached: its certificate is not trusted" in error.message


async def test_when_the_pause_is_over_one_request_looks_and_the_others_wait(
    clock: Clock, pair: Pair
) -> None:
    """A command that meets another one's look comes back later."""
    await lost(pair)
    await pair.simulated.start()
    pair.fault(Delay(seconds=0.1), times=1)
    before = pair.requests(pair.reading)
    clock.forward(PAUSE)

    told = await pair.stampede(20)

    errors = [error for error in told if isinstance(error, Waiting)]
    assert [Code.UNREACHABLE] * 19 == [error.code for error in errors]
    assert before + 1 == pair.requests(pair.reading)


async def test_an_answer_closes_it_for_all(clock: Clock, pair: Pair) -> None:
    """The session is the one from before: an outage is no reason to log in."""
    await lost(pair)
    await pair.simulated.start()
    clock.forward(PAUSE)
    await pair.read()

    told = await pair.stampede(20)

    assert [error for error in told if isinstance(error, Exception)] == []
    assert pair.logins(reads=22) == 1


@pytest.mark.parametrize("status", [200, 404, 503])
async def test_whatever_comes_back_closes_it(clock: Clock, pair: Pair, status: int) -> None:
    """It was reached; what it says is another matter."""
    await lost(pair)
    await pair.simulated.start()
    pair.fault(Answer(status=status, body="<h1>no</h1>"), times=1)
    clock.forward(PAUSE)
    with pytest.raises(Failed):
        await pair.read()

    assert breaker(pair) == "closed"


async def test_a_look_in_vain_opens_it_for_another_pause(clock: Clock, pair: Pair) -> None:
    """One connection attempt every five seconds, however many commands ask."""
    await lost(pair)
    for _ in range(3):
        clock.forward(PAUSE)
        told = await pair.stampede(20)
        assert [type(error) for error in told].count(NotSent) == 1
        await kept_back(pair)


async def test_a_look_that_is_cancelled_lets_the_next_one_look(clock: Clock, pair: Pair) -> None:
    """Nothing was learnt from it, so nobody waits for another pause."""
    await lost(pair)
    await pair.simulated.start()
    pair.fault(Hang(), times=1)
    clock.forward(PAUSE)
    looking = asyncio.create_task(pair.read())
    await until(lambda: pair.simulated.books.in_flight)
    assert breaker(pair) == "probing"

    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking
    await pair.read()

    assert breaker(pair) == "closed"


async def test_it_is_told_once_when_it_opens_and_once_when_it_closes(
    clock: Clock, pair: Pair, lines: list[EventDict]
) -> None:
    """Who watches sees since when, why, and for how long it was gone."""
    await lost(pair)
    clock.forward(PAUSE)
    await miss(pair, 1)
    await kept_back(pair)
    await pair.simulated.start()
    clock.forward(PAUSE)
    await pair.stampede(3)
    await pair.read()

    opened, closed = about(lines, "breaker-opened", "breaker-closed")
    assert (opened["event"], opened["log_level"]) == ("breaker-opened", "warning")
    assert (opened["appliance"], opened["retry_in"]) == (pair.name, PAUSE)
    assert "cannot be reached" in opened["reason"]
    assert (closed["event"], closed["appliance"]) == ("breaker-closed", pair.name)
    assert closed["duration_ms"] >= 2 * PAUSE * 1000


async def test_a_write_that_is_kept_back_was_not_sent(pair: Pair) -> None:
    """Its intent may be withdrawn."""
    write = await pair.ready()
    await pair.simulated.stop()
    await miss(pair)

    with pytest.raises(Waiting):
        await write()

    assert pair.written() == 0


async def test_an_appliance_that_is_gone_keeps_no_other_waiting(sms: Sms, voice: Voice) -> None:
    """Each has a breaker of its own."""
    await sms.simulated.stop()
    await miss(sms)

    await voice.read()

    assert (breaker(sms), breaker(voice)) == ("open", "closed")


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_lets_the_whole_appliance_rest(
    clock: Clock, pair: Pair, status: int, form: str
) -> None:
    """Whoever comes meanwhile waits in the broker for what is left of it; then all goes on."""
    write = await pair.ready()
    then = datetime.now(UTC) + timedelta(seconds=60)
    asked = "60" if form == "seconds" else then.strftime("%a, %d %b %Y %H:%M:%S GMT")
    pair.fault(Answer(status=status, headers={"Retry-After": asked}), times=1)
    with pytest.raises(Failed):
        await pair.read()
    clock.forward(20)

    error = await kept_back(pair)
    with pytest.raises(Waiting):
        await write()

    assert (error.code, pair.written()) == (Code.APPLIANCE_ERROR, 0)
    assert f"{pair.name} asked to be left alone" in error.message
    assert 35 < (error.retry_after or 0) <= 40
    clock.forward(41)
    await pair.read()


@pytest.mark.parametrize("asked", ["86400", "9" * 400, "Fri, 31 Dec 2100 23:59:59 GMT"])
async def test_nobody_rests_for_more_than_ten_minutes(clock: Clock, pair: Pair, asked: str) -> None:
    """A clock that is wrong, or a joke, puts no appliance out of use for days."""
    await pair.read()
    pair.fault(Answer(status=503, headers={"Retry-After": asked}), times=1)
    with pytest.raises(Failed):
        await pair.read()

    error = await kept_back(pair)

    assert MOST - 10 < (error.retry_after or 0) <= MOST
    clock.forward(MOST)
    await pair.read()


@pytest.mark.parametrize("status", [200, 301, 404, 408, 500, 502, 504])
async def test_only_429_and_503_ask_for_rest(pair: Pair, status: int) -> None:
    """RFC 9110, 10.2.3, and RFC 6585, 4: elsewhere the header does not mean everybody."""
    await pair.read()
    pair.fault(Answer(status=status, headers={"Retry-After": "60"}, when="after"), times=1)
    with suppress(Failed):
        await pair.read()

    await pair.read()


@pytest.mark.parametrize("asked", ["0", "soon", "-5", "", "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_who_asks_for_no_time_gets_none(pair: Pair, asked: str) -> None:
    """The command itself waits for its next turn, the others go on."""
    await pair.read()
    pair.fault(Answer(status=429, headers={"Retry-After": asked}), times=1)
    with pytest.raises(Failed):
        await pair.read()

    await pair.read()


async def test_a_login_that_asks_for_rest_is_obeyed_too(clock: Clock, pair: Pair) -> None:
    """Nobody logs in meanwhile."""
    pair.fault(Answer(status=429, headers={"Retry-After": "60"}), pair.login, times=1)
    with pytest.raises(CommandError):
        await pair.read()
    await kept_back(pair)

    clock.forward(60)
    await pair.read()


async def test_a_rest_is_told_once(pair: Pair, lines: list[EventDict]) -> None:
    """With the status and the time that it takes."""
    await pair.read()
    pair.fault(Delay(seconds=0.05))
    pair.fault(Answer(status=503, headers={"Retry-After": "90"}))
    await pair.stampede(20)

    (line,) = about(lines, "appliance-resting")
    assert (line["log_level"], line["appliance"], line["status"]) == ("warning", pair.name, 503)
    assert line["retry_in"] == 90.0
