"""What the appliance said to a write is not forgotten, whatever happens to its reading back."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from service.errors import AnswerLost, Code, CommandError, Failed, Refused, Waiting
from service.execution import Execution, Retry
from service.ledger.sqlite import SqliteLedger
from service.messages.encode import Event
from tests.unit.fakes import Fake, FakeFac, executing
from tests.unit.making import LICENSE, received

UNREACHABLE: Final = Failed(Code.UNREACHABLE, "no answer")
BROKEN: Final = Failed(Code.APPLIANCE_ERROR, "503", status=503)
DENIED: Final = Refused(Code.PERMISSION_DENIED, "no", status=403)
LICENSE_REFUSED: Final = Refused(Code.LICENSE_REFUSED, "no", status=400)
LOST: Final = AnswerLost(Code.UNREACHABLE, "no answer")
GATEWAY: Final = AnswerLost(Code.UNEXPECTED_ANSWER, "504", status=504)
BREAKER: Final = Waiting(Code.UNREACHABLE, "not now")
RESTING: Final = Waiting(Code.APPLIANCE_ERROR, "not now", retry_after=7)


@pytest.fixture
def execution(sqlite: SqliteLedger, fac: FakeFac) -> Execution:
    return executing(sqlite, fac)


def told(end: Event | Retry) -> dict[str, Any]:
    assert isinstance(end, Event)
    data: dict[str, Any] = json.loads(end.data)
    return data


@asynccontextmanager
async def restarted(
    ledger: SqliteLedger, file: Path, *appliances: Fake
) -> AsyncIterator[Execution]:
    """What a new process has: nothing but the file."""
    await ledger.close()
    reopened = await SqliteLedger.open(file)
    try:
        yield executing(reopened, *appliances)
    finally:
        await reopened.close()


@pytest.mark.parametrize("unreadable", [UNREACHABLE, DENIED, BREAKER, RESTING])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, ("succeeded", "unchanged", None, None)),
        (LICENSE_REFUSED, ("refused", "none", "license-refused", 400)),
        (DENIED, ("refused", "none", "permission-denied", 403)),
        (BROKEN, ("failed", "none", "appliance-error", 503)),
        (GATEWAY, ("failed", "none", "unexpected-answer", 504)),
        (LOST, ("failed", "none", "unreachable", None)),
    ],
)
async def test_a_write_that_was_answered_ends_as_what_was_said(
    answer: CommandError | None,
    expected: tuple[str, str, str | None, int | None],
    unreadable: CommandError,
    sqlite: SqliteLedger,
    fac: FakeFac,
    tmp_path: Path,
) -> None:
    """However often reading back fails, and across restarts; nothing is sent again."""
    fac.worth, fac.answer, fac.settle_time = 0, answer, 0
    fac.errors_after_write = [unreadable]
    end = await executing(sqlite, fac).settle(received())
    for _ in range(2):
        assert isinstance(end, Retry)
        assert end.intent
        fac.errors = [unreadable]
        async with restarted(sqlite, tmp_path / "courier.db", fac) as execution:
            end = await execution.settle(received(had_intent=True, attempts=end.attempts))
    async with restarted(sqlite, tmp_path / "courier.db", fac) as execution:
        data = told(await execution.settle(received(had_intent=True)))
    why = data["error"] or {"code": None, "status": None}
    assert expected == (data["conclusion"], data["effect"], why["code"], why["status"])
    assert [LICENSE] == fac.posts


async def test_what_was_added_meanwhile_is_told_whatever_was_said(
    execution: Execution, fac: FakeFac
) -> None:
    """The total has the last word, also when it is read late."""
    fac.answer = BROKEN
    fac.errors_after_write = [UNREACHABLE]
    assert isinstance(await execution.settle(received()), Retry)
    data = told(await execution.settle(received(had_intent=True)))
    assert ("succeeded", "added", 50) == (data["conclusion"], data["effect"], data["added_sms"])
    assert [LICENSE] == fac.posts


async def test_a_lost_answer_is_given_its_time_across_a_restart(
    sqlite: SqliteLedger, fac: FakeFac, tmp_path: Path
) -> None:
    """An unchanged total proves nothing as long as the write may be worked on."""
    fac.worth, fac.answer = 0, LOST
    fac.errors_after_write = [UNREACHABLE]
    await executing(sqlite, fac).settle(received())
    async with restarted(sqlite, tmp_path / "courier.db", fac) as execution:
        end = await execution.settle(received(had_intent=True, attempts=1))
    assert Retry(30, 2, True, Code.UNREACHABLE) == end
    assert [LICENSE] == fac.posts


async def test_a_delivery_that_sent_the_write_is_an_attempt(
    execution: Execution, fac: FakeFac
) -> None:
    """Even if its reading back had to wait: a licence that was sent was attempted."""
    fac.errors_after_write = [RESTING]
    end = await execution.settle(received())
    assert isinstance(end, Retry)
    assert (1, True) == (end.attempts, end.intent)


async def test_an_answer_that_says_nothing_is_told_when_it_has_settled(
    execution: Execution, fac: FakeFac
) -> None:
    """A gateway's 504 is waited for and then told, not that the activation was interrupted."""
    fac.worth, fac.answer = 0, GATEWAY
    assert isinstance(await execution.settle(received()), Retry)
    fac.settle_time = 0
    why = told(await execution.settle(received(had_intent=True)))["error"]
    assert ("unexpected-answer", 504) == (why["code"], why["status"])
