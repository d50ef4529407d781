"""Which conclusion follows from what a command met, and when it comes back."""

import asyncio
import json
from datetime import timedelta
from typing import Any, Final

import pytest

from service.errors import Code, CommandError, Failed, Reason, Refused, Rejection, Waiting
from service.execution import Execution, Retry
from service.ledger import IntentOpen
from service.ledger.sqlite import SqliteLedger
from service.messages.commands import Command
from service.messages.encode import Event
from service.messages.wire import format_instant, now
from tests.unit.fakes import FakeFac, FakeFvc, executing
from tests.unit.making import LICENSE, OTHER_LICENSE, command, received

UNREACHABLE: Final = Failed(Code.UNREACHABLE, "no answer")
BROKEN: Final = Failed(Code.APPLIANCE_ERROR, "503", status=503)
BUSY: Final = Waiting(Code.BUSY, "busy")
QUERY: Final = command("query-sms-balance", id="q-1")
PAST: Final = "2020-01-01T00:00:00Z"


@pytest.fixture
def execution(sqlite: SqliteLedger, fac: FakeFac, fvc: FakeFvc) -> Execution:
    return executing(sqlite, fac, fvc)


def told(end: Event | Retry) -> dict[str, Any]:
    assert isinstance(end, Event)
    data: dict[str, Any] = json.loads(end.data)
    assert end.outcome == data["conclusion"]
    return data


def failure(end: Event | Retry) -> tuple[str, str | None, int]:
    """Conclusion, code and attempts of an end."""
    data = told(end)
    return data["conclusion"], data["error"] and data["error"]["code"], data["attempts"]


async def test_a_new_command_is_run_and_answered(execution: Execution, fac: FakeFac) -> None:
    """Every field of the result is told, also those of the way there."""
    delivery = received(ago=2)
    end = await execution.settle(delivery)
    data = told(end)
    assert {"id": "c-1", "source": "/portal", "type": delivery.command.envelope.type} == data[
        "command"
    ]
    assert ("fac-1", "succeeded", "added", 50, 1, None) == (
        *(data["appliance"], data["conclusion"], data["effect"], data["added_sms"]),
        *(data["attempts"], data["error"]),
    )
    assert format_instant(delivery.received_at) == data["started_at"]
    assert isinstance(end, Event)
    assert format_instant(end.time) == data["finished_at"] > data["started_at"]
    assert [LICENSE] == fac.posts


@pytest.mark.parametrize(
    "wanted",
    [
        command(),
        command(data={"dry_run": True}),
        command(data={"appliance": "nobody"}),
        command(expirytime=PAST),
        command("apply-voice-license"),
    ],
)
async def test_a_repeat_is_told_the_same_and_runs_nothing(
    wanted: Command, execution: Execution, sqlite: SqliteLedger, fac: FakeFac, fvc: FakeFvc
) -> None:
    """Every end of a licence command is stored before it is told: dry runs and refusals too."""
    first = await execution.settle(received(wanted))
    entry = await sqlite.find(wanted.key)
    assert entry is not None
    assert entry.told is not None
    assert isinstance(first, Event)
    assert first.data == entry.told.data
    done = (fac.reads, fac.posts[:], fvc.steps[:])
    assert first == await execution.settle(received(wanted, redelivered=True, had_intent=True))
    assert done == (fac.reads, fac.posts, fvc.steps)


async def test_a_repeat_has_its_own_correlation(execution: Execution) -> None:
    """The same event is told to whoever asks now; its data stays as it was."""
    first = await execution.settle(received(command()))
    again = await execution.settle(received(command(correlationid="other", expirytime=PAST)))
    assert isinstance(first, Event)
    assert isinstance(again, Event)
    assert (first.id, first.data, "other") == (again.id, again.data, again.correlation_id)


@pytest.mark.parametrize(
    "other",
    [
        command(data={"license": OTHER_LICENSE}),
        command(data={"dry_run": True}),
        command("query-sms-balance"),
    ],
)
async def test_the_key_with_other_content_is_a_conflict(
    other: Command, execution: Execution, fac: FakeFac
) -> None:
    """One id names one wish; for another wish it is rejected, and the appliance is left alone."""
    await execution.settle(received())
    for ask in (execution.settle, execution.give_up):
        with pytest.raises(Rejection) as caught:
            await ask(received(other))
        assert (Reason.ID_CONFLICT, ["/id"]) == (
            *(caught.value.reason, [path for path, _ in caught.value.errors]),
        )
    assert [LICENSE] == fac.posts


async def test_queries_are_not_recorded(
    execution: Execution, sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """A query that is told again is a fresh reading."""
    first = told(await execution.settle(received(QUERY)))
    fac.total = 200
    second = told(await execution.settle(received(QUERY, redelivered=True)))
    assert (100, 200) == (first["total_sms"], second["total_sms"])
    assert await sqlite.find(QUERY.key) is None


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (command(data={"appliance": "nobody"}), Code.UNKNOWN_APPLIANCE),
        (command(data={"appliance": "fvc-1"}), Code.WRONG_APPLIANCE_KIND),
        (command("query-devices", {"appliance": "fac-1"}), Code.WRONG_APPLIANCE_KIND),
    ],
)
async def test_an_appliance_that_cannot_is_a_refusal(
    wanted: Command, code: Code, execution: Execution
) -> None:
    """The inventory says no before anything is sent; repeating does not help."""
    assert ("refused", code, 0) == failure(await execution.settle(received(wanted)))


@pytest.mark.parametrize("wanted", [command(expirytime=PAST), command(data={}, time=PAST)])
@pytest.mark.parametrize("expired", [True, False])
async def test_a_command_whose_time_is_over_is_not_begun(
    wanted: Command, expired: bool, execution: Execution, fac: FakeFac
) -> None:
    """By its own expirytime, by its age since first receipt, or by the broker's word."""
    delivery = received(wanted, ago=0 if expired else 3601, expired=expired)
    assert ("failed", "expired", 0) == failure(await execution.settle(delivery))
    assert (0, []) == (fac.reads, fac.posts)


async def test_an_expirytime_stands_for_the_general_one(execution: Execution) -> None:
    """A command that says until when it is wanted may wait longer than others, or less long."""
    longer = command(expirytime=format_instant(now() + timedelta(hours=1)))
    assert "succeeded" == told(await execution.settle(received(longer, ago=7200)))["conclusion"]


@pytest.mark.parametrize("expired", [True, False])
async def test_when_time_ends_the_last_failure_is_told(expired: bool, execution: Execution) -> None:
    """`expired` is only told if nothing was attempted."""
    delivery = received(ago=3601, attempts=3, last_error=Code.APPLIANCE_ERROR, expired=expired)
    assert ("failed", "appliance-error", 3) == failure(await execution.settle(delivery))


@pytest.mark.parametrize(
    ("attempts", "retry_after", "expected"),
    [
        *((0, None, 5), (1, None, 30), (2, None, 120), (3, None, 120), (9, None, 120)),
        *((0, 1, 5), (0, 5, 5), (0, 6, 30), (1, 6, 30), (0, 120, 120), (0, 9999, 120)),
    ],
)
async def test_the_delays_are_taken_in_their_order(
    attempts: int, retry_after: float | None, expected: int, execution: Execution, fac: FakeFac
) -> None:
    """The last repeats; the appliance's own wish is the least, as far as the delays reach."""
    fac.errors = [Failed(Code.APPLIANCE_ERROR, "429", status=429, retry_after=retry_after)]
    expected_end = Retry(expected, attempts + 1, False, Code.APPLIANCE_ERROR)
    assert expected_end == await execution.settle(received(attempts=attempts))


@pytest.mark.parametrize("error", [UNREACHABLE, BROKEN, Failed(Code.UNEXPECTED_ANSWER, "what?")])
async def test_a_failure_before_the_write_comes_back(
    error: CommandError, execution: Execution, fac: FakeFac, sqlite: SqliteLedger
) -> None:
    """Nothing was changed and nothing is recorded; the attempt counts."""
    fac.errors = [error]
    assert Retry(5, 1, False, error.code) == await execution.settle(received())
    assert await sqlite.find(("/portal", "c-1")) is None
    assert [] == fac.posts


async def test_waiting_costs_no_attempt(execution: Execution, fac: FakeFac) -> None:
    """A delivery that sent nothing is none: a busy appliance, a lock, refused credentials."""
    fac.busy = BUSY
    assert Retry(5, 0, False, None) == await execution.settle(received())
    assert 0 == fac.reads


async def test_a_delivery_is_one_attempt_however_much_it_asks(execution: Execution) -> None:
    """Balance, activation and reading back are parts of it."""
    end = await execution.settle(received(attempts=2))
    assert ("succeeded", None, 3) == failure(end)


@pytest.mark.parametrize("wanted", [command(), QUERY], ids=["write", "query"])
async def test_a_retry_that_would_come_too_late_is_an_end(
    wanted: Command, sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """When no delay fits in the time that is left, the failure is told at once, with its status."""
    fac.errors = [BROKEN]
    data = told(await executing(sqlite, fac, command_ttl=4).settle(received(wanted)))
    assert {"code": "appliance-error", "message": "503", "status": 503} == data["error"]
    assert ("failed", 1) == (data["conclusion"], data["attempts"])


async def test_refused_credentials_wait_until_time_ends(sqlite: SqliteLedger, fac: FakeFac) -> None:
    """Nothing was sent for this command, and the reason is told all the same."""
    fac.busy = Waiting(Code.CREDENTIALS_REFUSED, "fac-1 refuses the credentials", status=401)
    end = await executing(sqlite, fac).settle(received())
    assert Retry(5, 0, False, Code.CREDENTIALS_REFUSED) == end
    end = await executing(sqlite, fac, command_ttl=4).settle(received())
    assert ("failed", "credentials-refused", 0) == failure(end)


async def test_time_that_ends_while_waiting_tells_the_failure_before(
    sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """A command that was attempted does not end `expired` because it was busy at the last."""
    fac.busy = BUSY
    delivery = received(attempts=2, last_error=Code.UNREACHABLE)
    end = await executing(sqlite, fac, command_ttl=4).settle(delivery)
    assert ("failed", "unreachable", 2) == failure(end)


async def test_waiting_does_not_forget_the_failure_before(
    execution: Execution, fac: FakeFac
) -> None:
    """Through the copy of a delivery that only waited, the last failure is told in the end."""
    fac.busy = BUSY
    end = await execution.settle(received(attempts=2, last_error=Code.UNREACHABLE))
    assert isinstance(end, Retry)
    last = received(ago=3601, attempts=end.attempts, last_error=end.error)
    assert ("failed", "unreachable", 2) == failure(await execution.settle(last))


@pytest.mark.parametrize("code", [Code.UNREACHABLE, Code.APPLIANCE_ERROR, Code.CREDENTIALS_REFUSED])
async def test_what_is_waited_for_is_told_when_it_is_not_the_crowd(
    code: Code, execution: Execution, fac: FakeFac
) -> None:
    """Only a command that finds no place keeps what went wrong before; other reasons are news."""
    fac.busy = Waiting(code, "not now")
    end = await execution.settle(received(attempts=2, last_error=Code.UNEXPECTED_ANSWER))
    assert Retry(5, 2, False, code) == end


@pytest.mark.parametrize(
    ("waited", "retry_after", "expected"),
    [
        *((0, None, 5), (4, None, 5), (6, None, 5), (29, None, 5), (31, None, 30)),
        *((119, None, 30), (121, None, 120), (3000, None, 120)),
        *((0, 0.1, 5), (0, 5, 5), (0, 29, 5), (0, 31, 30), (0, 9999, 120), (3000, 1, 5)),
    ],
)
async def test_waiting_backs_off(
    waited: float, retry_after: float | None, expected: int, execution: Execution, fac: FakeFac
) -> None:
    """For no longer than the command has waited already, or than is said to be of use."""
    fac.busy = Waiting(Code.UNREACHABLE, "not now", retry_after=retry_after)
    end = await execution.settle(received(ago=waited, attempts=9))
    assert Retry(expected, 9, False, Code.UNREACHABLE) == end


async def test_a_place_is_looked_for_again_soon(execution: Execution, fac: FakeFac) -> None:
    """However long it has been wanted: otherwise who has waited longest would come least often."""
    fac.busy = Waiting(Code.BUSY, "not now")
    assert Retry(5, 0, False, None) == await execution.settle(received(ago=3000))


async def test_a_write_that_is_not_settled_may_take_hours(
    execution: Execution, fac: FakeFac
) -> None:
    """Every licence for that appliance waits for it, and need not look every few seconds."""
    fac.busy = IntentOpen("fac-1")
    assert Retry(120, 0, False, None) == await execution.settle(received(ago=121))


async def test_rest_that_fits_into_the_time_that_is_left_does_not_end_a_command(
    execution: Execution, fac: FakeFac
) -> None:
    """The smallest delay that is not shorter would be too late, a look before that is not."""
    fac.errors = [Failed(Code.APPLIANCE_ERROR, "503", retry_after=31)]
    end = await execution.settle(received(ago=3600 - 40))
    assert Retry(5, 1, False, Code.APPLIANCE_ERROR) == end


@pytest.mark.parametrize("retry_after", [None, 9999])
@pytest.mark.parametrize(("left", "expected"), [(122, 120), (119, 30), (32, 30), (29, 5), (7, 5)])
async def test_the_last_look_is_as_late_as_the_time_allows(
    left: float, expected: int, retry_after: float | None, execution: Execution, fac: FakeFac
) -> None:
    """Whoever has waited for long is not given up while a shorter delay still fits."""
    fac.busy = Waiting(Code.UNREACHABLE, "not now", retry_after=retry_after)
    end = await execution.settle(received(ago=3600 - left))
    assert Retry(expected, 0, False, Code.UNREACHABLE) == end


async def test_waiting_ends_when_not_even_the_first_delay_fits(
    execution: Execution, fac: FakeFac
) -> None:
    """Then what it waited for is told."""
    fac.busy = Waiting(Code.UNREACHABLE, "not now")
    assert ("failed", "unreachable", 0) == failure(await execution.settle(received(ago=3596)))


@pytest.mark.parametrize("wanted", [command(), QUERY], ids=["write", "query"])
async def test_a_bug_before_the_write_is_a_failure(
    wanted: Command, execution: Execution, fac: FakeFac
) -> None:
    """The service lives on, and what is told repeats nothing of what went wrong."""
    fac.errors = [ZeroDivisionError(LICENSE)]
    end = await execution.settle(received(wanted))
    assert ("failed", "internal-error", 1) == failure(end)
    assert LICENSE not in json.dumps(told(end))


async def test_no_answer_shows_a_licence(execution: Execution, fac: FakeFac) -> None:
    """Whatever the end, the licence is masked in it and the copy in the ledger is that end."""
    fac.worth = -1
    end = await execution.settle(received())
    assert isinstance(end, Event)
    assert LICENSE.encode() not in end.body()
    assert b"****-****-****-****-IJ90" in end.body()


async def test_writes_on_one_appliance_do_not_overlap(execution: Execution) -> None:
    """Two licences that come together are activated one after the other, each with its figures."""
    second = command(id="c-2", data={"license": OTHER_LICENSE})
    ends = await asyncio.gather(*(execution.settle(received(each)) for each in (None, second)))
    assert [(100, 150), (150, 200)] == [
        (told(end)["before"]["total_sms"], told(end)["after"]["total_sms"]) for end in ends
    ]


@pytest.mark.parametrize("code", [Code.PERMISSION_DENIED])
async def test_a_refusal_before_the_write_is_final(
    code: Code, execution: Execution, fac: FakeFac
) -> None:
    """The appliance said no to the reading: nothing was changed, and nothing comes back."""
    fac.errors = [Refused(code, "no", status=403)]
    assert ("refused", code, 1) == failure(await execution.settle(received()))


async def test_a_clock_that_is_put_back_makes_no_time_negative(execution: Execution) -> None:
    """A command ends no earlier than it was received."""
    end = told(await execution.settle(received(QUERY, received_at=now() + timedelta(hours=1))))
    assert end["finished_at"] == end["started_at"]
