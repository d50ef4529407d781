"""A licence is never written twice by accident: intents, interruptions, a lost ledger."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import SecretStr

from service.appliances.ports import NotSent
from service.consumers.telling import Story, retry_copy
from service.errors import (
    AnswerLost,
    Code,
    CommandError,
    Failed,
    Reason,
    Refused,
    Rejection,
    Waiting,
)
from service.execution import Execution, Retry
from service.ledger import Entry, Told
from service.ledger.sqlite import SqliteLedger
from service.messages.commands import Command
from service.messages.encode import Event
from service.messages.wire import format_instant, now
from tests.unit.fakes import FakeFac, FakeFvc, executing
from tests.unit.ledgers import ORIGIN, intent_of, origin_of
from tests.unit.making import LICENSE, OTHER_LICENSE, command, delivery, received

BEFORE: Final = b'{"total_sms":100,"used_sms":10,"available_sms":90}'
IDENTITY: Final = b'{"model":"old","serial":null,"version":null}'
FIRST: Final = command()
SECOND: Final = command(id="c-2", data={"license": OTHER_LICENSE})
APPLY: Final = command("apply-voice-license")
UNREACHABLE: Final = Failed(Code.UNREACHABLE, "no answer")
DENIED: Final = Refused(Code.PERMISSION_DENIED, "no", status=403)


@pytest.fixture
def execution(sqlite: SqliteLedger, fac: FakeFac, fvc: FakeFvc) -> Execution:
    return executing(sqlite, fac, fvc)


def told(end: Event | Retry) -> dict[str, Any]:
    assert isinstance(end, Event)
    data: dict[str, Any] = json.loads(end.data)
    return data


def assert_unknown(end: Event | Retry) -> None:
    data = told(end)
    assert ("unknown", "undetermined", "outcome-unknown") == (
        *(data["conclusion"], data["effect"], data["error"]["code"]),
    )
    assert data.get("added_sms") is None


async def test_the_intent_is_durable_before_the_write(sqlite: SqliteLedger) -> None:
    """Whoever is asked to write finds the intent and its figures in the ledger already."""
    seen = []

    class Looking(FakeFac):
        async def activate(self, license_key: SecretStr) -> None:
            seen.append(await sqlite.find(FIRST.key))
            await super().activate(license_key)

    await executing(sqlite, Looking()).settle(received())
    (entry,) = seen
    assert entry is not None
    assert entry.intent is not None
    assert BEFORE == entry.intent.before


@pytest.mark.parametrize("wanted", [FIRST, APPLY], ids=["sms", "voice"])
async def test_a_write_that_was_not_sent_comes_back_as_new(
    wanted: Command, execution: Execution, sqlite: SqliteLedger, fac: FakeFac, fvc: FakeFvc
) -> None:
    """Its intent is withdrawn, which the ledger remembers, and it is retried like any failure."""
    fac.worth, fac.answer, fvc.answer = 0, NotSent("refused"), NotSent("refused")
    assert Retry(5, 1, False, Code.UNREACHABLE) == await execution.settle(received(wanted))
    assert Entry(wanted.digest, None, None) == await sqlite.find(wanted.key)


@pytest.mark.parametrize(("total", "expected"), [(150, "added"), (90, "undetermined")])
async def test_an_interrupted_write_is_read_back(
    total: int, expected: str, execution: Execution, sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """After a crash the stored figures decide; the licence is not sent again."""
    await sqlite.intend(FIRST, BEFORE, ORIGIN)
    fac.total = total
    data = told(await execution.settle(received(redelivered=True)))
    assert (expected, 100, total) == (
        *(data["effect"], data["before"]["total_sms"], data["after"]["total_sms"]),
    )
    assert [] == fac.posts


@pytest.mark.parametrize("delivery", [{"ago": 7200}, {"expired": True}, {"had_intent": True}])
async def test_an_open_intent_outlives_the_commands_time(
    delivery: dict[str, Any], execution: Execution, sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """Time bounds only what comes before the intent: it is settled however late."""
    late = command(expirytime="2020-01-01T00:00:00Z")
    await sqlite.intend(late, BEFORE, ORIGIN)
    fac.total = 150
    assert "added" == told(await execution.settle(received(late, **delivery)))["effect"]


@pytest.mark.parametrize(
    "error",
    [
        UNREACHABLE,
        AnswerLost(Code.UNREACHABLE, "no answer"),
        DENIED,
    ],
)
async def test_an_open_intent_is_read_back_at_the_last_delay(
    error: CommandError, execution: Execution, sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """Nothing that goes wrong while reading back ends the command."""
    await sqlite.intend(FIRST, BEFORE, ORIGIN)
    fac.errors = [error]
    assert Retry(120, 3, True, error.code) == await execution.settle(received(attempts=2))


@pytest.mark.parametrize(
    "code", [Code.BUSY, Code.CREDENTIALS_REFUSED, Code.UNREACHABLE, Code.APPLIANCE_ERROR]
)
@pytest.mark.parametrize(("retry_after", "delay"), [(None, 5), (7, 30)])
async def test_an_open_intent_that_only_waited_comes_back_soon(
    code: Code,
    retry_after: float | None,
    delay: int,
    execution: Execution,
    sqlite: SqliteLedger,
    fac: FakeFac,
) -> None:
    """Nothing was read yet and it costs no attempt; every other write there waits for it."""
    await sqlite.intend(FIRST, BEFORE, ORIGIN)
    fac.errors = [Waiting(code, "not now", retry_after=retry_after)]
    end = await execution.settle(received(ago=3000, attempts=1))
    assert isinstance(end, Retry)
    assert (delay, 1, True) == (end.delay, end.attempts, end.intent)


async def test_nothing_is_uploaded_while_another_write_is_not_settled(
    sqlite: SqliteLedger, fvc: FakeFvc
) -> None:
    """A command that must wait for another's intent asks nothing of the appliance."""
    await sqlite.intend(command("apply-voice-license", id="c-other"), IDENTITY, origin_of(APPLY))
    end = await executing(sqlite, fvc).settle(received(APPLY))
    assert isinstance(end, Retry)
    assert ([], 0) == (fvc.steps, end.attempts)


async def test_only_what_is_stored_is_told(sqlite: SqliteLedger) -> None:
    """When another run has ended the command meanwhile, its end is the one that is told."""
    first = Told("unknown", b'{"conclusion":"unknown"}', now())

    class Overtaken(FakeFac):
        async def activate(self, license_key: SecretStr) -> None:
            await super().activate(license_key)
            await sqlite.conclude(FIRST, first, await intent_of(sqlite, FIRST))

    end = await executing(sqlite, Overtaken()).settle(received())
    assert isinstance(end, Event)
    assert (first.conclusion, first.data) == (end.outcome, end.data)


async def test_a_number_that_is_no_status_is_not_told(sqlite: SqliteLedger, fac: FakeFac) -> None:
    """An appliance may answer 799; the contract has no place for it."""
    fac.errors = [Failed(Code.UNEXPECTED_ANSWER, "odd", status=799)]
    end = await executing(sqlite, fac, command_ttl=1).settle(received())
    assert ("unexpected-answer", None) == (
        told(end)["error"]["code"],
        told(end)["error"]["status"],
    )


async def test_an_appliance_that_left_the_inventory_ends_no_open_intent(
    sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """It may come back: until the recovery time is over nothing is told of the write."""
    await sqlite.intend(FIRST, BEFORE, ORIGIN)
    fac.name = "fac-2"
    end = await executing(sqlite, fac).settle(received())
    assert Retry(120, 0, True, Code.UNKNOWN_APPLIANCE) == end


async def test_a_lost_answer_is_read_back_when_the_appliance_has_settled(
    execution: Execution, fac: FakeFac, sqlite: SqliteLedger
) -> None:
    """The licence may still be worked on: the command comes back with its intent."""
    fac.worth, fac.answer = 0, AnswerLost(Code.UNREACHABLE, "no answer")
    end = await execution.settle(received())
    assert isinstance(end, Retry)
    assert (1, True, Code.UNREACHABLE) == (end.attempts, end.intent, end.error)
    assert end.delay >= fac.settle_time
    assert BEFORE == (await intent_of(sqlite, FIRST)).before


@pytest.mark.parametrize(
    ("wanted", "before"), [(FIRST, BEFORE), (command(expirytime="2099-01-01T00:00:00Z"), BEFORE)]
)
async def test_when_the_recovery_time_ends_the_outcome_is_unknown(
    wanted: Command, before: bytes, sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """A person must look: the figures before the write are told, and the next write may begin."""
    await sqlite.intend(wanted, before, ORIGIN)
    fac.errors = [UNREACHABLE]
    execution = executing(sqlite, fac, recovery_ttl=60)
    end = await execution.settle(received(wanted))
    assert_unknown(end)
    assert (100, None) == (told(end)["before"]["total_sms"], told(end)["after"])
    assert "succeeded" == told(await execution.settle(received(SECOND)))["conclusion"]


async def test_while_an_intent_is_open_no_other_write_starts(
    execution: Execution, sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """The figures of two writes must not mix: the second waits for the first to be settled."""
    await sqlite.intend(FIRST, BEFORE, ORIGIN)
    end = await execution.settle(received(SECOND))
    assert isinstance(end, Retry)
    assert (5, False) == (end.delay, end.intent)
    assert [] == fac.posts


async def test_while_an_intent_is_open_others_may_read(
    execution: Execution, sqlite: SqliteLedger
) -> None:
    """Queries and dry runs write nothing."""
    await sqlite.intend(FIRST, BEFORE, ORIGIN)
    dry_run = command(id="c-3", data={"dry_run": True})
    for wanted in (dry_run, command("query-sms-balance", id="q-1")):
        assert "succeeded" == told(await execution.settle(received(wanted)))["conclusion"]


async def test_an_interrupted_apply_is_unknown(
    execution: Execution, sqlite: SqliteLedger, fvc: FakeFvc
) -> None:
    """It cannot be read back, so it is told at once, and never applied again."""
    await sqlite.intend(APPLY, IDENTITY, origin_of(APPLY))
    end = await execution.settle(received(APPLY))
    assert_unknown(end)
    assert "old" == told(end)["device"]["model"]
    assert [] == fvc.steps


async def test_a_bug_after_the_intent_is_an_unknown_outcome(
    execution: Execution, fac: FakeFac
) -> None:
    """The write may have been sent: `internal-error` would say that nothing changed."""
    fac.answer = ZeroDivisionError(LICENSE)
    end = await execution.settle(received())
    assert_unknown(end)
    assert 100 == told(end)["before"]["total_sms"]
    assert LICENSE not in json.dumps(told(end))


LOST: Final[list[dict[str, Any]]] = [
    {"had_intent": True},
    {"had_intent": True, "redelivered": True, "ago": 60},
    {"inherited": True},
]
"""Deliveries that an earlier ledger may have known: it is younger than they are."""


@pytest.mark.parametrize("delivery", LOST)
@pytest.mark.parametrize("wanted", [FIRST, APPLY], ids=["sms", "voice"])
async def test_a_lost_ledger_does_not_double(
    wanted: Command, delivery: dict[str, Any], execution: Execution, fac: FakeFac, fvc: FakeFvc
) -> None:
    """What an earlier ledger may have known is unknown, and never run on a guess."""
    end = await execution.settle(received(wanted, **delivery))
    assert_unknown(end)
    assert ([], []) == (fac.posts, fvc.steps)
    assert end == await execution.settle(received(wanted, **delivery))


async def test_a_commands_own_time_tells_that_it_is_older_than_the_ledger(
    execution: Execution, fac: FakeFac
) -> None:
    """A redelivery without our headers is as old as its producer says."""
    old = command(time=format_instant(now() - timedelta(days=1)))
    assert_unknown(await execution.settle(received(old, redelivered=True)))
    assert [] == fac.posts


@pytest.mark.parametrize(
    ("wanted", "delivery"),
    [
        (command(time=format_instant(now() + timedelta(days=1))), {"redelivered": True}),
        (FIRST, {"ago": 60}),
        (command(time="2020-01-01T00:00:00Z"), {}),
        (command(data={"dry_run": True}), LOST[1]),
        (command("query-sms-balance"), LOST[1]),
    ],
)
async def test_what_no_earlier_ledger_can_have_known_is_run(
    wanted: Command, delivery: dict[str, Any], execution: Execution
) -> None:
    """A younger command, a first delivery, a dry run and a query double nothing."""
    assert "succeeded" == told(await execution.settle(received(wanted, **delivery)))["conclusion"]


async def test_a_redelivery_of_unknown_age_is_lost_to_a_new_ledger(
    execution: Execution, fac: FakeFac
) -> None:
    """Whoever had it before had another ledger: the one there is began with this process."""
    assert_unknown(await execution.settle(received(inherited=True)))
    assert [] == fac.posts


async def test_a_redelivery_that_this_process_may_have_had_itself_is_run(
    execution: Execution, fac: FakeFac
) -> None:
    """A connection that was lost brings again what nobody had read of it yet."""
    assert "succeeded" == told(await execution.settle(received(redelivered=True)))["conclusion"]
    assert [LICENSE] == fac.posts


async def test_a_redelivery_of_what_this_process_had_itself_is_run(
    execution: Execution, fac: FakeFac
) -> None:
    """A channel that was closed brings it again on the same connection."""
    fac.errors = [UNREACHABLE]
    assert isinstance(await execution.settle(received()), Retry)
    assert "succeeded" == told(await execution.settle(received(inherited=True)))["conclusion"]


async def test_a_redelivery_of_unknown_age_is_run_on_a_ledger_that_was_there_before(
    tmp_path: Path, fac: FakeFac
) -> None:
    """It would know of the write."""
    ledger = await SqliteLedger.open(tmp_path / "old.db")
    await ledger.belong_to("rabbit@a /")
    await ledger.close()
    ledger = await SqliteLedger.open(tmp_path / "old.db")
    try:
        end = await executing(ledger, fac).settle(received(inherited=True))
        assert "succeeded" == told(end)["conclusion"]
    finally:
        await ledger.close()


async def test_a_retry_of_this_ledger_is_no_lost_one(execution: Execution, fac: FakeFac) -> None:
    """A command made before the ledger was, and delayed by us without an intent, is still run."""
    waiting = command(time=format_instant(now() - timedelta(days=1)))
    fac.errors = [UNREACHABLE]
    first = received(waiting)
    retry = await execution.settle(first)
    assert isinstance(retry, Retry)
    copy, _ = retry_copy(delivery(), retry, first.received_at)
    second = Story.of(delivery(dict(copy.headers)), "courier.activate-sms-license").received(
        waiting
    )
    assert "succeeded" == told(await execution.settle(second))["conclusion"]


async def test_a_command_that_ended_is_told_when_it_is_given_up(
    execution: Execution, fac: FakeFac
) -> None:
    """Its deliveries were used up by something else: the answer is known."""
    end = await execution.settle(received())
    assert end == await execution.give_up(received())
    assert [LICENSE] == fac.posts


async def test_a_command_with_an_open_intent_is_unknown_when_it_is_given_up(
    execution: Execution, sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """Once an intent is recorded a command never ends `rejected`."""
    await sqlite.intend(FIRST, BEFORE, ORIGIN)
    end = await execution.give_up(received())
    assert_unknown(end)
    assert 0 == fac.reads
    assert end == await execution.settle(received())


@pytest.mark.parametrize("wanted", [FIRST, APPLY, command("query-devices")])
async def test_a_command_that_was_never_begun_is_rejected_when_it_is_given_up(
    wanted: Command, execution: Execution, sqlite: SqliteLedger
) -> None:
    """Nothing was written: it is parked, and may be replayed."""
    with pytest.raises(Rejection) as caught:
        await execution.give_up(received(wanted))
    assert Reason.DELIVERY_LIMIT == caught.value.reason
    assert await sqlite.find(wanted.key) is None


async def test_a_lost_intent_is_unknown_when_it_is_given_up(execution: Execution) -> None:
    """The copy says that a write was announced: it never ends `rejected`, ledger or not."""
    assert_unknown(await execution.give_up(received(had_intent=True, redelivered=True)))
