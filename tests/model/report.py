"""The report in Markdown: bounds, figures, the guards and what their absence breaks, the traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.breaches import BREACHES, NEW
from tests.model.drops import NEEDED_IN, SECOND_LINES
from tests.model.rules import LANDED, MENDED, MISSING, without
from tests.model.scenarios import SCENARIOS
from tests.model.search import explore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.model.breaches import Breach
    from tests.model.scenarios import Scenario
    from tests.model.search import Found

_BOUNDS = """\
Every order of steps of two replicas is explored. One tick of the model is `read_timeout`; ages are
0, 1 or 2 of them. Any step of a replica may be delayed for as long as there is: a paused process is
one that makes no step, and what the pause costs it (its lock's session, its deliveries) are faults.

Assumed, not shown: an appliance works on a request for at most `read_timeout` after it has left;
the check of the fence and the first byte are one step; a ledger's statement is atomic; a box's
figure is changed by licences only, and each licence adds the same.
"""


def write_report(folder: Path) -> bool:
    """Explore everything, write the report; return whether all is as it should be."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["# The model of the promise", "", _BOUNDS, *_mended(), "", *_breaches(folder), ""]
    lines += [*write_guards(folder), "", *_missing()]
    (folder / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return not any("**" in line for line in lines)


def _mended() -> Iterator[str]:
    yield "## `MENDED`, explored to the end"
    yield ""
    yield "| scenario | commands, messages | faults | of | states | transitions | depth | s | |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for scenario in SCENARIOS:
        found = explore(MENDED, scenario)
        kinds = ", ".join(sorted(scenario.allowed))
        messages = len(scenario.queue) + len(scenario.pending)
        yield (
            f"| {scenario.name} | {scenario.commands}, {messages} | {scenario.faults} | {kinds}"
            f" | {found.states:,} | {found.transitions:,} | {found.depth} | {found.seconds:.0f}"
            f" | {_verdict(found, is_good=found.is_whole and not found.broken)} |"
        )


def _verdict(found: Found, *, is_good: bool) -> str:
    return (found.broken or "nothing breaks") if is_good else f"**{found.broken or 'unfinished'}**"


def _breaches(folder: Path) -> Iterator[str]:
    yield "## What breaks in `LANDED`"
    yield ""
    yield "| trace | invariant | steps |"
    yield "|---|---|---|"
    for breach in (*BREACHES, *NEW):
        found = explore(LANDED, breach.scenario, wanted=breach.wanted, endings=False, depth=32)
        _write_trace(folder, breach, found)
        verdict = _verdict(found, is_good=bool(found.broken))
        yield f"| [{breach.slug}]({breach.slug}.md) | {verdict} | {len(found.trace)} |"


def _write_trace(folder: Path, breach: Breach, found: Found) -> None:
    steps = [f"{number}. {line}" for number, line in enumerate(found.trace, 1)]
    title = f"# {breach.slug}: {found.broken or 'not found'}"
    bounds = f"Scenario `{breach.scenario.name}`; the shortest trace."
    text = "\n".join([title, "", bounds, "", *steps]) + "\n"
    (folder / f"{breach.slug}.md").write_text(text, encoding="utf-8")


def write_guards(folder: Path) -> list[str]:
    """Drop each guard; write every trace into one file, and return the table."""
    traces = ["# What breaks when one guard of `MENDED` is dropped", ""]
    lines = list(_guards(traces))
    (folder / "dropped.md").write_text("\n".join(traces).rstrip() + "\n", encoding="utf-8")
    return lines


def _guards(traces: list[str]) -> Iterator[str]:
    yield "## What breaks when one guard of `MENDED` is dropped"
    yield ""
    yield "| guard | scenario | invariant | steps |"
    yield "|---|---|---|---|"
    for guard, scenario in NEEDED_IN.items():
        yield _dropped((guard,), scenario, traces)
    yield ""
    yield "For these guards another one stands in; both are dropped."
    yield ""
    yield "| guards | scenario | invariant | steps |"
    yield "|---|---|---|---|"
    for guard, (other, scenario) in SECOND_LINES.items():
        yield _dropped((guard, other), scenario, traces)


def _missing() -> Iterator[str]:
    yield "## Guards that the service does not have"
    yield ""
    yield "What each of them prevents is in the table above and in [dropped](dropped.md)."
    yield ""
    yield "| guard | |"
    yield "|---|---|"
    yield from (f"| {guard} | {why} |" for guard, why in MISSING.items())


def _dropped(guards: tuple[str, ...], scenario: Scenario, traces: list[str]) -> str:
    rules = MENDED
    for guard in guards:
        rules = without(rules, guard)
    found = explore(rules, scenario, endings=False)
    verdict = _verdict(found, is_good=bool(found.broken))
    traces += [f"## {', '.join(guards)} ({scenario.name}): {found.broken}", ""]
    traces += [*(f"{number}. {line}" for number, line in enumerate(found.trace, 1)), ""]
    return f"| {', '.join(guards)} | {scenario.name} | {verdict} | {len(found.trace)} |"
