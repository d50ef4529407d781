"""Two couriers have one command at the same time, on a real database: what each may say of it."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from service.appliances.ports import NotSent
from service.execution import Execution, Received, Retry
from service.ledger import locks
from service.messages.encode import Event
from service.messages.wire import format_instant, now
from tests.ledger.conftest import Replicas
from tests.unit.fakes import FakeFac, executing
from tests.unit.ledgers import FIRST, ORIGIN, known
from tests.unit.making import LICENSE, OTHER_LICENSE, command, received


class Slow(FakeFac):
    """An appliance whose writes wait to be let go, and then do what they are told to do.

    Attributes:
        begun: a write has come.
        go: writes wait for it.
        vanishes: the write never leaves.
    """

    def __init__(self, name: str = "fac-1", *, vanishes: bool = False) -> None:
        super().__init__(name)
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.vanishes = vanishes

    async def activate(self, license_key: SecretStr) -> None:
        self.begun.set()
        await self.go.wait()
        if self.vanishes:
            raise NotSent("fac-1 cannot be reached: timed out")
        await super().activate(license_key)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for another replica does so for a moment."""
    monkeypatch.setattr(locks, "MAX_WAIT", 0.3)


def told(end: Event | Retry) -> dict[str, Any]:
    assert isinstance(end, Event)
    data: dict[str, Any] = json.loads(end.data)
    return data


async def deferred(execution: Execution, delivery: Received) -> Retry:
    end = await execution.settle(delivery)
    assert isinstance(end, Retry)
    return end


async def test_a_duplicate_that_expires_while_the_licence_is_written_is_not_called_expired(
    replicas: Replicas,
) -> None:
    """Both tell what the write did; the intent stays open for as long as it is under way."""
    wanted = command(expirytime=format_instant(now() + timedelta(seconds=4)))
    one, other = Slow(), FakeFac()
    writing = asyncio.create_task(executing(replicas[0], one).settle(received(wanted)))
    await one.begun.wait()
    second = executing(replicas[1], other)
    copy = await deferred(second, received(wanted, redelivered=True))
    assert copy.intent
    assert {wanted.key} == await replicas[1].open_intents("fac-1", ORIGIN)
    one.go.set()
    end = await writing
    assert "added" == told(end)["effect"]
    assert end == await second.settle(received(wanted, redelivered=True, had_intent=True))
    assert ([LICENSE], []) == (one.posts, other.posts)


async def test_a_write_that_was_withdrawn_is_run_by_the_other_replicas_copy(
    replicas: Replicas,
) -> None:
    """The copy says that there was an intent; the ledger knows that nothing was sent."""
    one, other = Slow(vanishes=True), FakeFac()
    writing = asyncio.create_task(executing(replicas[0], one).settle(received()))
    await one.begun.wait()
    second = executing(replicas[1], other)
    copy = await deferred(second, received(redelivered=True))
    assert copy.intent
    one.go.set()
    assert isinstance(await writing, Retry)
    assert (await known(replicas[1], FIRST)).intent is None
    end = await second.settle(received(redelivered=True, had_intent=copy.intent, ago=5))
    assert "added" == told(end)["effect"]
    assert ([], [LICENSE]) == (one.posts, other.posts)


async def test_two_names_of_one_appliance_are_not_written_by_two_replicas_at_once(
    replicas: Replicas,
) -> None:
    """Each replica's inventory has another name for it."""
    one, other = Slow("fac-1"), FakeFac("fac-new")
    other.origin = one.origin
    renamed = command(id="c-2", data={"appliance": "fac-new", "license": OTHER_LICENSE})
    writing = asyncio.create_task(executing(replicas[0], one).settle(received()))
    await one.begun.wait()
    second = executing(replicas[1], other)
    waiting = await deferred(second, received(renamed))
    assert (False, 0, []) == (waiting.intent, other.reads, other.posts)
    one.go.set()
    assert "added" == told(await writing)["effect"]
    assert "added" == told(await second.settle(received(renamed)))["effect"]


@pytest.mark.parametrize("recovery_ttl", [86400.0, 0.0])
async def test_an_intent_is_not_closed_while_another_replica_writes_for_it(
    replicas: Replicas, recovery_ttl: float
) -> None:
    """Neither when a poison message is given up, nor when the time to read back is over."""
    one = Slow()
    writing = asyncio.create_task(executing(replicas[0], one).settle(received()))
    await one.begun.wait()
    second = executing(replicas[1], FakeFac(), recovery_ttl=recovery_ttl)
    redelivered = received(redelivered=True)
    ending = second.settle if recovery_ttl == 0 else second.give_up

    end = await ending(redelivered)

    assert isinstance(end, Retry)
    assert end.intent
    one.go.set()
    assert "succeeded" == told(await writing)["conclusion"]
    assert "succeeded" == told(await second.give_up(redelivered))["conclusion"]
