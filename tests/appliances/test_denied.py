"""What the account may not do: a login is spent on finding out, and then never again for a while.

A FortiVoice says 403 for both, a session that is over and a permission that is missing. So the
rules about the login are its; a FortiAuthenticator says 401 and 403.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from service.errors import Code, Refused
from service.simulator import Answer
from tests.appliances.pairs import limited

if TYPE_CHECKING:
    from structlog.typing import EventDict

    from tests.appliances.pairs import Make, Pair, Sms, Voice
    from tests.support.clock import Clock

DENIED = "permission-denied"
COOLDOWN = 300.0
"""Seconds for which a denial is believed (`COURIER_CREDENTIALS_COOLDOWN`)."""


async def denied(pair: Pair) -> Refused:
    """Read, and return the denial."""
    with pytest.raises(Refused) as caught:
        await pair.read()
    assert caught.value.code is Code.PERMISSION_DENIED
    return caught.value


def told(lines: list[EventDict]) -> list[tuple[object, ...]]:
    """Return what the event log tells of denials."""
    keys = ("log_level", "appliance", "operation")
    return [tuple(line[key] for key in keys) for line in lines if line["event"] == DENIED]


async def test_what_a_valid_session_may_not_do_is_refused(pair: Pair) -> None:
    """A denial is the end of the command: repeating it will not help."""
    await pair.read()
    pair.fault(Answer(status=403))

    error = await denied(pair)

    assert (f"{pair.name} denies this" in error.message, error.status) == (True, 403)


async def test_an_account_without_the_permission_is_refused_from_the_start(pair: Pair) -> None:
    """A denial at the first request is told as one, too: the credentials were accepted."""
    pair.fault(Answer(status=403))

    await denied(pair)

    assert pair.simulated.books.refused_logins == 0


@pytest.mark.parametrize("before", [0, 1])
async def test_a_thousand_denied_calls_cost_two_logins_or_three_if_it_worked_before(
    make: Make, before: int
) -> None:
    """A session that is seconds old has not expired. What worked is given one more chance."""
    pair = make(limited(logins=1000))
    for _ in range(before):
        await pair.read()
    pair.fault(Answer(status=403))

    # In waves: who waits for more than five seconds for a slot is sent back, on a slow machine too.
    answers = [answer for _ in range(20) for answer in await pair.stampede(50)]

    codes = [error.code for error in answers if isinstance(error, Refused)]
    assert [Code.PERMISSION_DENIED] * 1000 == codes
    assert pair.adapter.status().logins <= 2 + before
    assert pair.logins(reads=before) <= 2 + before


async def test_a_key_that_is_refused_although_its_logins_succeed_is_permission_denied(
    sms: Sms,
) -> None:
    """401 to a request right after 200 to another one with the same key is no wrong key."""
    await sms.read()
    for login in range(3):
        sms.fault(Answer(status=401), times=1, after=login)

    error = await denied(sms)

    assert (error.status, sms.adapter.status().logins) == (401, 3)
    assert sms.simulated.books.refused_logins == 0


async def test_whoever_comes_later_is_denied_without_another_login(
    voice: Voice, lines: list[EventDict]
) -> None:
    """The denial is remembered, and told to the person who must act once."""
    voice.fault(Answer(status=403))
    await denied(voice)
    assert voice.requests("login") == 2

    for _ in range(5):
        await denied(voice)
    await voice.stampede(50)

    assert voice.requests("login") == 2
    assert told(lines) == [("warning", "fvc-1", "devices")]


@pytest.mark.parametrize("works", [True, False])
async def test_a_denial_is_doubted_again_after_the_cool_down(
    clock: Clock, voice: Voice, lines: list[EventDict], *, works: bool
) -> None:
    """One login finds out whether it still holds, whatever else works in the session."""
    voice.fault(Answer(status=403))
    await denied(voice)
    if works:
        await voice.write()

    clock.forward(COOLDOWN)
    await denied(voice)

    assert voice.requests("login") == 2 + 1
    assert told(lines) == [("warning", "fvc-1", "devices")] * 2


async def test_a_permission_that_was_granted_meanwhile_is_found_without_a_login(
    voice: Voice,
) -> None:
    """Every command asks: a denial that is remembered keeps nobody from asking."""
    voice.fault(Answer(status=403))
    await denied(voice)
    voice.simulated.faults.replace([])

    await voice.read()

    assert voice.requests("login") == 2


async def test_what_works_and_is_denied_by_turns_costs_one_login_each_time(voice: Voice) -> None:
    """Between two successes a refusal may be the session's end: that is found out, but once."""
    for _ in range(4):
        voice.fault(Answer(status=403))
        await denied(voice)
        voice.simulated.faults.replace([])
        await voice.read()

    assert voice.requests("login") == 2 + 3


async def test_what_works_again_after_a_denial_is_renewed_like_any_other(voice: Voice) -> None:
    """A refusal in a session in which it worked is that session's end."""
    voice.fault(Answer(status=403))
    await denied(voice)
    voice.simulated.faults.replace([])
    await voice.read()
    voice.end_session()

    await voice.read()

    assert voice.requests("login") == 3


async def test_what_is_denied_says_nothing_of_other_requests(voice: Voice) -> None:
    """Reading phones is one permission, bringing a licence another."""
    voice.fault(Answer(status=403))
    await denied(voice)

    await voice.write()

    assert (voice.written(), voice.requests("login")) == (1, 2)


async def test_a_session_that_was_lost_while_something_is_denied_is_renewed(
    voice: Voice,
) -> None:
    """The memory is about one request; the others find out that the session is over."""
    voice.fault(Answer(status=403))
    await denied(voice)
    voice.end_session()

    await voice.write()

    assert (voice.written(), voice.requests("login")) == (1, 3)


@pytest.mark.parametrize(("works", "logins"), [(True, 2), (False, 3)])
async def test_a_denial_is_doubted_in_a_session_that_may_have_expired(
    clock: Clock, voice: Voice, *, works: bool, logins: int
) -> None:
    """After a minute in which nothing worked in it, nobody knows: one login finds out."""
    voice.fault(Answer(status=403))
    await denied(voice)
    if works:
        await voice.write()

    clock.forward(61)
    await denied(voice)

    assert logins == voice.requests("login")


async def test_an_upload_that_is_denied_is_told_once_as_well(voice: Voice) -> None:
    """A thousand licence files against a missing permission make no thousand logins."""
    voice.fault(Answer(status=403), "token", "upload")
    for _ in range(20):
        with pytest.raises(Refused):
            await voice.write()

    assert voice.requests("login") == 2
