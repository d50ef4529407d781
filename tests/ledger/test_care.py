"""Every ledger in a person's hands: what is looked for is found, what is settled stays settled.

Whoever looks has a thread, or a program, of their own, beside a service that has the ledger open.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeVar

import pytest

from service.ledger import Care, Ledger, Record, Settlement, Wanted
from service.ledger.opening import opened
from service.messages.commands import Command
from service.messages.wire import now
from tests.ledger.conftest import Place
from tests.unit.ledgers import BEFORE, FIRST, ORIGIN, SECOND, origin_of, told
from tests.unit.making import command

T = TypeVar("T")

TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DAY: Final = timedelta(days=1)


async def looked(place: Place, look: Callable[[Care], T]) -> T:
    def now_then() -> T:
        with opened(place) as care:
            return look(care)

    return await asyncio.to_thread(now_then)


async def entries(place: Place, wanted: Wanted | None = None) -> list[Record]:
    return await looked(place, lambda care: care.entries(wanted or Wanted()))


def settle_now(place: Place, wanted: Command, settlement: Settlement) -> Settlement | None:
    with opened(place, read_only=False) as care:
        return care.settle(wanted.key, settlement)


def found(verdict: str = "applied", note: str = "It is there.") -> Settlement:
    return Settlement(verdict, note, "anna", now())


async def settle(place: Place, wanted: Command, settlement: Settlement) -> Settlement | None:
    return await asyncio.to_thread(settle_now, place, wanted, settlement)


async def ids(place: Place, wanted: Wanted | None = None) -> list[str]:
    return [record.id for record in await entries(place, wanted)]


async def ended(
    ledger: Ledger, name: str, conclusion: str, ago: timedelta, appliance: str = "fac-1"
) -> Command:
    ended = command(id=name, data={"appliance": appliance})
    await ledger.conclude(ended, told(conclusion, now() - ago), None)
    return ended


@pytest.fixture
async def six(ledger: Ledger, place: Place) -> Place:
    """Two open intents, an unknown and a settled one, a success and a refusal."""
    for name, appliance in (("open-1", "fac-1"), ("open-2", "fac-2")):
        wanted = command(id=name, data={"appliance": appliance})
        await ledger.intend(wanted, BEFORE, origin_of(wanted))
    await ended(ledger, "unknown", "unknown", 3 * DAY)
    settled = await ended(ledger, "settled", "unknown", 5 * DAY)
    await ended(ledger, "done", "succeeded", 4 * DAY, "fac-2")
    await ended(ledger, "refused", "refused", 2 * DAY)
    await settle(place, settled, found())
    return place


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), ["open-1", "open-2", "unknown"]),
        (
            Wanted(finished=True),
            ["open-1", "open-2", "unknown", "refused", "done", "settled"],
        ),
        (Wanted(appliance="fac-2"), ["open-2"]),
        (Wanted(finished=True, appliance="fac-2"), ["open-2", "done"]),
        (Wanted(finished=True, conclusion="unknown"), ["unknown", "settled"]),
        (Wanted(finished=True, conclusion="succeeded"), ["done"]),
        (Wanted(conclusion="succeeded"), []),
        (Wanted(limit=2), ["open-1", "open-2"]),
        (Wanted(finished=True, limit=4), ["open-1", "open-2", "unknown", "refused"]),
    ],
    ids=str,
)
async def test_what_a_person_must_care_for_comes_first(
    six: Place, wanted: Wanted, expected: list[str]
) -> None:
    """Open intents and unsettled unknowns, oldest first; the finished ones on demand, newest."""
    assert expected == await ids(six, wanted)


async def test_entries_are_chosen_by_age(six: Place) -> None:
    """What was begun, or ended without that, before an instant."""
    chosen = Wanted(finished=True, older_than=now() - 3 * DAY)
    assert ["unknown", "done", "settled"] == await ids(six, chosen)
    assert [] == await ids(six, Wanted(older_than=now() - 6 * DAY))


async def test_everything_that_was_recorded_is_shown(ledger: Ledger, place: Place) -> None:
    """The command, figures, answer, end and settlement; correlation and trace as they came."""
    traced = command(correlationid="order-7", traceparent=TRACE)
    intent, end, said = await ledger.intend(traced, BEFORE, ORIGIN), told("unknown"), found()
    await ledger.keep_answer(traced, intent, b'{"kind": "failed"}')
    await ledger.conclude(traced, end, intent)
    await settle(place, traced, said)
    (record,) = await looked(place, lambda care: care.of_id("c-1"))
    assert traced.key == record.key
    assert (traced.envelope.type, traced.digest, "fac-1") == (
        *(record.type, record.digest, record.appliance),
    )
    assert ("order-7", TRACE) == (record.correlation_id, record.traceparent)
    assert record.intent is not None
    assert (BEFORE, b'{"kind": "failed"}') == (record.intent.before, record.intent.answer)
    assert abs(record.intent.recorded.at - intent.recorded.at) < timedelta(seconds=1)
    assert (end, said) == (record.told, record.settlement)


async def test_a_command_that_wrote_nothing_is_shown_with_its_correlation(
    ledger: Ledger, place: Place
) -> None:
    """It has no intent; the id stands for a correlation that was not given."""
    await ledger.conclude(FIRST, told("refused"), None)
    (record,) = await looked(place, lambda care: care.of_id("c-1"))
    assert (None, None, "c-1", None) == (
        *(record.intent, record.settlement, record.correlation_id, record.traceparent),
    )


async def test_one_id_of_several_sources_is_several_commands(ledger: Ledger, place: Place) -> None:
    """All are found, in order; the source narrows; nobody's id is nothing."""
    sources = [f"/portal/{number:02}" for number in range(30)]
    for source in sources:
        await ledger.conclude(command(source=source), told(), None)
        await ledger.conclude(command(source=source, id="c-2"), told(), None)

    def look(care: Care) -> None:
        record = care.find(("/portal/07", "c-2"))
        assert record is not None
        assert ("/portal/07", "c-2") == record.key
        assert care.find(("/portal/07", "c-3")) is None
        assert sources == [record.source for record in care.of_id("c-1")]
        assert ["/portal/07"] == [each.source for each in care.of_id("c-1", "/portal/07")]
        assert [] == [*care.of_id("c-3"), *care.of_id("c-1", "/elsewhere")]

    await looked(place, look)


async def test_the_first_settlement_stays(ledger: Ledger, place: Place) -> None:
    """Whatever is found later; the end that was told is not touched by any."""
    end, said = told("unknown"), found()
    await ledger.conclude(FIRST, end, None)
    assert said == await settle(place, FIRST, said)
    assert said == await settle(place, FIRST, found("not-applied"))
    assert said == await settle(place, FIRST, found("applied", "Another note."))
    entry = await ledger.find(FIRST.key)
    assert entry is not None
    assert end == entry.told


@pytest.mark.parametrize("conclusion", ["succeeded", "refused", "failed", None])
async def test_only_an_unknown_is_settled(
    conclusion: str | None, ledger: Ledger, place: Place
) -> None:
    """No other end, no open intent, nothing that is not there."""
    if conclusion:
        await ledger.conclude(FIRST, told(conclusion), None)
    else:
        await ledger.intend(FIRST, BEFORE, ORIGIN)
    assert await settle(place, FIRST, found()) is None
    assert await settle(place, SECOND, found()) is None
    records = await entries(place, Wanted(finished=True))
    assert [None] == [record.settlement for record in records]


async def test_an_unsettled_unknown_keeps_no_write_from_beginning(
    ledger: Ledger, place: Place
) -> None:
    """It is concluded: the next licence on the appliance does not wait for a person."""
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    await ledger.conclude(FIRST, told("unknown"), intent)
    assert set() == await ledger.open_intents("fac-1", ORIGIN)
    assert BEFORE == (await ledger.intend(SECOND, BEFORE, ORIGIN)).before
    assert ["c-2", "c-1"] == await ids(place)


async def test_settling_and_recording_go_on_side_by_side(ledger: Ledger, place: Place) -> None:
    """Whoever comes second waits for a moment: nothing fails, nothing is lost, nothing is idle."""
    unknown = [await ended(ledger, f"u-{number}", "unknown", DAY) for number in range(200)]
    idle: list[str | None] = []

    async def record() -> None:
        for number in range(200):
            written = command(id=f"w-{number}")
            intent = await ledger.intend(written, BEFORE, ORIGIN)
            await ledger.conclude(written, told(), intent)
            idle.append(ledger.idle_reason)

    def settle_all(unknowns: list[Command]) -> None:
        for each in unknowns:
            settle_now(place, each, found())

    persons = (asyncio.to_thread(settle_all, half) for half in (unknown[::2], unknown[1::2]))
    await asyncio.gather(record(), *persons)
    assert {None} == set(idle)
    assert [] == await ids(place)
    assert 400 == len(await ids(place, Wanted(finished=True, limit=1000)))


async def test_what_was_finished_before_an_instant_is_forgotten(
    ledger: Ledger, place: Place
) -> None:
    """To the millisecond: what ended at the instant itself stays."""
    instant = now() - DAY
    ends = {"older": instant - timedelta(milliseconds=1), "at": instant, "newer": now()}
    for name, at in ends.items():
        await ledger.conclude(command(id=name), told("succeeded", at), None)
    assert 1 == await ledger.forget(instant)
    assert {"at", "newer"} == set(await ids(place, Wanted(finished=True)))
    assert 0 == await ledger.forget(instant)
