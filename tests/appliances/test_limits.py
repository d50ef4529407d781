from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from service.appliances.answers import Kind, Operation
from service.appliances.http import Http
from service.appliances.ports import DeviceInventory, SmsLicensing
from service.appliances.visit import Visit, visit
from service.errors import AnswerLost, Waiting
from service.simulator import Hang
from tests.appliances.pairs import LIMITS, Sms, Voice
from tests.support.wait import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.appliances.pairs import Load, Make, Pair, RecordingSimulator
    from tests.support.clock import Clock


@pytest.mark.parametrize("slots", [1, 3])
async def test_no_more_requests_are_in_flight_than_the_inventory_allows(
    make: Make, slots: int
) -> None:
    """The limit is used, and it holds from the login on."""
    pair = make(max_concurrency=slots)
    pair.simulated.latency = 0.03

    await pair.stampede(20)

    assert slots == pair.simulated.books.in_flight_peak


async def test_requests_in_flight_are_counted(pair: Pair) -> None:
    """Who watches sees how busy an appliance is: never more than its slots, and nothing left."""
    await pair.read()
    assert pair.adapter.status().in_flight == 0
    pair.fault(Hang())
    crowd = asyncio.create_task(pair.stampede(20))
    await until(lambda: pair.simulated.books.in_flight == 4)
    assert pair.adapter.status().in_flight == 4

    crowd.cancel()
    await asyncio.wait([crowd])

    assert pair.adapter.status().in_flight == 0


async def test_writers_take_turns_in_order_of_arrival(pair: Pair) -> None:
    """Licence writes on one appliance never overlap, or their figures belong to nobody."""
    turns = []
    pair.simulated.latency = 0.005

    async def write(number: int) -> None:
        async with pair.adapter.writing():
            turns.append(number)
            await pair.write()

    await asyncio.gather(*(write(number) for number in range(5)))

    assert turns == list(range(5))
    assert (pair.written(), pair.simulated.books.writes_peak) == (5, 1)


async def test_a_writer_that_fails_lets_the_next_one_in(pair: Pair) -> None:
    """The right to write is given back, whatever happened."""

    async def fail() -> None:
        async with pair.adapter.writing():
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        await fail()

    async with pair.adapter.writing():
        await pair.write()


async def test_who_leaves_the_line_of_writers_keeps_nobody_waiting(pair: Pair) -> None:
    """A delivery that is cancelled gives up its place."""

    async def write() -> None:
        async with pair.adapter.writing():
            await pair.write()

    async with pair.adapter.writing():
        leaving, staying = asyncio.create_task(write()), asyncio.create_task(write())
        await pair.read()
        leaving.cancel()
    await staying

    assert pair.written() == 1


async def test_reads_go_on_while_a_writer_holds_its_turn(pair: Pair) -> None:
    """The right to write keeps other writers out, nobody else."""
    async with pair.adapter.writing():
        await pair.read()


async def test_who_would_wait_for_more_than_five_seconds_comes_back_later(
    clock: Clock, sms: Sms, voice: Voice
) -> None:
    """Beyond that a command waits in the broker; nothing was sent for it."""
    release = asyncio.Event()

    async def hold(pair: Pair) -> None:
        async with pair.adapter.writing():
            await release.wait()

    async def write(pair: Pair) -> None:
        async with pair.adapter.writing():
            await pair.write()

    for pair in (sms, voice):
        await pair.read()
        pair.fault(Hang())
    holding = [asyncio.create_task(hold(pair)) for pair in (sms, voice)]
    hanging = [asyncio.create_task(pair.stampede(4)) for pair in (sms, voice)]
    await until(lambda: {4} == {pair.simulated.books.in_flight for pair in (sms, voice)})
    asking = (sms.read(), voice.read(), write(sms), write(voice))
    waiting = [asyncio.ensure_future(each) for each in asking]
    await asyncio.sleep(0)  # now they wait

    clock.forward(4)
    told, _ = await asyncio.wait(waiting, timeout=0.1)
    assert told == set()
    clock.forward(1)
    errors = await asyncio.gather(*waiting, return_exceptions=True)

    assert [(type(error), str(error)) for error in errors] == (
        [(Waiting, "fac-1 is busy"), (Waiting, "fvc-1 is busy")] * 2
    )
    assert {4} == {pair.simulated.books.in_flight_peak for pair in (sms, voice)}
    release.set()
    await asyncio.gather(*holding)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_an_answer_that_trickles_for_ever_is_given_up() -> None:
    """The transport's limit begins anew with every piece; the slot must be free again."""

    over = asyncio.Event()

    async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nDate: ")
            while not writer.is_closing():
                writer.write(b"H")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        over.set()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    http = Http(
        "fac-1",
        f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        tls=ssl.create_default_context(),
        concurrency=1,
        connect_timeout=0.1,
        read_timeout=0.1,
        breaker_failures=5,
        writing=asyncio.Lock(),
    )
    with pytest.raises(AnswerLost, match="timed out"):
        await http.send(Operation("any", "PUT", "/", Kind.WRITE))
    await http.close()
    await over.wait()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("quarter", "concurrency", "places"),
    [(12, 4, 5), (12, 2, 4), (12, 16, 12), (50, 4, 20), (3, 4, 3)],
)
async def test_a_hung_appliance_takes_no_more_than_its_share_and_others_go_on(
    *,
    quarter: int,
    concurrency: int,
    places: int,
    clock: Clock,
    load: Load,
    simulator: RecordingSimulator,
    tmp_path: Path,
) -> None:
    """What is beyond it goes back to the broker soon, and before long at once.

    A tenth of the prefetch window, or one more than it can make use of; never more than a quarter.
    """
    limits = replace(LIMITS, share=quarter)
    inventory = load(limits, only="fvc-1", max_concurrency=concurrency)
    sms = Sms(simulator, inventory, tmp_path / "fac-1.password")
    voice = Voice(simulator, inventory, tmp_path / "fvc-1.password")
    inside: list[Voice] = []

    async def deliver() -> None:
        async with inventory.visiting("fvc-1", DeviceInventory):
            inside.append(voice)
            await voice.read()

    await voice.read()
    voice.fault(Hang())
    crowd = [asyncio.create_task(deliver()) for _ in range(50)]
    await until(lambda: voice.simulated.books.in_flight == min(concurrency, places))
    assert places == len(inside)

    for _ in range(20):
        async with inventory.visiting("fac-1", SmsLicensing):
            await sms.read()
    assert not any(task.done() for task in crowd)
    clock.forward(1)
    sent_back, _ = await asyncio.wait(crowd, timeout=0.1)

    assert 50 - places == len(sent_back)
    assert {(Waiting, "fvc-1 is busy")} == {
        (type(error), str(error)) for error in (task.exception() for task in sent_back)
    }
    with pytest.raises(Waiting, match="fvc-1 is busy"):
        async with asyncio.timeout(0.5):
            await deliver()
    for task in crowd:
        task.cancel()
    await asyncio.wait(crowd)


@pytest.mark.parametrize("read_timeout", [30.0, 3600.0])
async def test_a_request_says_how_long_it_may_take(make: Make, read_timeout: float) -> None:
    """Who watches the command counts it as hung only after that, whatever the inventory says."""
    pair = make(read_timeout=read_timeout)
    seen = Visit()
    token = visit.set(seen)
    began = asyncio.get_running_loop().time()
    await pair.read()
    visit.reset(token)
    assert seen.busy_until >= began + 2 * read_timeout
