"""The login budget: whatever goes wrong, an appliance is not logged into in a loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from service.errors import Code, Failed, Waiting
from service.simulator import Answer, Reset
from tests.appliances.pairs import Sms, Voice, limited

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import EventDict

    from tests.appliances.pairs import Load, Make, Pair, RecordingSimulator
    from tests.support.clock import Clock

WINDOW = 300.0
"""Seconds for which the budget is meant."""


def told(lines: list[EventDict]) -> list[EventDict]:
    """Return what the event log tells of budgets."""
    return [line for line in lines if line["event"] == "login-budget-spent"]


async def spend(pair: Pair, logins: int) -> None:
    """Log in that often: each session works once and is over then."""
    for _ in range(logins):
        await pair.read()
        pair.end_session()


async def test_a_login_loop_ends_in_a_clear_error(make: Make) -> None:
    """Beyond the budget nothing is sent; who waits is told why, and for how long."""
    pair = make(limited(logins=3))
    await spend(pair, 3)
    await pair.stampede(20)
    sent = pair.simulated.books.requests.total()

    errors = [error for error in await pair.stampede(20) if isinstance(error, Waiting)]

    assert [Code.APPLIANCE_ERROR] * 20 == [error.code for error in errors]
    assert f"{pair.name} was logged into 3 times within 300 s" in errors[0].message
    assert WINDOW - 10 < (errors[0].retry_after or 0) <= WINDOW
    assert sent == pair.simulated.books.requests.total()


async def test_the_default_budget_is_ten_logins_in_five_minutes(pair: Pair) -> None:
    """That many renewals are no reason to stop."""
    await spend(pair, 10)

    with pytest.raises(Waiting, match="10 times within 300 s"):
        await pair.read()

    assert pair.adapter.status().logins == 10


async def test_a_spent_budget_is_one_error_in_the_event_log(
    clock: Clock, make: Make, lines: list[EventDict]
) -> None:
    """One line each time it is spent, however many commands it keeps waiting."""
    pair = make(limited(logins=2))
    for times in (1, 2):
        await spend(pair, 2)
        await pair.stampede(20)
        await pair.stampede(20)

        assert len(told(lines)) == times
        clock.forward(WINDOW)

    line = told(lines)[0]
    assert ("error", pair.name) == (line["log_level"], line["appliance"])
    assert "2 times within 300 s" in line["reason"]
    assert 0 < line["retry_in"] <= WINDOW


async def test_the_budget_is_whole_again_when_its_time_is_over(clock: Clock, make: Make) -> None:
    """Whoever waited gets on without a restart."""
    pair = make(limited(logins=2))
    await spend(pair, 2)
    with pytest.raises(Waiting):
        await pair.read()

    clock.forward(WINDOW)
    await spend(pair, 2)

    assert pair.adapter.status().logins == 4


async def test_a_login_that_never_reached_the_appliance_is_given_back(make: Make) -> None:
    """An outage takes nothing from the budget that is needed after it."""
    pair = make(limited(logins=1, breaker_failures=1000))
    await pair.simulated.stop()
    for _ in range(5):
        await pair.stampede(5)
    await pair.simulated.start()

    await pair.read()

    assert pair.adapter.status().logins == 1


async def test_a_login_that_the_breaker_keeps_back_is_given_back_as_well(
    clock: Clock, make: Make
) -> None:
    """It was not sent either."""
    pair = make(limited(logins=1, breaker_failures=1))
    await pair.simulated.stop()
    await pair.stampede(1)
    for _ in range(5):
        with pytest.raises(Waiting) as caught:
            await pair.read()
        assert caught.value.code is Code.UNREACHABLE
    await pair.simulated.start()

    clock.forward(5)
    await pair.read()

    assert pair.adapter.status().logins == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_a_login_that_the_appliance_could_not_serve_is_given_back_as_well(
    make: Make, status: int
) -> None:
    """It has opened nothing."""
    pair = make(limited(logins=1, breaker_failures=1000))
    pair.fault(Answer(status=status), pair.login, times=5)
    for _ in range(5):
        with pytest.raises(Failed):
            await pair.read()

    await pair.read()

    assert pair.adapter.status().logins == 1


async def test_a_login_whose_answer_was_lost_is_paid_for(make: Make) -> None:
    """The appliance may have opened a session for it."""
    pair = make(limited(logins=2))
    pair.fault(Reset(), pair.login)
    for _ in range(2):
        with pytest.raises(Failed):
            await pair.read()

    with pytest.raises(Waiting, match="2 times within 300 s"):
        await pair.read()

    assert pair.requests(pair.login) == 2


async def test_wrong_passwords_are_paid_for(make: Make) -> None:
    """A secret that changes all the time locks no account."""
    pair = make(limited(logins=3))
    for guess in range(10):
        pair.set_secret(f"guess {guess}")
        await pair.stampede(3)

    assert pair.simulated.books.refused_logins == 3


async def test_the_budget_is_each_appliances_own(
    load: Load, simulator: RecordingSimulator, tmp_path: Path
) -> None:
    """A loop at one keeps nobody away from another."""
    inventory = load(limited(logins=1))
    sms = Sms(simulator, inventory, tmp_path / "fac-1.password")
    voice = Voice(simulator, inventory, tmp_path / "fvc-1.password")
    await spend(voice, 1)
    with pytest.raises(Waiting):
        await voice.read()

    await sms.read()
