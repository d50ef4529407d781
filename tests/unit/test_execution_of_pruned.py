"""What was pruned counts as lost: a command that is as old is never run on a guess."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from service.errors import Code, Failed
from service.execution import Received, Retry
from service.ledger.sqlite import SqliteLedger
from service.messages.commands import Command
from service.messages.encode import Event
from service.messages.wire import format_instant, now
from tests.unit.fakes import FakeFac, FakeFvc, Open, executing
from tests.unit.making import LICENSE, command, received

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)


def told(end: Event | Retry) -> dict[str, Any]:
    assert isinstance(end, Event)
    data: dict[str, Any] = json.loads(end.data)
    return data


def sent(at: datetime, name: str = "activate-sms-license", id_: str = "c-1") -> Command:
    return command(name, id=id_, time=format_instant(at))


@pytest.fixture
async def used(reopen: Open) -> SqliteLedger:
    """A ledger that was there before, and is as old as can be."""
    ledger = await reopen()
    await ledger.belong_to("rabbit@a /")
    await ledger.close()
    ledger = await reopen()
    ledger.created_at -= 900 * DAY
    return ledger


@pytest.mark.parametrize("name", ["activate-sms-license", "apply-voice-license"])
async def test_a_redelivered_command_older_than_what_was_pruned_is_unknown(
    name: str, used: SqliteLedger, fac: FakeFac, fvc: FakeFvc
) -> None:
    """It ended, its ack was lost and its result was pruned: it is not written again."""
    wanted = sent(now() - HOUR, name)
    end = await executing(used, fac, fvc).settle(received(wanted))
    assert "succeeded" == told(end)["conclusion"]
    assert 1 == await used.forget(now() + HOUR)
    written = (list(fac.posts), list(fvc.applied))
    end = await executing(used, fac, fvc).settle(received(wanted, redelivered=True))
    assert "unknown" == told(end)["conclusion"]
    assert written == (fac.posts, fvc.applied)


AGES: Final = {
    "of its producer": lambda at: received(sent(at), redelivered=True),
    "of the delivery": lambda at: replace(received(command(), redelivered=True), known_since=at),
    "of the first receipt": lambda at: replace(
        received(sent(now() + DAY), redelivered=True), known_since=at, delayed=True
    ),
}
"""What a command's age is known by."""


async def pruned(ledger: SqliteLedger, fac: FakeFac) -> datetime:
    """Let another command's result be pruned; from when it was."""
    assert (
        "succeeded"
        == told(await executing(ledger, fac).settle(received(sent(now(), id_="earlier"))))[
            "conclusion"
        ]
    )
    await ledger.forget(now() + HOUR)
    guard = ledger.pruned_before
    assert guard is not None
    fac.posts.clear()
    return guard


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize(("apart", "conclusion"), [(-HOUR, "unknown"), (HOUR, "succeeded")])
async def test_the_age_of_a_redelivered_command_is_compared_with_what_was_pruned(
    apart: timedelta, conclusion: str, age: str, used: SqliteLedger, fac: FakeFac
) -> None:
    """Older: it may be among what is gone. Younger: the ledger would know it."""
    delivery: Received = AGES[age](await pruned(used, fac) + apart)
    end = await executing(used, fac).settle(delivery)
    assert conclusion == told(end)["conclusion"]
    assert ([] if conclusion == "unknown" else [LICENSE]) == fac.posts


async def test_a_command_of_this_very_process_may_be_among_what_was_pruned(
    sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """That no other process had it before does not help when its own result is gone."""
    wanted, execution = sent(now() - HOUR), executing(sqlite, fac)
    assert "succeeded" == told(await execution.settle(received(wanted)))["conclusion"]
    await sqlite.forget(now() + HOUR)
    end = await execution.settle(received(wanted, redelivered=True))
    assert "unknown" == told(end)["conclusion"]
    assert [LICENSE] == fac.posts


async def test_what_was_pruned_before_this_process_had_a_command_does_not_concern_it(
    sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """Its channel was closed, and it comes again: nothing was pruned in between."""
    old, execution = sent(await pruned(sqlite, fac) - DAY), executing(sqlite, fac)
    fac.errors = [Failed(Code.UNREACHABLE, "no answer")]
    assert isinstance(await execution.settle(received(old)), Retry)
    end = await execution.settle(received(old, redelivered=True))
    assert "succeeded" == told(end)["conclusion"]
    assert [LICENSE] == fac.posts


async def test_a_first_delivery_is_run_whatever_was_pruned(
    used: SqliteLedger, fac: FakeFac
) -> None:
    """A producer's clock may be behind: nobody had the command before."""
    old = sent(await pruned(used, fac) - DAY)
    assert "succeeded" == told(await executing(used, fac).settle(received(old)))["conclusion"]
    assert [LICENSE] == fac.posts


async def test_a_withdrawn_intent_is_known_whatever_was_pruned(
    used: SqliteLedger, fac: FakeFac
) -> None:
    """The ledger has it, and nothing was sent: it runs."""
    old = sent(await pruned(used, fac) - DAY)
    await used.withdraw(old, await used.intend(old, b"{}", fac.origin))
    end = await executing(used, fac).settle(received(old, redelivered=True, had_intent=True))
    assert "succeeded" == told(end)["conclusion"]
    assert [LICENSE] == fac.posts
