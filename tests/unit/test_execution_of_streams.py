"""Pages: told before the end, under numbers that no other reading of the command has."""

import asyncio
import json
from dataclasses import replace
from typing import Any, Final

import pytest

from service.errors import Code, CommandError, Failed, Refused, Waiting
from service.execution import Execution, Received, Retry
from service.ledger.sqlite import SqliteLedger
from service.messages.commands import Command
from service.messages.encode import Event
from service.messages.wire import MAX_RESULT
from tests.support.clock import Clock
from tests.support.wait import until
from tests.unit.fakes import FakeFvc, executing, part
from tests.unit.making import command, received

STREAM: Final = command("query-devices", {"stream": True}, id="q-1", correlationid="order-1")
PARTS: Final = [
    part("aa", "bb", total=5, left=2, rows=2),
    part(total=5, left=4, rows=4),
    part("cc", total=5, rows=5, complete=True),
]
BUSY: Final = Waiting(Code.BUSY, "busy")
BROKEN: Final = Failed(Code.UNEXPECTED_ANSWER, "what?", status=200)
DENIED: Final = Refused(Code.PERMISSION_DENIED, "no", status=403)


class Listening:
    """Whoever is bound: keeps the events in order."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    async def hear(self, event: Event) -> None:
        self.heard.append(event)

    def told(self) -> list[tuple[int, int, list[str]]]:
        """Attempt, sequence and phones of each page."""
        pages = [json.loads(event.data) for event in self.heard]
        return [
            (page["attempt"], page["sequence"], [device["mac"] for device in page["devices"]])
            for page in pages
        ]


@pytest.fixture
def listening() -> Listening:
    return Listening()


@pytest.fixture
def voice(fvc: FakeFvc) -> FakeFvc:
    fvc.parts = PARTS
    return fvc


@pytest.fixture
def execution(sqlite: SqliteLedger, voice: FakeFvc, listening: Listening) -> Execution:
    return executing(sqlite, voice, tell=listening.hear)


def streaming(**story: Any) -> Received:  # noqa: ANN401  as a delivery has them
    return replace(received(STREAM), **story)


def numbered(number: int) -> Command:
    return command("query-devices", {"stream": True}, id=f"q-{number}")


def result(end: Event | Retry) -> dict[str, Any]:
    assert isinstance(end, Event)
    data: dict[str, Any] = json.loads(end.data)
    return data


async def test_pages_are_told_as_they_come_and_counted_at_the_end(
    execution: Execution, listening: Listening
) -> None:
    """A part without phones is no page; the result says how far the list was read."""
    data = result(await execution.settle(streaming()))
    label = data["stream"]["attempt"]
    assert [(label, 1, ["aa", "bb"]), (label, 2, ["cc"])] == listening.told()
    assert {"attempt": label, "pages": 2, "devices": 3, "rows": 5} == data["stream"]
    assert (None, 5, True) == (data["devices"], data["total"], data["complete"])
    assert ["page", "page"] == [event.outcome for event in listening.heard]
    assert {"order-1"} == {event.correlation_id for event in listening.heard}


async def test_who_asks_for_no_pages_is_told_none(
    execution: Execution, listening: Listening
) -> None:
    """The phones are in the result."""
    data = result(await execution.settle(received(command("query-devices"))))
    assert ["aa", "bb", "cc"] == [device["mac"] for device in data["devices"]]
    assert (None, []) == (data["stream"], listening.heard)


async def test_a_part_with_many_phones_is_more_than_one_page(
    execution: Execution, voice: FakeFvc, listening: Listening
) -> None:
    """An appliance that ignores how many it was asked for."""
    voice.parts = [part(*map(str, range(1203)), total=1203, rows=1203, complete=True)]
    data = result(await execution.settle(streaming()))
    told = listening.told()
    assert [(1, 500), (2, 500), (3, 203)] == [(at, len(macs)) for _, at, macs in told]
    assert list(map(str, range(1203))) == [mac for _, _, macs in told for mac in macs]
    assert (3, 1203, 1203) == tuple(data["stream"][name] for name in ("pages", "devices", "rows"))


async def test_a_page_fits_into_a_message(
    execution: Execution, voice: FakeFvc, listening: Listening
) -> None:
    """However long the appliance's texts are."""
    addresses = [f"{number}" * 10_000 for number in range(100, 400)]
    voice.parts = [part(*addresses, total=300, rows=300, complete=True)]
    data = result(await execution.settle(streaming()))
    assert max(len(event.body()) for event in listening.heard) < 2 * 1024 * 1024
    told = listening.told()
    assert addresses == [mac for _, _, macs in told for mac in macs]
    assert list(range(1, len(told) + 1)) == [at for _, at, _ in told]
    assert (len(told), 300) == (data["stream"]["pages"], data["stream"]["devices"])


async def test_a_list_without_phones_is_a_stream_without_pages(
    execution: Execution, voice: FakeFvc, listening: Listening
) -> None:
    """Whoever waits for pages hears that there are none."""
    voice.parts = [part(total=0, rows=0, complete=True)]
    data = result(await execution.settle(streaming()))
    assert (0, 0, 0) == tuple(data["stream"][name] for name in ("pages", "devices", "rows"))
    assert [] == listening.heard


@pytest.mark.parametrize(
    ("story", "attempts"),
    [
        ({}, 1),
        ({"attempts": 3}, 4),
        ({"deliveries": 2}, 2),
        ({"attempts": 1, "deliveries": 11}, 3),
    ],
)
async def test_a_delivery_that_was_lost_counts_as_an_attempt(
    story: dict[str, int], attempts: int, execution: Execution, listening: Listening
) -> None:
    """It has most likely asked, and told pages; the numbers of its pages are others."""
    data = result(await execution.settle(streaming(**story)))
    numbers = {number for number, _, _ in listening.told()}
    assert ({data["stream"]["attempt"]}, attempts) == (numbers, data["attempts"])


async def test_an_original_and_its_retry_copies_never_share_a_page_id(
    execution: Execution, voice: FakeFvc, listening: Listening
) -> None:
    """The ack after a retry copy is lost: the original and the copies of both are read."""

    async def read(*, breaks_off: bool = True, **story: Any) -> int:  # noqa: ANN401  as above
        voice.errors = [None, BROKEN] if breaks_off else []
        end = await execution.settle(streaming(**story))
        return end.attempts if isinstance(end, Retry) else 0

    copied = await read()
    copied_again = await read(deliveries=1, redelivered=True)
    twice = await read(attempts=copied, delayed=True, redelivered=True)
    await read(attempts=copied, deliveries=1, delayed=True, redelivered=True)
    await read(attempts=copied_again, delayed=True, redelivered=True)
    await read(attempts=twice, delayed=True, redelivered=True, breaks_off=False)
    ids = [event.id for event in listening.heard]
    assert 7 == len(ids) == len(set(ids))


async def test_few_lists_are_streamed_at_a_time(
    clock: Clock, execution: Execution, voice: FakeFvc
) -> None:
    """They take minutes: the third one waits in the broker, and a short query does not."""
    voice.gate.clear()
    streams = [replace(streaming(), command=numbered(number)) for number in range(3)]
    running = [asyncio.create_task(execution.settle(each)) for each in streams]
    await until(lambda: voice.reads == 2)
    clock.forward(1)
    third = await running[2]
    assert isinstance(third, Retry)
    assert 0 == third.attempts
    short = asyncio.create_task(execution.settle(received(command("query-devices", id="q-9"))))
    await until(lambda: voice.reads == 3)
    voice.gate.set()
    ends = [result(await each) for each in (*running[:2], short)]
    assert ["succeeded"] * 3 == [each["conclusion"] for each in ends]


async def test_what_was_never_tried_has_no_attempts(execution: Execution) -> None:
    """Deliveries alone are none."""
    data = result(await execution.settle(streaming(deliveries=2, expired=True)))
    assert (0, "expired") == (data["attempts"], data["error"]["code"])


async def test_deliveries_count_as_attempts_of_streams_only(execution: Execution) -> None:
    """Others count those that are known to have asked."""
    query = replace(received(command("query-devices")), deliveries=2)
    assert 1 == result(await execution.settle(query))["attempts"]


@pytest.mark.parametrize("error", [BROKEN, BUSY])
async def test_a_list_that_breaks_off_is_read_again_as_another_attempt(
    error: CommandError, execution: Execution, voice: FakeFvc, listening: Listening
) -> None:
    """Even where it broke off for having to wait: pages were told under its number."""
    voice.errors = [None, error]
    retry = await execution.settle(streaming())
    assert isinstance(retry, Retry)
    assert 1 == retry.attempts
    await execution.settle(streaming(attempts=retry.attempts, delayed=True))
    (first, _, _), *again = listening.told()
    assert [1, 2] == [at for _, at, _ in again]
    assert first not in {attempt for attempt, _, _ in again}


async def test_waiting_before_the_first_page_costs_no_attempt(
    execution: Execution, voice: FakeFvc
) -> None:
    """No number was used."""
    voice.errors = [BUSY]
    retry = await execution.settle(streaming())
    assert isinstance(retry, Retry)
    assert 0 == retry.attempts


@pytest.mark.parametrize(("error", "conclusion"), [(BROKEN, "failed"), (DENIED, "refused")])
async def test_a_list_that_stays_broken_tells_how_far_it_came(
    error: CommandError, conclusion: str, execution: Execution, voice: FakeFvc
) -> None:
    """The pages of the last attempt, and the rows that were read for them."""
    voice.errors = [None, None, error]
    old = received(ago=3599).received_at
    data = result(await execution.settle(streaming(attempts=2, received_at=old)))
    assert (conclusion, 3) == (data["conclusion"], data["attempts"])
    assert (1, 2, 4) == tuple(data["stream"][name] for name in ("pages", "devices", "rows"))
    assert (None, None, None) == (data["devices"], data["total"], data["complete"])


async def test_a_stream_that_was_never_begun_says_nothing_of_pages(execution: Execution) -> None:
    """Nor does one that ends without another try."""
    data = result(await execution.settle(streaming(expired=True, attempts=2)))
    assert ("failed", None) == (data["conclusion"], data["stream"])


async def test_a_result_that_no_broker_takes_is_told_as_a_failure(
    execution: Execution, voice: FakeFvc
) -> None:
    """Told over and over again it would close the channel for everybody, and never arrive."""
    voice.parts = [part("a" * (MAX_RESULT + 1), total=1, rows=1, complete=True)]
    told = result(await execution.settle(received(command("query-devices"))))
    assert ("failed", "unexpected-answer") == (told["conclusion"], told["error"]["code"])
    assert told["devices"] is None


async def test_a_page_that_no_broker_takes_is_not_told(
    execution: Execution, voice: FakeFvc, listening: Listening
) -> None:
    """One phone is as small as a page can be made."""
    voice.parts = [part("a" * (MAX_RESULT + 1), total=1, rows=1, complete=True)]
    end = await execution.settle(streaming())
    assert isinstance(end, Retry)
    assert (Code.UNEXPECTED_ANSWER, []) == (end.error, listening.heard)
