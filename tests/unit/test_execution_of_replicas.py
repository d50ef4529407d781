"""Several replicas on one ledger: what a command may do that another one has in its hands."""

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from service.appliances.visit import visit
from service.errors import Code, Waiting
from service.execution import Retry
from service.ledger import Intent, Told
from service.ledger.sqlite import SqliteLedger
from service.messages.commands import Command
from service.messages.encode import Event
from service.messages.wire import now
from tests.unit.fakes import FakeFac, FakeFvc, executing
from tests.unit.ledgers import ORIGIN
from tests.unit.making import LICENSE, command, received

BEFORE: Final = b'{"total_sms": 100, "used_sms": 10, "available_sms": 90}'
DEVICE: Final = b'{"model": "FVE-200F8", "serial": "FO2-1", "version": "7.0.1"}'
END: Final = Told("succeeded", b'{"conclusion": "succeeded", "effect": "added"}', now())
OTHER: Final = command(id="c-2")


class _Right:
    stands = True


class Shared(SqliteLedger):
    """A ledger that other replicas use: `meanwhile` is what they do before we get the right.

    Attributes:
        right: what is had, while it is had; None while it is not.
        busy: another replica does not give it back.
    """

    right: _Right | None = None
    busy = False

    async def meanwhile(self) -> None:
        """Do what the others do."""

    @asynccontextmanager
    async def writing(self, appliance: str, origin: str) -> AsyncIterator[_Right]:  # noqa: ARG002
        if self.busy:
            raise Waiting(Code.BUSY, f"another courier writes on {appliance}")
        await self.meanwhile()
        self.right = _Right()
        yield self.right
        self.right = None

    async def conclude(self, command: Command, told: Told, intent: Intent | None) -> Told:
        self.concluded_with = self.right
        return await super().conclude(command, told, intent)


@pytest.fixture
async def shared(path: Path) -> AsyncIterator[Shared]:
    ledger = await Shared.open(path)
    yield ledger
    await ledger.close()


def told(end: Event | Retry) -> dict[str, Any]:
    assert isinstance(end, Event)
    data: dict[str, Any] = json.loads(end.data)
    return data


async def test_the_right_is_kept_until_the_end_is_stored(shared: Shared, fac: FakeFac) -> None:
    """Else another replica would look at an intent that is open though all is known."""
    assert "added" == told(await executing(shared, fac).settle(received()))["effect"]
    assert shared.concluded_with is not None
    assert shared.right is None


async def test_who_does_not_get_the_right_comes_back(shared: Shared, fac: FakeFac) -> None:
    """Nothing is asked of the appliance, and no attempt is counted."""
    shared.busy = True
    retry = await executing(shared, fac).settle(received())
    assert isinstance(retry, Retry)
    assert (0, False, Code.BUSY) == (retry.attempts, retry.intent, retry.error or Code.BUSY)
    assert (0, []) == (fac.reads, fac.posts)


async def test_a_write_that_another_replica_has_begun_is_not_begun_again(
    shared: Shared, fac: FakeFac
) -> None:
    """It was new when it was looked up, and has an intent when it is its turn: it comes back."""

    async def meanwhile() -> None:
        await shared.intend(received().command, BEFORE, ORIGIN)

    shared.meanwhile = meanwhile  # type: ignore[method-assign]  # this time
    assert isinstance(await executing(shared, fac).settle(received()), Retry)
    assert [] == fac.posts


async def test_a_command_that_another_replica_has_ended_is_told_as_it_ended(
    shared: Shared, fac: FakeFac
) -> None:
    """It was new when it was looked up; its second look finds the end."""

    async def meanwhile() -> None:
        await shared.conclude(received().command, END, None)

    shared.meanwhile = meanwhile  # type: ignore[method-assign]  # this time
    execution = executing(shared, fac)
    first = await execution.settle(received())
    assert isinstance(first, Retry)
    assert "added" == told(await execution.settle(received(redelivered=True)))["effect"]
    assert [] == fac.posts


async def test_an_intent_that_was_taken_back_meanwhile_is_none(shared: Shared) -> None:
    """What another replica did not send is not told as unknown: it is run at the next look."""
    fvc = FakeFvc()
    content = {"name": "v.lic", "content": "bGljZW5jZQ=="}
    wanted = command("apply-voice-license", {"appliance": "fvc-1", "file": content})
    intent = await shared.intend(wanted, DEVICE, fvc.origin)

    async def meanwhile() -> None:
        await shared.withdraw(wanted, intent)

    shared.meanwhile = meanwhile  # type: ignore[method-assign]  # this time
    execution = executing(shared, fvc)
    retry = await execution.settle(received(wanted, redelivered=True))
    assert isinstance(retry, Retry)
    assert not retry.intent
    assert "accepted" == told(await execution.settle(received(wanted)))["effect"]


async def test_another_commands_intent_is_waited_for_under_the_right(
    shared: Shared, fac: FakeFac
) -> None:
    """The lock protects the process, the open entry protects the figures."""

    async def meanwhile() -> None:
        await shared.intend(OTHER, BEFORE, ORIGIN)

    shared.meanwhile = meanwhile  # type: ignore[method-assign]  # this time
    assert isinstance(await executing(shared, fac).settle(received()), Retry)
    assert [] == fac.posts


async def test_a_write_knows_how_old_its_announcement_is(shared: Shared, fac: FakeFac) -> None:
    """Infinitely old once the right is lost: whoever sends it looks at that."""
    ages: list[float] = []
    sent = fac.activate

    async def activate(license_key: Any) -> None:  # noqa: ANN401  as the port has it
        current = visit.get()
        assert current is not None
        assert shared.right is not None
        ages.append(current.write_age())
        shared.right.stands = False
        ages.append(current.write_age())
        await sent(license_key)

    fac.activate = activate  # type: ignore[method-assign]  # looks on the way
    await executing(shared, fac).settle(received())
    assert [LICENSE] == fac.posts
    assert 0 <= ages[0] < 5
    assert math.inf == ages[1]
