"""What a schedule's faults excuse, and what they do not: a check that excuses all finds nothing."""

import pytest

from tests.campaign.checker import Wish
from tests.campaign.excuses import excuses, not_done
from tests.campaign.kinds import alias
from tests.campaign.schedules import Planned, Schedule, wish
from tests.support.workflow import Heard
from tests.unit.test_campaign_checker import finished

ACTIVATE = wish("activate-sms-license", "fac-1", "a")
APPLY = wish("apply-voice-license", "fvc-1", "b")
QUERY = wish("query-sms-balance", "fac-1", "c")
BY_ALIAS = wish("activate-sms-license", alias("fac-1"), "d")
SHORT = Wish(ACTIVATE.document | {"expirytime": "2026-12-01T00:00:00Z"}, ACTIVATE.key)


def planned(kind: str, variant: str = "") -> Planned:
    return Planned(kind, 0.0, 1.0, variant, 0)


def ended(command: Wish, conclusion: str, code: str) -> Heard:
    return finished(command, conclusion, error={"code": code})


SWAPPED = planned("inventory-swapped", "fac-1 fac-2")
RENAMED = planned("inventory-renamed", "fac-1")
LEAPT = planned("clock-leapt", "+43200000")


@pytest.mark.parametrize(
    ("fault", "command"),
    [
        (SWAPPED, ACTIVATE),
        (RENAMED, ACTIVATE),
        (RENAMED, BY_ALIAS),
        (LEAPT, ACTIVATE),
        (LEAPT, APPLY),
        (planned("database-killed"), APPLY),
        (planned("appliance-slow", "fvc-1"), APPLY),
    ],
)
def test_an_unknown_is_excused_by_the_fault_that_hides_the_outcome(
    fault: Planned, command: Wish
) -> None:
    """And the excuse begins with the fault's name."""
    why = excuses(Schedule(1, (), (fault,)))(command)
    assert (why or "").startswith(fault.kind)


@pytest.mark.parametrize(
    ("fault", "command"),
    [
        (planned("inventory-swapped", "fvc-1 fvc-2"), ACTIVATE),
        (planned("inventory-renamed", "fac-2"), ACTIVATE),
        (planned("database-slow", "200"), ACTIVATE),
        (planned("database-slow", "200"), APPLY),
        (planned("database-stalled"), APPLY),
        (planned("rival-database"), ACTIVATE),
        (planned("rival-file"), APPLY),
        (planned("appliance-slow", "fac-1"), ACTIVATE),
    ],
)
def test_no_other_fault_excuses_an_unknown(fault: Planned, command: Wish) -> None:
    """A slow database or a second ledger must not make an outcome undecidable."""
    assert excuses(Schedule(1, (), (fault,)))(command) is None


@pytest.mark.parametrize(
    ("fault", "told", "command"),
    [
        (RENAMED, ended(ACTIVATE, "refused", "unknown-appliance"), ACTIVATE),
        (RENAMED, ended(BY_ALIAS, "refused", "unknown-appliance"), BY_ALIAS),
        (planned("rival-file"), ended(SHORT, "failed", "expired"), SHORT),
        (planned("database-slow", "20"), ended(SHORT, "failed", "unreachable"), SHORT),
        (LEAPT, ended(QUERY, "failed", "expired"), QUERY),
        (planned("answers-lost", "fac-1"), ended(ACTIVATE, "failed", "unreachable"), ACTIVATE),
    ],
)
def test_a_command_may_end_without_having_been_carried_out(
    fault: Planned, told: Heard, command: Wish
) -> None:
    """Where a fault, or its own short time, explains that."""
    assert [] == not_done(command, told, Schedule(1, (), (fault,)))


@pytest.mark.parametrize(
    ("fault", "told", "command"),
    [
        (SWAPPED, ended(ACTIVATE, "refused", "unknown-appliance"), ACTIVATE),
        (
            planned("inventory-renamed", "fac-2"),
            ended(SHORT, "refused", "unknown-appliance"),
            SHORT,
        ),
        (planned("rival-file"), ended(ACTIVATE, "failed", "expired"), ACTIVATE),
        (planned("database-slow", "20"), ended(ACTIVATE, "failed", "unreachable"), ACTIVATE),
        (planned("database-stalled"), ended(QUERY, "failed", "unreachable"), QUERY),
        (planned("answers-lost", "fac-2"), ended(ACTIVATE, "failed", "unreachable"), ACTIVATE),
    ],
)
def test_what_nothing_explains_is_found(fault: Planned, told: Heard, command: Wish) -> None:
    """In a sentence with the command's id."""
    (found,) = not_done(command, told, Schedule(1, (), (fault,)))
    assert found.startswith(command.id)
