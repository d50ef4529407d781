"""An appliance's share of the prefetch window: who is in, who waits, who is sent back."""

import asyncio
from contextlib import suppress

import pytest

from service.appliances.places import Places
from service.errors import Code, Waiting
from tests.support.clock import Clock


class Crowd:
    """Commands that come to one appliance, and stay until they are let go.

    Attributes:
        inside: who has a place, in order of arrival.
        sent_back: who was told to come back later, and how.
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        self.inside: list[int] = []
        self.sent_back: dict[int, Waiting] = {}
        self._leave: dict[int, asyncio.Event] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def come(self, *numbers: int) -> None:
        """Come, one after the other, and see what happens at once."""
        for number in numbers:
            self._leave[number] = asyncio.Event()
            self._tasks[number] = asyncio.create_task(self._be_there(number))
        await settled()

    async def go(self, *numbers: int) -> None:
        """Let some go."""
        for number in numbers:
            self._leave[number].set()
        await settled()

    async def cancel(self, number: int) -> None:
        """Let one be cancelled, wherever it stands."""
        self._tasks[number].cancel()
        await settled()

    async def _be_there(self, number: int) -> None:
        try:
            async with self.places.taken():
                self.inside.append(number)
                try:
                    await self._leave[number].wait()
                finally:
                    self.inside.remove(number)
        except Waiting as error:
            self.sent_back[number] = error


async def settled() -> None:
    """Let everything happen that can happen now."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def crowd() -> Crowd:
    return Crowd(Places("fvc-1", 3))


async def test_the_share_is_taken_at_once_and_no_more(crowd: Crowd) -> None:
    """Whoever is beyond it waits outside."""
    await crowd.come(1, 2, 3, 4, 5)

    assert [1, 2, 3] == crowd.inside
    assert {} == crowd.sent_back


async def test_a_place_that_is_left_goes_to_who_came_first(crowd: Crowd) -> None:
    """Commands for an appliance keep their order."""
    await crowd.come(1, 2, 3, 4, 5, 6)
    await crowd.go(2)
    assert [1, 3, 4] == crowd.inside

    await crowd.go(1, 3)

    assert [4, 5, 6] == crowd.inside


async def test_who_waits_for_a_second_is_sent_back(clock: Clock, crowd: Crowd) -> None:
    """The broker keeps it meanwhile, and the window is free for others."""
    await crowd.come(1, 2, 3, 4)
    clock.forward(0.9)
    await settled()
    assert {} == crowd.sent_back

    clock.forward(0.1)
    await settled()

    ((number, error),) = crowd.sent_back.items()
    assert (4, Code.BUSY, "fvc-1 is busy") == (number, error.code, error.message)
    assert [1, 2, 3] == crowd.inside


async def test_where_nothing_moves_nobody_is_let_wait(clock: Clock, crowd: Crowd) -> None:
    """After a second in which nobody came in or left, a crowd would only fill the window."""
    await crowd.come(1, 2, 3)
    clock.forward(1.1)

    await crowd.come(4, 5)

    assert [4, 5] == list(crowd.sent_back)


@pytest.mark.parametrize("moves", [1, 3])
async def test_where_something_moves_one_may_wait_again(
    clock: Clock, crowd: Crowd, moves: int
) -> None:
    """A place that was left, or taken, says that the next may be free soon."""
    await crowd.come(1, 2, 3)
    clock.forward(1.1)
    await crowd.go(*range(1, moves + 1))
    await crowd.come(*range(4, 4 + moves))

    await crowd.come(9)

    assert (3, {}) == (len(crowd.inside), crowd.sent_back)
    await crowd.go(4)
    assert 9 in crowd.inside


@pytest.mark.parametrize(("seconds", "may_wait"), [(0.9, 1), (0.21, 4)])
async def test_as_many_may_wait_as_can_expect_a_place_within_a_second(
    clock: Clock, crowd: Crowd, seconds: float, may_wait: int
) -> None:
    """How fast places become free is learnt; who would wait in vain is sent back at once."""
    await crowd.come(1, 2, 3)
    for number in range(1, 31):
        await crowd.come(number + 3)
        clock.forward(seconds)
        await crowd.go(number)
    assert [31, 32, 33] == crowd.inside
    newcomers = range(100, 120)

    await crowd.come(*newcomers)

    assert list(newcomers)[may_wait:] == list(crowd.sent_back)


async def test_a_free_place_is_taken_however_long_nothing_moved(clock: Clock, crowd: Crowd) -> None:
    """Standstill means that all places are taken."""
    await crowd.come(1)
    clock.forward(60)

    await crowd.come(2, 3)

    assert [1, 2, 3] == crowd.inside


async def test_who_goes_away_while_waiting_keeps_nobody_from_a_place(crowd: Crowd) -> None:
    """A delivery that is cancelled gives up its turn."""
    await crowd.come(1, 2, 3, 4, 5)
    await crowd.cancel(4)

    await crowd.go(1)

    assert [2, 3, 5] == crowd.inside


async def test_a_command_that_is_cancelled_inside_leaves_its_place(crowd: Crowd) -> None:
    """Whatever ends it, the next one comes in."""
    await crowd.come(1, 2, 3, 4)

    await crowd.cancel(1)

    assert [2, 3, 4] == crowd.inside


async def test_an_error_inside_is_no_reason_to_keep_the_place() -> None:
    """It goes on to who asked, and the place is free."""
    places = Places("fvc-1", 1)
    for _ in range(3):
        with suppress(ArithmeticError):
            async with places.taken():
                raise ArithmeticError


async def test_it_is_empty_when_nobody_is_inside_or_waits(crowd: Crowd) -> None:
    """An appliance that is taken out of the inventory is closed then, and not before."""
    empty = asyncio.create_task(crowd.places.empty())
    await settled()
    assert empty.done()

    await crowd.come(1, 2, 3, 4)
    for leaving in ((1, 2, 3), (4,)):
        empty = asyncio.create_task(crowd.places.empty())
        await settled()
        assert not empty.done()
        await crowd.go(*leaving)
    assert empty.done()
