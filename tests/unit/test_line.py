"""Licence writes to one appliance start in the order in which the commands came."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path

import pytest

from service.appliances.ports import MAX_WAIT
from service.errors import Code, Failed, Refused
from service.execution import Retry
from service.execution.line import Lines
from service.ledger import Entry
from service.ledger.sqlite import SqliteLedger
from service.messages.commands import Command
from tests.support.clock import Clock
from tests.support.wait import until
from tests.unit.fakes import FakeFac, executing
from tests.unit.making import command, received


def licence(number: int) -> str:
    return f"AB12-CD34-{number:04d}-EF56-{number:04d}"


def activation(number: int, **data: object) -> Command:
    return command(data={"license": licence(number), **data}, id=f"c-{number}")


class Unordered(SqliteLedger):
    """A ledger that looks commands up at once and finds them in any order, as a pool would.

    Attributes:
        order: the ids in the order in which they are found; others are found at once.
    """

    order: tuple[str, ...] = ()

    async def find(self, key: tuple[str, str]) -> Entry | None:
        found = await super().find(key)
        await until(lambda: self.order[:1] == (key[1],) or key[1] not in self.order)
        self.order = tuple(each for each in self.order if each != key[1])
        return found


@pytest.fixture
async def ledger(path: Path) -> AsyncIterator[Unordered]:
    opened = await Unordered.open(path)
    yield opened
    await opened.close()


@pytest.mark.parametrize("order", list(permutations(range(4)))[::3], ids=str)
async def test_whoever_came_first_writes_first(order: tuple[int, ...], ledger: Unordered) -> None:
    """However long the ledger takes to find each of them."""
    fac = FakeFac()
    execution = executing(ledger, fac)
    ledger.order = tuple(f"c-{number}" for number in order)
    runs = [execution.settle(received(activation(number))) for number in range(4)]
    await asyncio.gather(*runs)
    assert [licence(number) for number in range(4)] == fac.posts


async def test_another_appliance_has_a_line_of_its_own(ledger: Unordered) -> None:
    """Who comes later there does not wait for those here."""
    here, there = FakeFac(), FakeFac("fac-2")
    execution = executing(ledger, here, there)
    here.gate.clear()
    first = asyncio.create_task(execution.settle(received(activation(1))))
    await execution.settle(received(activation(2, appliance="fac-2")))
    assert ([], [licence(2)]) == (here.posts, there.posts)
    here.gate.set()
    await first


@pytest.mark.parametrize("data", [{"dry_run": True}, {"appliance": "nobody"}])
async def test_who_writes_nothing_is_in_nobodys_way(
    data: dict[str, object], ledger: Unordered
) -> None:
    """Nor does it wait for those who do."""
    fac = FakeFac()
    execution = executing(ledger, fac)
    ledger.order = ("c-2", "c-1")
    first = asyncio.create_task(execution.settle(received(activation(1, **data))))
    await execution.settle(received(activation(2)))
    await first
    assert [licence(2)] == fac.posts


@pytest.mark.parametrize(
    "error", [Refused(Code.PERMISSION_DENIED, "no"), Failed(Code.UNREACHABLE, "gone"), ValueError()]
)
async def test_whoever_leaves_lets_the_next_one_on(error: Exception, ledger: Unordered) -> None:
    """However it ended."""
    fac = FakeFac()
    fac.errors = [error]
    execution = executing(ledger, fac)
    await asyncio.gather(*(execution.settle(received(activation(n))) for n in range(3)))
    assert [licence(1), licence(2)] == fac.posts


async def test_who_waits_too_long_comes_back_later(clock: Clock, ledger: Unordered) -> None:
    """A delivery is not kept in memory for longer; its place in line is lost, no attempt is."""
    fac = FakeFac()
    execution = executing(ledger, fac)
    fac.gate.clear()
    first = asyncio.create_task(execution.settle(received(activation(1))))
    second = asyncio.create_task(execution.settle(received(activation(2))))
    await until(lambda: fac.reads)
    clock.forward(MAX_WAIT)
    retry = await second
    assert isinstance(retry, Retry)
    assert (0, 5) == (retry.attempts, retry.delay)
    fac.gate.set()
    await first
    assert [licence(1)] == fac.posts


async def test_the_next_one_is_whoever_is_left_in_front() -> None:
    """Who leaves from the middle changes nothing for the others."""
    lines = Lines()
    with ExitStack() as front, ExitStack() as middle, lines.joined("fac-1") as ahead:
        await ahead.comes()
        front.enter_context(lines.joined("fac-1"))
        middle.enter_context(lines.joined("fac-1"))
        with lines.joined("fac-1") as last:
            waiting = asyncio.create_task(last.comes())
            middle.close()
            await asyncio.sleep(0)
            assert not waiting.done()
            front.close()
            await asyncio.sleep(0)
            assert not waiting.done()
            waiting.cancel()
