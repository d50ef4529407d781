"""A parked licence command that is sent again is never written twice, nor run on a guess."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from service.consumers.telling import Story
from service.errors import Code, Waiting
from service.execution import Execution, Retry
from service.ledger.sqlite import SqliteLedger
from service.messages.encode import Event
from service.messages.wire import format_instant, now
from tests.unit.fakes import FakeFac, executing
from tests.unit.making import LICENSE, command, delivery

HOUR: Final = timedelta(hours=1)
LIMIT: Final = "delivery-limit"


@pytest.fixture
def execution(sqlite: SqliteLedger, fac: FakeFac) -> Execution:
    return executing(sqlite, fac)


async def conclusion(
    execution: Execution,
    headers: Mapping[str, Any],
    *,
    redelivered: bool = False,
    timestamp: datetime | None = None,
    id: str = "c-1",  # noqa: A002  the contract's word
    time: str | None = None,
) -> str:
    """How a licence command ends that comes with these headers."""
    raw = delivery(dict(headers), redelivered=redelivered, timestamp=timestamp)
    story = Story.of(raw, "courier.activate-sms-license")
    end = await execution.settle(story.received(command(id=id, time=time)))
    assert isinstance(end, Event)
    return str(json.loads(end.data)["conclusion"])


def parked(reason: str, ago: timedelta) -> dict[str, Any]:
    """The headers of a message that was parked so long ago."""
    return {"courier-reason": reason, "courier-parked-at": format_instant(now() - ago)}


async def test_what_was_parked_before_the_ledger_was_made_may_have_run(
    execution: Execution, fac: FakeFac
) -> None:
    """Its deliveries were used up, so an earlier ledger may have known it: unknown, not run."""
    assert "unknown" == await conclusion(execution, parked(LIMIT, HOUR))
    assert [] == fac.posts


async def test_a_retry_copy_that_is_older_than_the_ledger_may_have_run(
    execution: Execution, fac: FakeFac
) -> None:
    """An earlier ledger delayed it, and may have known of a write since."""
    waited = {"courier-received-at": format_instant(now() - HOUR), "courier-attempt": 1}
    assert "unknown" == await conclusion(execution, waited)
    assert [] == fac.posts


async def test_what_was_never_run_is_run_however_long_it_was_parked(
    execution: Execution, fac: FakeFac
) -> None:
    """It was rejected for what it was, and now it is valid."""
    old = parked("unknown-command", HOUR)
    assert "succeeded" == await conclusion(execution, old)
    assert [LICENSE] == fac.posts


async def test_what_was_sent_and_parked_since_the_ledger_was_made_is_run(
    execution: Execution, fac: FakeFac
) -> None:
    """The ledger would know if it had been written."""
    assert "succeeded" == await conclusion(execution, parked(LIMIT, timedelta(0)))
    assert [LICENSE] == fac.posts


@pytest.mark.parametrize("headers", [{}, {"courier-reason": LIMIT}])
async def test_the_earliest_instant_that_is_told_counts(
    execution: Execution, fac: FakeFac, headers: dict[str, Any]
) -> None:
    """Envelope or AMQP timestamp, for a second delivery as for a replay."""
    old = now() - HOUR
    again = not headers
    assert "unknown" == await conclusion(
        execution, headers, id="1", timestamp=old, redelivered=again
    )
    envelope = format_instant(old)
    assert "unknown" == await conclusion(
        execution, headers, id="2", time=envelope, redelivered=again
    )
    assert [] == fac.posts


async def test_an_amqp_timestamp_is_the_end_of_its_second(
    execution: Execution, sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """It has whole seconds: what was sent in the ledger's first second was not sent before it."""
    same = sqlite.created_at.replace(microsecond=0)
    assert "succeeded" == await conclusion(execution, {"courier-reason": LIMIT}, timestamp=same)
    assert [LICENSE] == fac.posts


@pytest.mark.parametrize("reason", [LIMIT, "unknown-command"])
async def test_our_own_copy_is_believed_before_everything_else(
    execution: Execution, fac: FakeFac, reason: str
) -> None:
    """It was judged when it was received: sent or parked long ago, it only waited since then."""
    waited = {**parked(reason, HOUR), "courier-received-at": format_instant(now())}
    old = now() - HOUR
    assert "succeeded" == await conclusion(
        execution, waited, timestamp=old, time=format_instant(old)
    )
    assert [LICENSE] == fac.posts


async def test_a_replay_has_the_whole_of_its_time(execution: Execution) -> None:
    """How long it was parked does not count, nor do the attempts before."""
    story = Story.of(delivery(parked("contract-violation", 1000 * HOUR)), "courier.query-devices")
    assert now() - story.received_at < timedelta(minutes=1)
    assert story.known_since is not None
    assert now() - story.known_since > HOUR
    assert (0, False, False) == (story.attempts, story.delayed, story.redelivered)
    assert execution.deadline(story.received(command())) > now()


def test_what_is_told_of_the_future_is_not_told() -> None:
    """Nobody parks or sends anything then."""
    far = datetime.fromisoformat("9999-12-31T23:59:59Z")
    headers = {"courier-parked-at": "9999-12-31T23:59:59Z"}
    story = Story.of(delivery(headers, timestamp=far), "courier.query-devices")
    assert story.known_since is None


async def test_our_own_copy_is_believed_though_the_clock_was_put_back(
    execution: Execution, fac: FakeFac, sqlite: SqliteLedger
) -> None:
    """It says an instant that has not come yet; else it would look older than it is."""
    ahead = now() + HOUR
    headers = {"courier-received-at": format_instant(ahead), "courier-attempt": 1}
    story = Story.of(delivery(headers), "courier.activate-sms-license")
    assert (ahead, True) == (story.received_at, story.delayed)
    assert story.known_since is not None
    assert story.known_since > sqlite.created_at
    assert "succeeded" == await conclusion(execution, headers)
    assert [LICENSE] == fac.posts


async def test_who_waits_while_the_clock_was_put_back_waits_the_first_delay(
    execution: Execution, fac: FakeFac
) -> None:
    """A wait that counts as negative is none."""
    fac.errors = [Waiting(Code.UNREACHABLE, "the breaker is open", retry_after=60)]
    ahead = {"courier-received-at": format_instant(now() + HOUR)}
    story = Story.of(delivery(ahead), "courier.activate-sms-license")
    end = await execution.settle(story.received(command()))
    assert isinstance(end, Retry)
    assert 30 == end.delay
