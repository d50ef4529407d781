"""An intent belongs to an appliance, and a name of the inventory may lead to another one."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from pydantic import SecretStr

from service.errors import AnswerLost, Code
from service.execution import Retry
from service.ledger.sqlite import SqliteLedger
from service.messages.commands import Command
from service.messages.encode import Event
from tests.support.wait import until
from tests.unit.fakes import Fake, FakeFac, FakeFvc, executing
from tests.unit.ledgers import FIRST, ORIGIN, known, origin_of
from tests.unit.making import LICENSE, OTHER_LICENSE, command, received

BEFORE: Final = b'{"total_sms": 100, "used_sms": 10, "available_sms": 90}'
IDENTITY: Final = b'{"model": "old", "serial": null, "version": null}'
APPLY: Final = command("apply-voice-license")
RENAMED: Final = command(id="c-2", data={"appliance": "fac-new", "license": OTHER_LICENSE})
REPLACED: Final = "https://replaced"
LOST: Final = AnswerLost(Code.UNREACHABLE, "no answer")


def told(end: Event | Retry) -> dict[str, Any]:
    assert isinstance(end, Event)
    data: dict[str, Any] = json.loads(end.data)
    return data


def moved(appliance: FakeFac | FakeFvc, origin: str) -> Any:  # noqa: ANN401  the same one
    """The url of its name was changed."""
    appliance.origin = origin
    return appliance


@pytest.mark.parametrize(("total", "wanted"), [(5000, FIRST), (100, FIRST), (100, APPLY)])
async def test_an_intent_of_another_origin_is_unknown(
    total: int, wanted: Command, sqlite: SqliteLedger, fvc: FakeFvc
) -> None:
    """Figures of two appliances are not compared: neither `succeeded` nor `failed` is guessed."""
    fac: FakeFac = moved(FakeFac(total=total), REPLACED)
    moved(fvc, REPLACED)
    figures = BEFORE if wanted is FIRST else IDENTITY
    await sqlite.intend(wanted, figures, origin_of(wanted))
    execution = executing(sqlite, fac, fvc)
    end = await execution.settle(received(wanted, redelivered=True))
    data = told(end)
    assert ("unknown", "undetermined", "outcome-unknown") == (
        *(data["conclusion"], data["effect"], data["error"]["code"]),
    )
    assert ([], 0, [], []) == (fac.posts, fac.reads, fvc.steps, fvc.applied)
    assert end == await execution.settle(received(wanted, redelivered=True))


async def test_the_figures_before_are_told_though_the_appliance_is_another(
    sqlite: SqliteLedger,
) -> None:
    """A person has to look at the one that they belong to; the next write may begin."""
    await sqlite.intend(FIRST, BEFORE, ORIGIN)
    fac: FakeFac = moved(FakeFac(), REPLACED)
    execution = executing(sqlite, fac)
    data = told(await execution.settle(received(redelivered=True)))
    assert (100, None) == (data["before"]["total_sms"], data["after"])
    second = command(id="c-2", data={"license": OTHER_LICENSE})
    assert "added" == told(await execution.settle(received(second)))["effect"]
    assert [OTHER_LICENSE] == fac.posts


async def test_an_intent_of_an_older_courier_is_read_back(
    sqlite: SqliteLedger, reopen: Callable[[], Awaitable[SqliteLedger]], fac: FakeFac
) -> None:
    """It has no origin, and no other appliance is known to have been meant."""
    await sqlite.intend(FIRST, BEFORE, ORIGIN)
    await sqlite._batches.run("UPDATE commands SET origin = NULL", ())  # noqa: SLF001  as it was
    await sqlite.close()
    fac.total = 150
    end = await executing(await reopen(), fac).settle(received(redelivered=True))
    assert ("succeeded", "added") == (told(end)["conclusion"], told(end)["effect"])
    assert [] == fac.posts


async def test_while_an_intent_is_open_nothing_is_written_under_another_name(
    sqlite: SqliteLedger,
) -> None:
    """The appliance was renamed: the other name waits, and what was lost is read back."""
    appliance = FakeFac(worth=0)
    appliance.answer = LOST
    assert isinstance(await executing(sqlite, appliance).settle(received()), Retry)
    appliance.name, appliance.worth, appliance.answer = "fac-new", 50, None
    waiting = await executing(sqlite, appliance).settle(received(RENAMED))
    assert isinstance(waiting, Retry)
    assert (False, [LICENSE]) == (waiting.intent, appliance.posts)
    appliance.name, appliance.settle_time = "fac-1", 0.0  # named back, and not at work any more
    data = told(await executing(sqlite, appliance).settle(received(redelivered=True)))
    assert ("failed", 0) == (data["conclusion"], data["added_sms"])
    assert [LICENSE] == appliance.posts


@pytest.mark.parametrize("ago", [0, 7200])
async def test_an_open_intent_waits_for_the_one_that_its_name_was_led_to(
    ago: float, sqlite: SqliteLedger
) -> None:
    """The url of its name is that of another name by now, which has an intent of its own."""
    await sqlite.intend(FIRST, BEFORE, ORIGIN)
    await sqlite.intend(RENAMED, BEFORE, REPLACED)
    fac: FakeFac = moved(FakeFac(), REPLACED)
    end = await asyncio.wait_for(executing(sqlite, fac).settle(received(ago=ago)), 5)
    assert isinstance(end, Retry)
    assert (True, []) == (end.intent, fac.posts)
    assert {FIRST.key, RENAMED.key} == await sqlite.open_intents("fac-1", REPLACED)


class Slow(FakeFac):
    """An appliance whose writes wait to be let go.

    Attributes:
        begun: a write has come.
        go: writes wait for it.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def activate(self, license_key: SecretStr) -> None:
        self.begun.set()
        await self.go.wait()
        await super().activate(license_key)


async def test_two_names_of_one_origin_never_write_at_once(sqlite: SqliteLedger) -> None:
    """The second one asks nothing of the appliance while the first is at it, and has its turn."""
    one, other = Slow("fac-1"), FakeFac("fac-new")
    other.origin = one.origin
    execution = executing(sqlite, one, other)
    writing = asyncio.create_task(execution.settle(received()))
    await one.begun.wait()
    waiting = await execution.settle(received(RENAMED))
    assert isinstance(waiting, Retry)
    assert ([], 0, False) == (other.posts, other.reads, waiting.intent)
    one.go.set()
    assert "added" == told(await writing)["effect"]
    assert "added" == told(await execution.settle(received(RENAMED)))["effect"]
    assert ([LICENSE], [OTHER_LICENSE]) == (one.posts, other.posts)


async def test_of_two_names_that_read_at_the_same_time_one_writes(sqlite: SqliteLedger) -> None:
    """Both found no intent when they looked: the ledger takes one of them."""
    one, other = FakeFac("fac-1"), FakeFac("fac-new")
    other.origin = one.origin
    fakes: list[Fake] = [one, other]
    for each in fakes:
        each.gate.clear()
    execution = executing(sqlite, *fakes)
    ends = [asyncio.create_task(execution.settle(received(wanted))) for wanted in (FIRST, RENAMED)]
    await until(lambda: one.reads and other.reads)
    for each in fakes:
        each.gate.set()
    results = await asyncio.gather(*ends)
    assert 1 == sum(isinstance(result, Retry) for result in results)
    assert 1 == len(one.posts + other.posts)
    assert set() == await sqlite.open_intents("fac-1", ORIGIN)


async def test_an_intent_is_recorded_with_the_origin_that_was_read(sqlite: SqliteLedger) -> None:
    """Of the appliance as it is now, whatever an earlier delivery met."""
    await sqlite.withdraw(FIRST, await sqlite.intend(FIRST, BEFORE, ORIGIN))
    fac: FakeFac = moved(FakeFac(), REPLACED)
    fac.answer = LOST
    fac.worth = 0
    assert isinstance(await executing(sqlite, fac).settle(received()), Retry)
    intent = (await known(sqlite, FIRST)).intent
    assert intent is not None
    assert REPLACED == intent.origin
