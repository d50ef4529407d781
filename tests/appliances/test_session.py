from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from service.appliances.visit import Visit, visit
from service.errors import Code, Failed, Waiting
from service.simulator import Answer, Delay, ExpireSession, Reset
from tests.appliances.pairs import FILE, LICENSE, Voice, limited
from tests.support.wait import until

if TYPE_CHECKING:
    from structlog.typing import EventDict

    from tests.appliances.pairs import Make, Pair

SLOTS = 4
"""Requests that an inventory which says nothing lets be in flight."""


async def delivered(pair: Pair, *, reads: int = 1) -> None:
    """Read as the delivery of one command does, in a visit of its own."""
    token = visit.set(Visit())
    try:
        for _ in range(reads):
            await pair.read()
    finally:
        visit.reset(token)


def about_sessions(lines: list[EventDict]) -> list[str]:
    """Return the slugs of the lines that tell of sessions and credentials."""
    told = [str(line["event"]) for line in lines]
    return [slug for slug in told if slug.startswith(("session-", "credentials-"))]


async def test_calls_at_once_on_a_cold_adapter_share_one_login(pair: Pair) -> None:
    """However many commands come at once, the appliance sees one login."""
    await pair.stampede(200)

    assert pair.logins(reads=200) == 1


async def test_a_wrong_password_is_tried_once_and_told_to_all(pair: Pair) -> None:
    """All who wait for a login that is refused are told so, and the account is not locked."""
    pair.set_secret("not the password")

    told = await pair.stampede(200)

    assert pair.simulated.books.refused_logins == 1
    assert [error.code for error in told if isinstance(error, Waiting)] == (
        [Code.CREDENTIALS_REFUSED] * 200
    )


async def test_a_wrong_password_is_not_tried_again_until_its_file_changes(pair: Pair) -> None:
    """Refused credentials wait for a person; the new ones are taken without a restart."""
    right = pair.simulated.password
    pair.set_secret("not the password")
    for _ in range(3):
        with pytest.raises(Waiting, match=f"{pair.name} refuses the credentials"):
            await pair.read()
    assert pair.simulated.books.refused_logins == 1

    pair.set_secret(right + "\n")
    await pair.read()

    assert pair.logins(reads=1) == 1
    assert pair.simulated.books.refused_logins == 1


async def test_another_wrong_password_is_tried_once_as_well(pair: Pair) -> None:
    """Each content of the password file costs one attempt at most."""
    for guess in ("first", "second"):
        pair.set_secret(guess)
        await pair.stampede(10)

    assert pair.simulated.books.refused_logins == 2


async def test_refused_credentials_may_be_tried_again_after_the_cool_down(make: Make) -> None:
    """An account that was corrected at the appliance comes back without a new password."""
    pair = make(limited(cooldown=0.0))
    right = pair.simulated.password
    pair.simulated.password = "set by mistake"
    with pytest.raises(Waiting):
        await pair.read()

    pair.simulated.password = right
    await pair.read()

    assert pair.simulated.books.refused_logins == 1
    assert pair.logins(reads=1) == 1


async def test_a_password_that_cannot_be_read_costs_no_login(pair: Pair) -> None:
    """Who waits is told where the password was looked for, and nothing is sent."""
    pair.lose_secret()

    with pytest.raises(Waiting, match=rf"{pair.name} cannot be read at .*{pair.name}") as caught:
        await pair.read()

    assert caught.value.code is Code.CREDENTIALS_REFUSED
    assert pair.requests(pair.login) == 0


async def test_an_expired_session_is_renewed_once_for_all(pair: Pair) -> None:
    """A session that is over costs one new login, however many calls find it so."""
    await pair.read()
    pair.end_session()

    told = await pair.stampede(200)

    assert [error for error in told if isinstance(error, Exception)] == []
    assert pair.logins(reads=201) == 2


async def test_those_who_wait_do_not_knock_with_a_session_that_is_over(pair: Pair) -> None:
    """Only what was in flight finds out; the rest wait for the new session.

    Appliances lock out repeated offenders, and each stray request of a FortiAuthenticator is a
    wrong key.
    """
    await pair.read()
    pair.end_session()

    await pair.stampede(50)

    assert pair.strays() <= SLOTS


async def test_a_session_that_ends_again_in_a_stampede_costs_one_login_each_time(
    pair: Pair,
) -> None:
    """Nobody fails, however often it happens; each end is followed by one login."""
    await pair.read()
    for after in (40, 100, 160):
        pair.fault(ExpireSession(), times=1, after=after)

    told = await pair.stampede(200)

    assert [error for error in told if isinstance(error, Exception)] == []
    assert pair.logins(reads=201) == 1 + 3


async def test_a_session_that_ends_before_its_first_use_costs_one_login_more(pair: Pair) -> None:
    """A cold stampede logs in once more, and nobody is told."""
    pair.fault(ExpireSession(when="after"), pair.login, times=1)

    told = await pair.stampede(100)

    assert [error for error in told if isinstance(error, Exception)] == []
    assert pair.logins(reads=100) == 2


async def test_a_session_that_ends_twice_in_a_row_costs_two_logins(make: Make) -> None:
    """What replaced the lost session is lost before anything worked in it: still no one fails."""
    pair = make(max_concurrency=1)
    await pair.read()
    pair.end_session()
    # A FortiAuthenticator's login is a read; the one before it is what finds the session over.
    pair.fault(
        ExpireSession(when="after"), pair.login, times=1, after=int(pair.login == pair.reading)
    )

    told = await pair.stampede(100)

    assert [error for error in told if isinstance(error, Exception)] == []
    assert pair.logins(reads=101) == 3


async def test_a_late_refusal_starts_no_login_and_ends_no_newer_session(pair: Pair) -> None:
    """Who learns late that a session is over takes the one that others opened meanwhile."""
    await pair.read()
    pair.end_session()
    before = pair.requests(pair.reading)
    pair.fault(Delay(seconds=0.2, when="after"), times=2)
    late = asyncio.create_task(pair.stampede(2))
    await until(lambda: pair.requests(pair.reading) == before + 2)

    await pair.read()
    assert not late.done()
    told = await late
    await pair.read()

    assert [error for error in told if isinstance(error, Exception)] == []
    assert pair.logins(reads=5) == 2


async def test_a_login_that_fails_is_tried_once_and_told_to_all(pair: Pair) -> None:
    """All who wait share the failure; the next one asks again."""
    pair.fault(Reset(), pair.login, times=1)

    told = await pair.stampede(20)

    assert pair.requests(pair.login) == 1
    assert [error.code for error in told if isinstance(error, Failed)] == [Code.UNREACHABLE] * 20
    await pair.read()


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_login_that_the_appliance_cannot_serve_is_no_refusal(
    pair: Pair, status: int
) -> None:
    """The credentials are still good: they are tried again."""
    pair.fault(Answer(status=status), pair.login, times=1)

    with pytest.raises(Failed) as caught:
        await pair.read()

    assert (caught.value.code, caught.value.status) == (Code.APPLIANCE_ERROR, status)
    await pair.read()


async def test_a_caller_who_leaves_does_not_end_the_login_of_the_others(pair: Pair) -> None:
    """The login belongs to all who wait."""
    pair.fault(Delay(seconds=0.1), pair.login, times=1)
    first = asyncio.create_task(pair.read())
    await until(lambda: pair.simulated.books.in_flight)
    others = asyncio.create_task(pair.stampede(5))

    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    told = await others

    assert [error for error in told if isinstance(error, Exception)] == []
    assert pair.logins(reads=5) == 1


async def test_each_command_tells_once_whether_it_opened_or_reused_the_session(
    pair: Pair, lines: list[EventDict]
) -> None:
    """The event log shows that sessions are shared."""
    await delivered(pair)
    await delivered(pair, reads=3)

    assert about_sessions(lines) == ["session-opened", "session-reused"]
    opened = next(line for line in lines if line["event"] == "session-opened")
    assert opened["appliance"] == pair.name
    assert opened["duration_ms"] > 0


async def test_of_commands_at_once_one_opens_and_the_others_reuse(
    pair: Pair, lines: list[EventDict]
) -> None:
    """Waiting for another command's login is reuse."""
    await asyncio.gather(*(delivered(pair) for _ in range(10)))

    assert about_sessions(lines) == ["session-opened"] + ["session-reused"] * 9


async def test_the_event_log_tells_a_sessions_end_and_its_renewal(
    pair: Pair, lines: list[EventDict]
) -> None:
    """Expiry, a new login and the end of the process can be told apart."""
    await pair.read()
    pair.end_session()
    await pair.read()
    await pair.adapter.close("stopping")

    assert about_sessions(lines) == (
        ["session-opened", "session-expired", "session-opened", "session-closed"]
    )


async def test_refused_credentials_are_one_error_in_the_event_log(
    pair: Pair, lines: list[EventDict]
) -> None:
    """One line is enough for the person who must act, however many commands wait."""
    pair.set_secret("not the password")

    await pair.stampede(20)

    told = [(line["event"], line["log_level"], line["appliance"]) for line in lines]
    assert [line for line in told if line[0] == "credentials-refused"] == (
        [("credentials-refused", "error", pair.name)]
    )


async def test_nothing_that_is_told_holds_a_secret(pair: Pair, lines: list[EventDict]) -> None:
    """No password, key, cookie, token or licence stands in a log line, an error or a repr."""
    write = await pair.ready()
    told: list[object] = [lines]
    if isinstance(pair, Voice):
        told.append(await pair.adapter.upload(FILE))
    await write()
    pair.end_session()
    await pair.read()
    pair.fault(Answer(status=400), pair.reading, pair.writing)
    told += await pair.stampede(1)
    pair.set_secret("canary-wrong")
    pair.end_session()
    pair.simulated.password = "canary-moved"
    told += await pair.stampede(1)

    secrets = [LICENSE, "canary", base64.b64encode(b"webadmin:canary")[:16].decode()]
    if isinstance(pair, Voice):
        secrets += [cookie.partition("=")[2].rstrip(";") for cookie in pair.simulated.cookies]
    assert [secret for secret in secrets if secret in repr(told)] == []
