"""A result that was decided by a look that is out of date does not end a command.

Two replicas have one command; what the second one does is done while the first one is at work.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from service.errors import Code, CommandError, Failed, Reason, Refused, Rejection, Waiting
from service.execution import Retry
from service.ledger import Intent, Told
from service.ledger.sqlite import SqliteLedger
from service.messages.commands import Command
from service.messages.encode import Event
from service.messages.wire import format_instant, now
from tests.unit.fakes import FakeFac, FakeFvc, executing
from tests.unit.ledgers import FIRST, ORIGIN, intent_of, known, origin_of
from tests.unit.making import LICENSE, command, received

BEFORE: Final = b'{"total_sms": 100, "used_sms": 10, "available_sms": 90}'
IDENTITY: Final = b'{"model": "old", "serial": null, "version": null}'
APPLY: Final = command("apply-voice-license")
SUCCEEDED: Final = Told("succeeded", b'{"conclusion": "succeeded", "effect": "added"}', now())
DENIED: Final = Refused(Code.PERMISSION_DENIED, "no", status=403)
UNREACHABLE: Final = Failed(Code.UNREACHABLE, "no answer")


async def _nothing() -> None:
    """Nobody else is at work."""


class Overtaken(SqliteLedger):
    """A ledger in which another replica is faster, once.

    Attributes:
        before_result: what it does before a result is stored.
        before_right: what it does before the right to write is had.
        busy: it does not give the right back.
    """

    before_result: Callable[[], Awaitable[object]] = staticmethod(_nothing)
    before_right: Callable[[], Awaitable[object]] = staticmethod(_nothing)
    busy = False

    async def conclude(self, command: Command, told: Told, intent: Intent | None) -> Told:
        meanwhile, self.before_result = self.before_result, _nothing
        await meanwhile()
        return await super().conclude(command, told, intent)

    @asynccontextmanager
    async def writing(self, appliance: str, origin: str) -> AsyncIterator[Any]:
        meanwhile, self.before_right = self.before_right, _nothing
        await meanwhile()
        if self.busy:
            raise Waiting(Code.BUSY, f"another courier writes on {appliance}")
        async with super().writing(appliance, origin) as right:
            yield right


@pytest.fixture
async def ledger(path: Path) -> AsyncIterator[Overtaken]:
    opened = await Overtaken.open(path)
    yield opened
    await opened.close()


def told(end: Event | Retry) -> dict[str, Any]:
    assert isinstance(end, Event)
    data: dict[str, Any] = json.loads(end.data)
    return data


def intending(ledger: Overtaken, wanted: Command) -> Callable[[], Awaitable[object]]:
    """Another replica records its intent."""
    before = BEFORE if wanted.data.appliance == "fac-1" else IDENTITY
    return lambda: ledger.intend(wanted, before, origin_of(wanted))


async def test_waiting_until_it_expired_ends_no_command_that_another_replica_writes(
    ledger: Overtaken, fac: FakeFac
) -> None:
    """It comes back and is told what the other one did: never a false `expired`."""
    soon = command(expirytime=format_instant(now() + timedelta(seconds=3)))
    ledger.busy, ledger.before_right = True, intending(ledger, soon)
    end = await executing(ledger, fac).settle(received(soon))
    assert isinstance(end, Retry)
    assert (True, []) == (end.intent, fac.posts)
    intent = await intent_of(ledger, soon)
    assert SUCCEEDED == await ledger.conclude(soon, SUCCEEDED, intent)
    end = await executing(ledger, fac).settle(received(soon, had_intent=True))
    assert "added" == told(end)["effect"]
    assert [] == fac.posts


ENDS: Final[dict[str, tuple[dict[str, Any], list[Exception | None]]]] = {
    "expired by the broker": ({"expired": True}, []),
    "expired by its age": ({"ago": 7200}, []),
    "may predate the ledger": ({"inherited": True}, []),
    "a lost ledger had its intent": ({"had_intent": True}, []),
    "refused": ({}, [DENIED]),
    "failed for the last time": ({"ago": 3595}, [UNREACHABLE]),
    "kept back for the last time": ({"ago": 3598}, [Waiting(Code.UNREACHABLE, "it rests")]),
    "a bug": ({}, [ZeroDivisionError()]),
}
"""Ways to an end that know of no intent: what the delivery says, what the appliance answers."""


@pytest.mark.parametrize("way", ENDS)
async def test_no_way_to_an_end_closes_an_intent_that_it_does_not_know(
    way: str, ledger: Overtaken, fac: FakeFac
) -> None:
    """The command is looked up again, and its write is read back."""
    delivery, fac.errors = ENDS[way][0], list(ENDS[way][1])
    ledger.before_result = intending(ledger, FIRST)
    end = await executing(ledger, fac).settle(received(**delivery))
    assert isinstance(end, Retry)
    assert (True, []) == (end.intent, fac.posts)
    assert {FIRST.key} == await ledger.open_intents("fac-1", ORIGIN)
    assert (await known(ledger, FIRST)).told is None


async def test_an_appliance_that_is_not_in_this_inventory_refuses_nothing_that_is_written(
    ledger: Overtaken,
) -> None:
    """The other replica's inventory has it."""
    ledger.before_result = intending(ledger, FIRST)
    end = await executing(ledger).settle(received())
    assert isinstance(end, Retry)
    assert (True, Code.UNKNOWN_APPLIANCE) == (end.intent, end.error)
    assert (await known(ledger, FIRST)).told is None


async def test_giving_up_looks_again_when_there_is_an_intent_meanwhile(
    ledger: Overtaken, fac: FakeFac
) -> None:
    """The figures before the write are told with the `unknown`."""
    ledger.before_result = intending(ledger, FIRST)
    data = told(await executing(ledger, fac).give_up(received(had_intent=True)))
    assert ("unknown", 100) == (data["conclusion"], data["before"]["total_sms"])


async def test_a_result_of_another_replica_is_told_instead_of_ones_own(
    ledger: Overtaken, fac: FakeFac
) -> None:
    """It was stored between the look and the end."""

    async def meanwhile() -> None:
        intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
        await ledger.conclude(FIRST, SUCCEEDED, intent)

    ledger.before_result = meanwhile
    end = await executing(ledger, fac).settle(received(expired=True))
    assert "added" == told(end)["effect"]
    assert [] == fac.posts


async def test_what_was_read_back_is_not_told_of_an_intent_that_was_withdrawn(
    ledger: Overtaken, fvc: FakeFvc
) -> None:
    """The other replica did not send it: the command is run, not called unknown."""
    intent = await ledger.intend(APPLY, IDENTITY, fvc.origin)
    ledger.before_result = lambda: ledger.withdraw(APPLY, intent)
    end = await executing(ledger, fvc).settle(received(APPLY, redelivered=True))
    assert "accepted" == told(end)["effect"]
    assert ["file-1"] == fvc.applied


async def test_what_was_read_back_is_not_told_of_a_later_intent(
    ledger: Overtaken, fac: FakeFac
) -> None:
    """The other replica withdrew one and announced another: that one's figures decide."""
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    fac.total = 150

    async def meanwhile() -> None:
        await ledger.withdraw(FIRST, intent)
        await ledger.intend(FIRST, BEFORE.replace(b"100", b"120"), ORIGIN)

    ledger.before_result = meanwhile
    data = told(await executing(ledger, fac).settle(received(redelivered=True)))
    assert (120, 30) == (data["before"]["total_sms"], data["added_sms"])
    assert [] == fac.posts


@pytest.mark.parametrize("wanted", [FIRST, APPLY], ids=["sms", "voice"])
async def test_a_copy_that_says_intent_runs_when_the_intent_was_withdrawn(
    wanted: Command, ledger: Overtaken, fac: FakeFac, fvc: FakeFvc
) -> None:
    """The ledger remembers that nothing was sent: no false `unknown`, one write."""
    intent = await ledger.intend(wanted, BEFORE, origin_of(wanted))
    await ledger.withdraw(wanted, intent)
    copy = received(wanted, had_intent=True, redelivered=True, ago=5)
    end = await executing(ledger, fac, fvc).settle(copy)
    assert "succeeded" == told(end)["conclusion"]
    assert 1 == len(fac.posts + fvc.applied)


async def test_a_copy_that_says_intent_expires_when_the_intent_was_withdrawn(
    ledger: Overtaken, fac: FakeFac
) -> None:
    """Nothing was written, and its time is over."""
    await ledger.withdraw(FIRST, await ledger.intend(FIRST, BEFORE, ORIGIN))
    copy = received(had_intent=True, redelivered=True, ago=7200)
    data = told(await executing(ledger, fac).settle(copy))
    assert ("failed", "expired") == (data["conclusion"], data["error"]["code"])
    assert [] == fac.posts


async def test_a_command_whose_intent_was_withdrawn_is_rejected_when_it_is_given_up(
    ledger: Overtaken, fac: FakeFac
) -> None:
    """Nothing was written: it is parked, and may be replayed."""
    await ledger.withdraw(FIRST, await ledger.intend(FIRST, BEFORE, ORIGIN))
    with pytest.raises(Rejection) as caught:
        await executing(ledger, fac).give_up(received(had_intent=True, redelivered=True))
    assert Reason.DELIVERY_LIMIT == caught.value.reason


@pytest.mark.parametrize("error", [UNREACHABLE, DENIED])
async def test_a_write_that_was_withdrawn_is_written_once_by_the_next_delivery(
    error: CommandError, ledger: Overtaken, fac: FakeFac
) -> None:
    """A withdrawn intent neither keeps the next look from ending it nor from writing."""
    await ledger.withdraw(FIRST, await ledger.intend(FIRST, BEFORE, ORIGIN))
    fac.errors = [error]
    first = await executing(ledger, fac).settle(received(had_intent=True, redelivered=True))
    second = await executing(ledger, fac).settle(received(had_intent=True, redelivered=True))
    if error is DENIED:
        assert ("refused", []) == (told(first)["conclusion"], fac.posts)
        assert first == second
    else:
        assert Retry(5, 1, False, Code.UNREACHABLE) == first
        assert ("succeeded", [LICENSE]) == (told(second)["conclusion"], fac.posts)
