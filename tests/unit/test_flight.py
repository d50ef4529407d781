"""Work belongs to no delivery: it is joined, and outlives those who wait for it."""

import asyncio
from functools import partial

import pytest

from service.errors import Code, Failed, Reason, Rejection
from service.execution import Retry
from service.execution.flight import OVERDUE, Flights
from service.ledger.sqlite import SqliteLedger
from service.messages.encode import Event
from tests.support.clock import Clock
from tests.support.wait import until
from tests.unit.fakes import FakeFac, FakeFvc, executing, part
from tests.unit.making import LICENSE, OTHER_LICENSE, command, received


@pytest.fixture
def flights(sqlite: SqliteLedger, fac: FakeFac) -> Flights:
    return Flights(executing(sqlite, fac))


async def under_way(flights: Flights, fac: FakeFac) -> "asyncio.Task[Event | Retry]":
    """A delivery whose command waits for the appliance's answer."""
    fac.gate.clear()
    task = asyncio.create_task(flights.settle(received()))
    await until(lambda: fac.reads)
    return task


async def test_a_redelivery_joins_the_run(flights: Flights, fac: FakeFac) -> None:
    """The same command twice at once is one run, and both deliveries get its end."""
    first = await under_way(flights, fac)
    second = asyncio.create_task(flights.settle(received(redelivered=True)))
    fac.gate.set()
    assert await first == await second
    assert [LICENSE] == fac.posts


async def test_other_content_under_a_key_in_flight_is_a_conflict(
    flights: Flights, fac: FakeFac
) -> None:
    """Also before the ledger can know of it."""
    first = await under_way(flights, fac)
    other = command(data={"license": OTHER_LICENSE})
    with pytest.raises(Rejection) as caught:
        await flights.settle(received(other))
    assert Reason.ID_CONFLICT == caught.value.reason
    fac.gate.set()
    assert isinstance(await first, Event)


async def test_one_who_goes_away_does_not_cancel_the_work(flights: Flights, fac: FakeFac) -> None:
    """A lost connection cancels its deliveries; the redelivery finds the work where it was."""
    first = await under_way(flights, fac)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.create_task(flights.settle(received(redelivered=True)))
    fac.gate.set()
    assert isinstance(await second, Event)
    assert [LICENSE] == fac.posts
    assert 2 == fac.reads


async def test_work_that_nobody_waits_for_comes_to_its_end(
    flights: Flights, fac: FakeFac, sqlite: SqliteLedger
) -> None:
    """Its end is stored, and told to the redelivery that comes later."""
    first = await under_way(flights, fac)
    first.cancel()
    fac.gate.set()
    await flights.drain(5)
    entry = await sqlite.find(command().key)
    assert entry is not None
    assert entry.told is not None


async def test_a_landed_flight_is_joined_by_nobody(flights: Flights, fac: FakeFac) -> None:
    """After a failure the command runs again, and not into the failure of before."""
    fac.errors = [Failed(Code.UNREACHABLE, "no answer")]
    assert isinstance(await flights.settle(received()), Retry)
    assert isinstance(await flights.settle(received(attempts=1)), Event)


async def test_a_rejection_reaches_everyone_who_waits(flights: Flights) -> None:
    """It is no accident of the first, and the next delivery asks anew."""
    await flights.settle(received())
    other = received(command(data={"license": OTHER_LICENSE}))
    results = await asyncio.gather(
        *(flights.settle(other) for _ in range(3)), return_exceptions=True
    )
    assert [Rejection] * 3 == [type(result) for result in results]
    assert isinstance(await flights.settle(received()), Event)


async def test_other_commands_fly_beside_each_other(flights: Flights, fac: FakeFac) -> None:
    """One that waits holds up only itself."""
    first = await under_way(flights, fac)
    query = asyncio.create_task(flights.settle(received(command("query-sms-balance", id="q-1"))))
    await until(lambda: fac.reads == 2)
    assert not first.done()
    fac.gate.set()
    assert isinstance(await query, Event)
    assert isinstance(await first, Event)


async def test_giving_up_joins_the_run_that_is_under_way(flights: Flights, fac: FakeFac) -> None:
    """A command that is being run has one end, whatever its deliveries come to."""
    running = await under_way(flights, fac)
    given_up = asyncio.create_task(flights.give_up(received()))
    await asyncio.sleep(0)
    fac.gate.set()
    assert await running == await given_up
    assert [LICENSE] == fac.posts


async def test_giving_up_alone_rejects(flights: Flights, fac: FakeFac) -> None:
    """Nothing is run for it."""
    with pytest.raises(Rejection, match="delivery-limit"):
        await flights.give_up(received())
    assert 0 == fac.reads


async def test_a_command_that_outlives_its_time_by_far_is_told(
    sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """Whatever it hangs on, nobody else would notice."""
    flights = Flights(executing(sqlite, fac, command_ttl=0.1), grace=0.1)
    flying = await under_way(flights, fac)
    assert flights.idle_reason is None
    await until(lambda: flights.idle_reason == "command-overdue")
    fac.gate.set()
    await flying
    assert flights.idle_reason is None


@pytest.mark.parametrize("name", ["activate-sms-license", "query-sms-balance"])
async def test_a_request_that_may_take_hours_is_no_hung_command(
    clock: Clock, sqlite: SqliteLedger, fac: FakeFac, name: str
) -> None:
    """The watchdog would end the service in the middle of a write."""
    fac.longest = 2 * 3600.0
    flights = Flights(executing(sqlite, fac, command_ttl=1))
    fac.gate.clear()
    flying = asyncio.create_task(flights.settle(received(command(name))))
    await until(lambda: fac.reads)
    clock.forward(fac.longest + OVERDUE - 60)
    before = flights.idle_reason
    clock.forward(120)
    assert (None, "command-overdue") == (before, flights.idle_reason)
    fac.gate.set()
    await flying


def _has_read(fvc: FakeFvc, before: int) -> bool:
    return fvc.reads > before


async def test_a_stream_that_goes_on_is_no_hung_command(
    clock: Clock, sqlite: SqliteLedger, fvc: FakeFvc
) -> None:
    """A whole inventory is read to its end, once it was begun: page after page, for hours."""
    fvc.parts = [part(total=20) for _ in range(20)]
    fvc.gate.clear()
    flights = Flights(executing(sqlite, fvc, command_ttl=1))
    flying = asyncio.create_task(
        flights.settle(received(command("query-devices", {"stream": True})))
    )
    reasons = []
    for _ in fvc.parts:
        before = fvc.reads
        fvc.gate.set()  # for the one that waits, not for the next one
        fvc.gate.clear()
        await until(partial(_has_read, fvc, before))
        clock.forward(OVERDUE - 30)
        reasons.append(flights.idle_reason)
    assert [None] * 20 == reasons
    clock.forward(60)
    assert "command-overdue" == flights.idle_reason
    fvc.gate.set()
    await flying


async def test_a_deadline_at_the_end_of_all_calendars_is_one_like_any_other(
    flights: Flights, fac: FakeFac
) -> None:
    """Many write the last instant that there is for "never"."""
    never = command(expirytime="9999-12-31T23:59:59Z")
    assert isinstance(await flights.settle(received(never)), Event)
    assert [LICENSE] == fac.posts


async def test_what_does_not_end_in_time_is_cut_short(flights: Flights, fac: FakeFac) -> None:
    """The ledger is closed next: nothing may go on without it."""
    flying = await under_way(flights, fac)
    await flights.drain(0.01)
    with pytest.raises(asyncio.CancelledError):
        await flying
