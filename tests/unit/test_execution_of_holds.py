"""The hold on the virtual host: without it nothing is written, and a takeover is not forgotten."""

import asyncio
import math
from datetime import timedelta
from typing import Any, Final

import pytest
from pydantic import SecretStr

from service.appliances.ports import NotSent
from service.appliances.visit import visit
from service.execution import Retry
from service.ledger.sqlite import SqliteLedger
from service.messages.commands import Command
from service.messages.encode import Event
from service.messages.wire import format_instant, now
from tests.support.wait import until
from tests.unit.fakes import FakeFac, Hold, executing
from tests.unit.making import LICENSE, command, received

HOUR: Final = timedelta(hours=1)


async def test_a_write_is_deferred_while_the_virtual_host_is_not_held(
    sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """No intent, no attempt, nothing sent; it is run when the hold is back."""
    hold = Hold(is_held=False)
    execution = executing(sqlite, fac, hold=hold)
    assert Retry(5, 0, False, None) == await execution.settle(received())
    assert ([], None) == (fac.posts, await sqlite.find(command().key))
    hold.is_held = True
    assert isinstance(await execution.settle(received()), Event)
    assert [LICENSE] == fac.posts


async def test_no_result_of_a_write_is_stored_while_the_virtual_host_is_not_held(
    sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """Another ledger may run the command meanwhile: one event would have two bodies."""
    late = command(expirytime=format_instant(now() - HOUR))
    hold = Hold(is_held=False)
    ending = asyncio.create_task(executing(sqlite, fac, hold=hold).settle(received(late)))
    await until(lambda: hold.waiting)
    assert await sqlite.find(late.key) is None
    hold.is_held = True
    hold.confirmed.set()
    assert isinstance(await ending, Event)


async def test_a_query_and_a_dry_run_need_no_hold(sqlite: SqliteLedger, fac: FakeFac) -> None:
    """They write nothing, so no other ledger can double them."""
    execution = executing(sqlite, fac, hold=Hold(is_held=False))
    for asked in (command("query-sms-balance"), command(id="c-2", data={"dry_run": True})):
        assert isinstance(await execution.settle(received(asked)), Event)


async def test_a_write_is_vetoed_when_the_hold_is_lost_after_the_intent(
    sqlite: SqliteLedger,
) -> None:
    """The fence is asked at the first byte: the write counts as too old, and is withdrawn."""
    hold, ages = Hold(), []

    class Losing(FakeFac):
        async def activate(self, license_key: SecretStr) -> None:
            hold.is_held = False
            current = visit.get()
            assert current is not None
            ages.append(current.write_age())
            if math.isinf(ages[-1]):
                raise NotSent("vetoed")
            await super().activate(license_key)

    fac = Losing()
    assert isinstance(await executing(sqlite, fac, hold=hold).settle(received()), Retry)
    assert ([math.inf], []) == (ages, fac.posts)


def sent(ago: timedelta) -> Command:
    return command(time=format_instant(now() - ago))


@pytest.mark.parametrize(
    ("asked", "delivery", "conclusion"),
    [
        (sent(HOUR), {"redelivered": True}, "unknown"),
        (sent(-HOUR), {"redelivered": True}, "succeeded"),
        (sent(HOUR), {}, "succeeded"),
        (command(), {"redelivered": True}, "unknown"),
        (command(), {}, "succeeded"),
    ],
)
async def test_what_another_ledger_may_have_known_is_unknown_after_a_takeover(
    sqlite: SqliteLedger, fac: FakeFac, asked: Command, delivery: dict[str, Any], conclusion: str
) -> None:
    """A redelivery from before it, or of unknown age; this courier may have seen it first."""
    sqlite.created_at = now() - 100 * HOUR
    execution = executing(sqlite, fac, hold=Hold(taken_over_at=now()))
    end = await execution.settle(received(asked, **delivery))
    assert isinstance(end, Event)
    assert conclusion == end.outcome
    assert ([] if conclusion == "unknown" else [LICENSE]) == fac.posts
