"""When the service prunes its ledger, and by which clocks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

import pytest

from service import app
from service.app import PRUNE_INTERVAL
from service.ledger.moment import Moment
from tests.support.clock import Clock
from tests.support.wait import until

if TYPE_CHECKING:
    from service.ledger import Ledger

RETENTION: Final = 30 * 86400.0
BEGAN: Final = datetime(2026, 3, 4, 9, 12, tzinfo=UTC)
DAY: Final = timedelta(days=1)


class Clocks:
    """The wall clock and the uptime, as a test sets them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.uptime = BEGAN, 100.0
        monkeypatch.setattr(Moment, "current", self._current)

    def _current(self) -> Moment:
        return Moment(self.wall, "this boot", self.uptime)


class Pruned:
    """A ledger that notes what it is asked to prune."""

    def __init__(self) -> None:
        self.asked: list[datetime] = []

    async def forget(self, older_than: datetime) -> int:
        self.asked.append(older_than)
        return 0


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


@asynccontextmanager
async def pruning(ledger: Pruned) -> AsyncIterator[None]:
    """Prune beside the body, as the service does."""
    task = asyncio.create_task(app._prune(cast("Ledger", ledger), RETENTION))  # noqa: SLF001
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def first_pruned(pruned: Pruned, clock: Clock) -> datetime:
    """Let the interval pass; which instant is pruned up to."""
    clock.forward(PRUNE_INTERVAL + 1)
    await until(lambda: pruned.asked)
    return pruned.asked[0]


async def test_nothing_is_pruned_in_the_first_hour(clock: Clock, clocks: Clocks) -> None:
    """A wall clock that is wrong after a boot is set right by then."""
    pruned = Pruned()
    async with pruning(pruned):
        clock.forward(PRUNE_INTERVAL - 5)
        for _ in range(10):
            await asyncio.sleep(0)
        assert [] == pruned.asked
        clocks.wall += timedelta(hours=1)
        clocks.uptime += 3600
        expected = BEGAN + timedelta(hours=1) - timedelta(seconds=RETENTION)
        assert expected == await first_pruned(pruned, clock)


@pytest.mark.parametrize(
    ("at_start", "an_hour_later", "expected"),
    [
        pytest.param(BEGAN, BEGAN + 500 * DAY, BEGAN + DAY / 24, id="put forward while it runs"),
        pytest.param(BEGAN + 500 * DAY, BEGAN + DAY / 24, BEGAN + DAY / 24, id="wrong at boot"),
        pytest.param(BEGAN, BEGAN - DAY, BEGAN - DAY, id="put back"),
    ],
)
async def test_the_earlier_one_of_two_clocks_counts(
    at_start: datetime, an_hour_later: datetime, expected: datetime, clock: Clock, clocks: Clocks
) -> None:
    """What one wrong look at the wall clock calls old is not pruned."""
    pruned, clocks.wall = Pruned(), at_start
    async with pruning(pruned):
        clocks.wall = an_hour_later
        clocks.uptime += 3600
        assert expected - timedelta(seconds=RETENTION) == await first_pruned(pruned, clock)
