"""A list is read some pages ahead, and what was asked for too early is taken back."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.appliances import listing
from service.appliances.ports import Part
from service.errors import Code, Failed, Waiting
from tests.support.wait import until

Json = dict[str, Any]


@dataclass
class Appliance:
    """A list of phones that is given in pages.

    Attributes:
        size: how many phones there are.
        cap: how many it gives at once.
        gate: pages behind the first wait for it.
        asked: offset and size of every page that was asked for.
        under_way: those that are not answered.
        most: the most that were not answered at once.
        broken: the offset of a page that cannot be had.
    """

    size: int
    cap: int = 500
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[tuple[int, int]] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    broken: int | None = None

    async def page(self, offset: int, size: int) -> Json:
        self.asked.append((offset, size))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if offset:
                await self.gate.wait()
            else:
                await asyncio.sleep(0)
            if offset == self.broken:
                raise Failed(Code.UNREACHABLE, "gone")
            end = min(offset + min(size, self.cap), self.size)
            rows = [{"mkey": f"{place}"} for place in range(offset, end)]
            return {"collection": rows, "totalRemoteCount": self.size, "nextPage": end < self.size}
        finally:
            self.under_way -= 1

    async def read(self, ahead: int, limit: int | None = None) -> list[Part]:
        parts = listing.read(self.page, wanted=lambda _: True, start=0, limit=limit, ahead=ahead)
        return [part async for part in parts]


def macs(parts: list[Part]) -> list[str | None]:
    return [device.mac for part in parts for device in part.devices]


@pytest.mark.parametrize("ahead", [0, 1, 2, 5])
async def test_so_many_pages_are_asked_for_ahead_and_no_more(ahead: int) -> None:
    """The first page alone says how many there are; then the next and those behind it."""
    appliance = Appliance(size=6000)
    reading = asyncio.create_task(appliance.read(ahead))
    await until(lambda: len(appliance.asked) == 2 + ahead)
    appliance.gate.set()

    parts = await reading

    assert list(map(str, range(6000))) == macs(parts)
    assert 1 + ahead == appliance.most
    assert [(offset, 500) for offset in range(0, 6000, 500)] == appliance.asked


@pytest.mark.parametrize("cap", [499, 100, 7])
async def test_a_page_that_is_shorter_than_asked_says_how_long_they_are(cap: int) -> None:
    """Nothing is asked for in vain after the first page has shown it."""
    appliance = Appliance(size=1000, cap=cap)
    appliance.gate.set()

    parts = await appliance.read(2)

    assert list(map(str, range(1000))) == macs(parts)
    assert [offset for offset, _ in appliance.asked] == list(range(0, 1000, cap))


async def test_a_page_in_the_middle_that_is_short_costs_what_was_asked_too_early() -> None:
    """The list goes on at the right row, and no phone is missed."""
    appliance = Appliance(size=3000)
    appliance.gate.set()
    places = iter([500, 1])

    async def capped(offset: int, size: int) -> Json:
        appliance.cap = next(places, 500)
        return await appliance.page(offset, size)

    parts = [
        part
        async for part in listing.read(capped, wanted=lambda _: True, start=0, limit=None, ahead=2)
    ]

    assert list(map(str, range(3000))) == macs(parts)
    assert 0 == appliance.under_way
    assert len(appliance.asked) <= 10


async def test_a_page_that_was_asked_for_too_early_is_asked_for_again() -> None:
    """Too many at once is no reason to give the list up: its turn comes."""
    appliance = Appliance(size=3000)
    appliance.gate.set()
    refused: list[int] = []

    async def crowded(offset: int, size: int) -> Json:
        if offset > 500 and offset not in refused:
            refused.append(offset)
            raise Waiting(Code.BUSY, "busy")
        return await appliance.page(offset, size)

    parts = [
        part
        async for part in listing.read(crowded, wanted=lambda _: True, start=0, limit=None, ahead=2)
    ]

    assert list(map(str, range(3000))) == macs(parts)
    assert [1000, 1500, 2000, 2500] == refused


async def test_a_page_that_cannot_be_had_ends_the_list_and_takes_back_the_others() -> None:
    """What came before it was told."""
    appliance = Appliance(size=3000, broken=1000)
    appliance.gate.set()
    parts = listing.read(appliance.page, wanted=lambda _: True, start=0, limit=None, ahead=2)
    told = [await anext(parts), await anext(parts)]
    with pytest.raises(Failed, match="gone"):
        await anext(parts)

    assert list(map(str, range(1000))) == macs(told)
    assert 0 == appliance.under_way


async def test_whoever_stops_reading_leaves_nothing_under_way() -> None:
    """A command that ends in the middle of a list takes back what it asked for."""
    appliance = Appliance(size=3000)
    parts = listing.read(appliance.page, wanted=lambda _: True, start=0, limit=None, ahead=2)
    await anext(parts)
    waiting = asyncio.create_task(anext(parts))
    await until(lambda: appliance.under_way == 3)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert 0 == appliance.under_way


async def test_a_list_without_an_end_is_cut() -> None:
    """After a quarter of a million rows, and it is told where to go on."""
    appliance = Appliance(size=10**9)
    appliance.gate.set()
    rows = 0
    last: Part | None = None
    async for part in listing.read(
        appliance.page, wanted=lambda _: True, start=5, limit=None, ahead=2
    ):
        rows += len(part.devices)
        last = part

    assert 250_000 == rows
    assert last is not None
    assert (250_000, 250_005) == (last.rows, last.next)


async def test_a_page_with_very_many_rows_lets_others_have_their_turn() -> None:
    """An appliance may give all that it has at once."""
    turns = 0

    async def page(_offset: int, _size: int) -> Json:
        await asyncio.sleep(0)
        return {"collection": [{"mkey": str(place)} for place in range(5000)]}

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    parts = listing.read(page, wanted=lambda _: True, start=0, limit=None)
    assert 5000 == len((await anext(parts)).devices)
    await parts.aclose()
    counting.cancel()
    assert turns >= 10
