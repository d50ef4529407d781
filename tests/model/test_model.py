"""The rules of the promise, explored: `LANDED` breaks as the service did, `MENDED` holds."""

from __future__ import annotations

import pytest

from tests.model.breaches import BREACHES, NEW, Breach
from tests.model.drops import NEEDED_IN, SECOND_LINES
from tests.model.rules import GUARDS, LANDED, MENDED, MISSING, SERVICE, without
from tests.model.scenarios import PRUNE_TWO, RESTORE_TWO, TWO_LEDGERS, WITHDRAWN, Scenario
from tests.model.search import explore


@pytest.mark.parametrize("breach", [*BREACHES, *NEW], ids=lambda breach: breach.slug)
def test_what_landed_breaks_as_it_was_seen_to(breach: Breach) -> None:
    found = explore(LANDED, breach.scenario, wanted=breach.wanted, endings=False, depth=32)

    assert found.broken.startswith(breach.wanted)
    assert found.trace


@pytest.mark.parametrize(
    "slug",
    [
        *("1-false-expired", "2-two-ledgers", "2-two-bodies", "3-needless-unknown"),
        *("7-age-after-repeat", "new-stale-baseline", "new-give-up"),
    ],
)
def test_the_service_does_not_break_as_it_did(slug: str) -> None:
    (breach,) = (each for each in (*BREACHES, *NEW) if each.slug == slug)

    found = explore(SERVICE, breach.scenario, wanted=breach.wanted, endings=False, depth=32)

    assert not found.broken


@pytest.mark.parametrize(
    "scenario", [TWO_LEDGERS, PRUNE_TWO, RESTORE_TWO, WITHDRAWN], ids=lambda each: each.name
)
def test_the_mended_rules_hold_and_every_command_can_end(scenario: Scenario) -> None:
    found = explore(MENDED, scenario)

    assert ("", ()) == (found.broken, found.trace)
    assert found.is_whole


@pytest.mark.parametrize("guard", NEEDED_IN)
def test_every_guard_is_needed(guard: str) -> None:
    found = explore(without(MENDED, guard), NEEDED_IN[guard], endings=False, depth=24)

    assert found.broken


@pytest.mark.parametrize("guard", SECOND_LINES)
def test_a_second_line_is_needed_where_the_first_is_missing(guard: str) -> None:
    other, scenario = SECOND_LINES[guard]

    found = explore(without(without(MENDED, guard), other), scenario, endings=False, depth=24)

    assert found.broken


def test_every_missing_guard_is_one() -> None:
    assert set() == MISSING.keys() - set(GUARDS)


def test_every_guard_has_its_scenario() -> None:
    assert set(GUARDS) == NEEDED_IN.keys() | SECOND_LINES.keys()
