"""An appliance that does not answer is left alone, but for one look now and then."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from service.appliances.breaker import Breaker
from service.appliances.ports import NotSent, WriteVetoed
from service.errors import AnswerLost, Code, CommandError, Failed, Waiting
from tests.support.clock import Clock

PAUSE = 5.0
GONE = NotSent("fvc-1 cannot be reached: Connection refused")
VETO = WriteVetoed("the write on fvc-1 came too late and was not sent")
NO_ANSWER = (
    GONE,
    Failed(Code.UNREACHABLE, "no answer from fvc-1: timed out"),
    AnswerLost(Code.UNREACHABLE, "no answer from fvc-1: timed out"),
    Failed(Code.APPLIANCE_ERROR, "fvc-1 answered 503", status=503),
)
"""The last is a login that cannot be served: nothing else works without it."""


@pytest.fixture
def breaker() -> Breaker:
    return Breaker("fvc-1", failures=3)


@pytest.fixture
def lines() -> Iterator[list[EventDict]]:
    with capture_logs() as captured:
        yield captured


def miss(breaker: Breaker, times: int = 3, error: CommandError = GONE) -> None:
    """Let requests through that get no answer."""
    for _ in range(times):
        with suppress(type(error)), breaker.passing():
            raise error


def state(breaker: Breaker) -> str:
    """Tell how it stands, as the metrics do."""
    return breaker.state


def answer(breaker: Breaker) -> None:
    """Let a request through that is answered."""
    with breaker.passing():
        pass


def kept_back(breaker: Breaker) -> Waiting:
    """Ask, and be told to come back later."""
    with pytest.raises(Waiting) as caught:
        answer(breaker)
    return caught.value


@pytest.mark.parametrize("error", NO_ANSWER, ids=str)
def test_it_opens_after_so_many_requests_in_a_row_without_an_answer(
    breaker: Breaker, error: CommandError
) -> None:
    """Refused, timed out or lost: the reason is told to whoever is kept back."""
    miss(breaker, 2, error)
    assert "closed" == state(breaker)
    miss(breaker, 1, error)
    assert "open" == state(breaker)

    waiting = kept_back(breaker)

    assert (error.code, error.message, error.status) == (
        *(waiting.code, waiting.message, waiting.status),
    )


def test_an_answer_in_between_begins_the_count_anew(breaker: Breaker) -> None:
    """Only failures in a row count."""
    for _ in range(5):
        miss(breaker, 2)
        answer(breaker)
    assert "closed" == state(breaker)


def test_when_the_pause_is_over_exactly_one_looks(clock: Clock, breaker: Breaker) -> None:
    """The others wait for what becomes of it."""
    miss(breaker)
    clock.forward(PAUSE - 0.1)
    kept_back(breaker)
    clock.forward(0.1)
    with breaker.passing():
        assert "probing" == state(breaker)
        for _ in range(3):
            kept_back(breaker)
    assert "closed" == state(breaker)


def test_a_look_without_an_answer_begins_another_pause(clock: Clock, breaker: Breaker) -> None:
    """The newest reason is the one that is told."""
    miss(breaker)
    for reason in ("first", "second"):
        clock.forward(PAUSE)
        miss(breaker, 1, NotSent(reason))
        assert "open" == state(breaker)
        assert reason == kept_back(breaker).message


def test_a_look_that_is_cancelled_lets_the_next_one_look_at_once(
    clock: Clock, breaker: Breaker
) -> None:
    """Nothing was learnt from it."""
    miss(breaker)
    clock.forward(PAUSE)
    with suppress(KeyboardInterrupt), breaker.passing():
        raise KeyboardInterrupt
    assert "open" == state(breaker)

    answer(breaker)

    assert "closed" == state(breaker)


def test_a_cancelled_request_that_was_no_look_changes_nothing(breaker: Breaker) -> None:
    """Neither does a bug of ours."""
    for _ in range(5):
        for error in (KeyboardInterrupt, ZeroDivisionError):
            with suppress(error), breaker.passing():
                raise error
    assert "closed" == state(breaker)


def test_a_veto_of_ours_says_nothing_about_the_appliance(breaker: Breaker) -> None:
    """A write that the courier kept from leaving is no failure, and no answer either."""
    miss(breaker, 9, VETO)
    assert "closed" == state(breaker)
    miss(breaker, 2)
    miss(breaker, 9, VETO)
    miss(breaker, 1)
    assert "open" == state(breaker)


def test_a_look_that_is_vetoed_lets_the_next_one_look_at_once(
    clock: Clock, breaker: Breaker
) -> None:
    """Nothing was sent, so nothing was learnt; the reason that is told stays the appliance's."""
    miss(breaker)
    clock.forward(PAUSE)
    miss(breaker, 1, VETO)
    assert "open" == state(breaker)
    answer(breaker)
    assert "closed" == state(breaker)


def test_a_straggler_that_fails_starts_no_second_look(clock: Clock, breaker: Breaker) -> None:
    """What was under way when it opened may end long after: one look at a time all the same."""
    straggler = breaker.passing()
    straggler.__enter__()
    miss(breaker)
    clock.forward(PAUSE)
    with breaker.passing():
        straggler.__exit__(NotSent, GONE, None)
        clock.forward(PAUSE)
        kept_back(breaker)


def test_a_look_that_is_cancelled_after_a_straggler_was_answered_leaves_it_closed(
    clock: Clock, breaker: Breaker
) -> None:
    """The appliance is there: that is known from the other one."""
    straggler = breaker.passing()
    straggler.__enter__()
    miss(breaker)
    clock.forward(PAUSE)
    with suppress(KeyboardInterrupt), breaker.passing():
        straggler.__exit__(None, None, None)
        raise KeyboardInterrupt
    assert "closed" == state(breaker)


def test_opening_and_closing_are_told_once_each(
    clock: Clock, breaker: Breaker, lines: list[EventDict]
) -> None:
    """However many looks there were in between."""
    miss(breaker)
    for _ in range(3):
        clock.forward(PAUSE)
        miss(breaker, 1)
        kept_back(breaker)
    clock.forward(PAUSE)
    answer(breaker)
    answer(breaker)

    opened, closed = lines
    expected = {"event": "breaker-opened", "log_level": "warning", "appliance": "fvc-1"}
    assert expected | {"reason": GONE.message, "retry_in": PAUSE} == opened
    assert ("breaker-closed", "info", "fvc-1") == (
        *(closed["event"], closed["log_level"], closed["appliance"]),
    )
    assert 20_000 <= closed["duration_ms"] < 25_000


def test_a_rest_ends_when_its_time_is_over(clock: Clock, breaker: Breaker) -> None:
    """Until then nothing passes, whatever state it is in."""
    breaker.rest(30, 503)
    waiting = kept_back(breaker)
    assert Code.APPLIANCE_ERROR is waiting.code
    assert "fvc-1 asked to be left alone" in waiting.message
    assert 29 < (waiting.retry_after or 0) <= 30

    clock.forward(30)

    answer(breaker)


@pytest.mark.parametrize("seconds", [601, 86_400, float("inf")])
def test_a_rest_takes_ten_minutes_at_most(clock: Clock, breaker: Breaker, seconds: float) -> None:
    """A clock that is wrong puts no appliance out of use for days."""
    breaker.rest(seconds, 429)
    assert 599 < (kept_back(breaker).retry_after or 0) <= 600
    clock.forward(600)
    answer(breaker)


def test_a_rest_is_told_when_it_begins(
    clock: Clock, breaker: Breaker, lines: list[EventDict]
) -> None:
    """Answers that were under way repeat it, and make no further lines."""
    for _ in range(2):
        for _ in range(3):
            breaker.rest(30, 503)
        clock.forward(30)

    expected = {"event": "appliance-resting", "log_level": "warning", "appliance": "fvc-1"}
    assert [expected | {"retry_in": 30, "status": 503}] * 2 == lines


def test_a_rest_keeps_the_look_back_too(clock: Clock, breaker: Breaker) -> None:
    """It was asked for by the appliance; the pause is only ours."""
    miss(breaker, 2)
    with suppress(NotSent), breaker.passing():
        breaker.rest(30, 503)
        raise GONE
    clock.forward(PAUSE)
    kept_back(breaker)
    clock.forward(30)
    answer(breaker)
