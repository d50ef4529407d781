"""How old an intent is: by the time that the system has been up, whatever the wall clock says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from service.errors import AnswerLost, Code
from service.execution import Retry
from service.execution.intent import LedgerIntent
from service.ledger import Intent
from service.ledger.moment import Moment
from service.ledger.sqlite import SqliteLedger
from service.messages.encode import Event
from service.messages.results import SmsBalance
from service.messages.wire import format_instant
from tests.unit.fakes import FakeFac, executing
from tests.unit.ledgers import FIRST, ORIGIN, written
from tests.unit.making import received

AT: Final = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
BEFORE: Final = b'{"total_sms":100,"used_sms":10,"available_sms":90}'


@pytest.mark.parametrize("step", [HOUR, -HOUR, timedelta()])
def test_no_step_of_the_wall_clock_changes_an_age(step: timedelta) -> None:
    """Within one boot the uptime counts alone."""
    recorded = Moment(AT, "boot-1", 1000.0)
    assert 20.5 == recorded.age(Moment(AT + step + timedelta(seconds=9), "boot-1", 1020.5))


@pytest.mark.parametrize(
    ("recorded", "current"),
    [
        (Moment(AT, "boot-1", 1000.0), Moment(AT + HOUR, "boot-2", 1010.0)),
        (Moment(AT), Moment(AT + HOUR, "boot-2", 1010.0)),
        (Moment(AT, "boot-1", 1000.0), Moment(AT + HOUR)),
        (Moment(AT), Moment(AT + HOUR)),
        (Moment(AT, "boot-1", 1000.0), Moment(AT + HOUR, "boot-1", 10.0)),
    ],
    ids=["another boot", "older ledger", "cannot be told", "neither", "another uptime"],
)
def test_where_uptimes_cannot_be_compared_the_wall_clock_counts(
    recorded: Moment, current: Moment
) -> None:
    """After a reboot, in an entry of an older courier, on a system without boots."""
    assert 3600.0 == recorded.age(current)


@pytest.mark.parametrize("boot", ["boot-1", None])
def test_nothing_is_younger_than_now(boot: str | None) -> None:
    """A wall clock that was put back makes no negative age."""
    assert 0.0 == Moment(AT, "boot-0", 9.0).age(Moment(AT - HOUR, boot, 10.0))


def test_the_system_says_which_boot_it_is_and_for_how_long_it_is_up() -> None:
    """Two looks are one boot, and the second is not earlier; a name is what Linux gives."""
    first, second = Moment.current(), Moment.current()
    assert (36, first.boot) == (len(first.boot or ""), second.boot)
    assert 0 < first.uptime <= second.uptime


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_system_that_names_no_boot_has_its_wall_clock(
    content: str | None, tmp_path: Path
) -> None:
    """A missing file and an empty one are no boot, and no error."""
    if content is not None:
        (tmp_path / "boot_id").write_text(content)
    assert Moment.current(tmp_path / "boot_id").boot is None


async def test_both_clocks_are_recorded_with_an_intent(sqlite: SqliteLedger) -> None:
    """What comes back is what was read, to the last digit."""
    before = Moment.current()
    intent = await sqlite.intend(FIRST, BEFORE, ORIGIN)
    assert before.boot == intent.recorded.boot
    assert before.uptime <= intent.recorded.uptime <= Moment.current().uptime
    entry = await sqlite.find(FIRST.key)
    assert entry is not None
    assert intent == entry.intent


async def test_an_intents_age_is_its_moments(sqlite: SqliteLedger) -> None:
    """Of one that an earlier run left, and of one that was just recorded; none has none."""
    current = Moment.current()
    stepped = replace(current, at=current.at - HOUR, uptime=max(current.uptime - 5, 0))
    found = LedgerIntent(sqlite, FIRST, SmsBalance, Intent(BEFORE, stepped))
    assert 5 <= found.age < 60
    fresh = LedgerIntent(sqlite, FIRST, SmsBalance, None)
    assert 0.0 == fresh.age
    await fresh.record(SmsBalance(total_sms=1, used_sms=0, available_sms=1))
    assert 0 <= fresh.age < 60


@pytest.mark.parametrize(("restarted", "judged"), [(False, False), (True, True)])
async def test_a_clock_that_is_put_forward_does_not_judge_a_write_too_early(
    restarted: bool, judged: bool, sqlite: SqliteLedger, fac: FakeFac, tmp_path: Path
) -> None:
    """The appliance has its time to work on a write; after a reboot only the wall clock tells."""
    execution = executing(sqlite, fac)
    fac.worth, fac.answer = 0, AnswerLost(Code.UNREACHABLE, "no answer")
    assert isinstance(await execution.settle(received(FIRST)), Retry)
    an_hour_ago = format_instant(Moment.current().at - HOUR)
    with written(tmp_path / "courier.db") as writer:
        writer.execute("UPDATE commands SET intended_at = ?", (an_hour_ago,))
        if restarted:
            writer.execute("UPDATE commands SET boot = 'an earlier one'")
    assert judged == isinstance(await execution.settle(received(FIRST)), Event)
    assert 1 == len(fac.posts)
