"""The watchdog: what lasts too long ends the service; what heals by itself does not."""

import asyncio

import pytest

from service.watchdog import EXIT_CODE, Halves, Watchdog
from tests.support.clock import Clock
from tests.support.wait import until


class Health:
    """The reasons of the moment, as a test wants them."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = list(reasons)
        self.looks = 0

    def __call__(self) -> list[str]:
        self.looks += 1
        return self.reasons


async def watched(health: Health, patience: float) -> tuple[Watchdog, asyncio.Event]:
    """Let it look three times."""
    dog, stop = Watchdog(health, patience, interval=0.01), asyncio.Event()
    task = asyncio.create_task(dog.watch(stop))
    await until(lambda: health.looks >= 3 or task.done())
    task.cancel()
    return dog, stop


async def test_a_reason_that_lasts_ends_the_service_with_75() -> None:
    """So that a supervisor starts it anew."""
    dog, stop = await watched(Health("ledger-unavailable"), patience=0.005)
    assert (EXIT_CODE, True) == (dog.exit_code, stop.is_set())
    assert 75 == EXIT_CODE


async def test_a_reason_that_is_young_ends_nothing() -> None:
    """It has as long as the setting says."""
    dog, stop = await watched(Health("ledger-unavailable"), patience=60)
    assert (0, False) == (dog.exit_code, stop.is_set())


@pytest.mark.parametrize("reasons", [[], ["broker-disconnected"]])
async def test_a_broker_that_is_away_ends_nothing(reasons: list[str]) -> None:
    """A new process would only wait for the same broker."""
    dog, stop = await watched(Health(*reasons), patience=0.005)
    assert (0, False) == (dog.exit_code, stop.is_set())


async def test_zero_means_never() -> None:
    """Some supervise in another way."""
    dog, stop = await watched(Health("consumer-missing"), patience=0)
    assert (0, False) == (dog.exit_code, stop.is_set())


async def test_a_reason_that_comes_back_begins_anew() -> None:
    """Only what lasts counts, not what adds up."""
    health = Health("consumer-missing")
    dog, stop = Watchdog(health, 0.3, interval=0.01), asyncio.Event()
    task = asyncio.create_task(dog.watch(stop))
    began = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - began < 0.6:
        seen = health.looks
        health.reasons = [] if health.reasons else ["consumer-missing"]
        await until(lambda seen=seen: health.looks > seen + 1)  # type: ignore[misc]  # mypy cannot infer it
    assert not stop.is_set()
    task.cancel()


@pytest.mark.parametrize("whole", [True, False])
def test_connections_that_stand_or_are_lost_together_are_no_halves(
    clock: Clock, whole: bool
) -> None:
    """A broker that is away takes all of them, and is waited for."""
    halves = Halves(lambda: {"publishing": whole, "consuming": whole})
    assert halves.idle_reason is None
    clock.forward(3600)
    assert halves.idle_reason is None


def test_a_connection_that_stays_lost_beside_another_is_stuck(clock: Clock) -> None:
    """For a minute it may be on its way back; each time anew."""
    up = {"publishing": True, "consuming": False}
    halves = Halves(lambda: up)
    told = []
    for seconds, consuming in ((0, False), (59, False), (1, False), (0, True), (0, False)):
        clock.forward(seconds)
        up["consuming"] = consuming
        told.append(halves.idle_reason)
    assert [None, None, "connection-stuck", None, None] == told
