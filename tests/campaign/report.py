"""Tells what a campaign found: JSON for programs, Markdown and one picture for people."""

import dataclasses
import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.campaign.arena import HEARTBEAT
from tests.campaign.checker import Verdict
from tests.campaign.crashes import CrashResult
from tests.campaign.faults import LIMITS
from tests.campaign.kinds import ALL_KINDS, NODE_KINDS
from tests.campaign.runs import Run
from tests.support.cluster import TICK

Json = dict[str, Any]

PICTURE: Final = "recovery.svg"
RUNS: Final = "runs.json"
"""Each schedule and crash; large, and of use only to whoever looks into one of them."""
CRASH: Final = "crash-matrix"
"""What the recoveries of the crash matrix are called in the picture."""
_RECOVERY_OF_A_CRASH: Final = 3.0
_SHOWN: Final = 40
_ABOUT_NODES: Final = (
    "Where a node of a cluster is concerned they count from its breaking: two others are there."
    f" Most of it is the broker's time: a silent node is given up after {TICK} s (`net_ticktime`),"
    f" and by the courier after {3 * (HEARTBEAT + 1)} s (heartbeat {HEARTBEAT}); RabbitMQ's"
    " default is 60 s, the courier's heartbeat as a rule 10 and its patience 33 s."
)
_WIDTH, _LEFT, _RIGHT, _ROW = 900, 210, 60, 26
_TICKS: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_FASTEST, _SLOWEST = 0.03, 40.0


@dataclass(frozen=True)
class Campaign:
    """Everything that happened.

    Attributes:
        arguments: what it was asked for.
        versions: of the programs that took part.
        seconds: how long it took.
        runs: the schedules, by seed.
        crashes: the crash matrix.
        left_out: what was not done, and why; that is a failure.
        problems: what went wrong outside of schedules and cases.
    """

    arguments: Mapping[str, object]
    versions: Mapping[str, str]
    seconds: float
    runs: Sequence[Run]
    crashes: Sequence[CrashResult] = ()
    left_out: Sequence[str] = ()
    problems: Sequence[str] = ()

    @property
    def lost(self) -> list[str]:
        return [each for verdict in self._verdicts for each in verdict.lost]

    @property
    def doubled(self) -> list[str]:
        return [each for verdict in self._verdicts for each in verdict.doubled]

    @property
    def false(self) -> list[str]:
        return [each for verdict in self._verdicts for each in verdict.false]

    @property
    def unknown(self) -> list[str]:
        return [each for verdict in self._verdicts for each in verdict.unknown]

    @property
    def needless(self) -> list[str]:
        """Each `unknown` whose write never reached an appliance, and which faults met it."""

        def meanwhile(run: Run, unknown: str) -> str:
            return ", ".join(run.during.get(unknown.partition(": ")[0], [])) or "nothing"

        found = [
            f"seed {run.seed}, {each}, while {meanwhile(run, each)}"
            for run in self.runs
            for each in run.verdict.needless
        ]
        return found + [
            f"crash {each.case}, {why}" for each in self.crashes for why in each.verdict.needless
        ]

    @property
    def _verdicts(self) -> list[Verdict]:
        return [*(each.verdict for each in self.runs), *(each.verdict for each in self.crashes)]

    @property
    def reasons(self) -> Counter[str]:
        """Why commands ended `unknown`, and how many."""
        return Counter(each.partition(": ")[2] for each in self.unknown)

    @property
    def failures(self) -> list[str]:
        """Everything that must not be, a sentence each, with where it was."""
        found = [f"seed {run.seed}: {each}" for run in self.runs for each in run.failures]
        found += [f"crash {each.case}: {why}" for each in self.crashes for why in each.failures]
        found += [
            f"crash {each.case}: told {each.recovered_after:.2f} s after it was ready"
            for each in self.crashes
            if (each.recovered_after or 0) > _RECOVERY_OF_A_CRASH
        ]
        return [*found, *self.left_out, *self.problems]

    @property
    def recoveries(self) -> dict[str, list[float]]:
        """Seconds by kind of fault, of those that had nothing else beside them."""
        found: dict[str, list[float]] = defaultdict(list)
        for run in self.runs:
            for struck in run.faults:
                if struck.alone and struck.recovered_after is not None:
                    found[struck.kind].append(struck.recovered_after)
        for each in self.crashes:
            if each.recovered_after is not None:
                found[CRASH].append(each.recovered_after)
        return {kind: sorted(found[kind]) for kind in (*ALL_KINDS, CRASH) if kind in found}


def write(campaign: Campaign, directory: Path) -> Path:
    """Write the whole report into a directory, and return where its page is."""
    directory.mkdir(parents=True, exist_ok=True)
    for run in campaign.runs:
        if run.failures:
            (directory / f"failed-{run.seed}.txt").write_text(_story(run), "utf-8")
    (directory / "report.json").write_text(json.dumps(as_json(campaign), indent=1) + "\n", "utf-8")
    runs = json.dumps(runs_as_json(campaign), indent=1)
    (directory / RUNS).write_text(runs + "\n", "utf-8")
    (directory / PICTURE).write_text(picture(campaign.recoveries), "utf-8")
    page = directory / "report.md"
    page.write_text(markdown(campaign), "utf-8")
    return page


def as_json(campaign: Campaign) -> Json:
    """The summary, in a form for programs; seconds are numbers."""
    return {
        "ok": not campaign.failures,
        "arguments": dict(campaign.arguments),
        "versions": dict(campaign.versions),
        "seconds": round(campaign.seconds, 1),
        "commands": sum(run.commands for run in campaign.runs),
        "messages": sum(run.messages for run in campaign.runs),
        "lost": campaign.lost,
        "doubled": campaign.doubled,
        "false": campaign.false,
        "unknown": {
            "count": len(campaign.unknown),
            "reasons": dict(campaign.reasons),
            "needless": campaign.needless,
        },
        "failures": campaign.failures,
        "recovery": {
            kind: {"count": len(each), "median": median(each), "longest": max(each)}
            for kind, each in campaign.recoveries.items()
        },
        "faults": dict(Counter(each.kind for run in campaign.runs for each in run.faults)),
    }


def runs_as_json(campaign: Campaign) -> Json:
    """Every schedule and every crash, in a form for programs."""
    return {
        "schedules": [
            {
                "seed": run.seed,
                "seconds": round(run.seconds, 2),
                "commands": run.commands,
                "messages": run.messages,
                "conclusions": dict(run.conclusions),
                "faults": [dataclasses.asdict(each) for each in run.faults],
                "unknown": run.verdict.unknown,
                "during": run.during,
                "starved": round(run.starved, 2),
                "failures": run.failures,
            }
            for run in campaign.runs
        ],
        "crashes": [
            {
                "case": str(each.case),
                "ready_after": each.ready_after,
                "recovered_after": each.recovered_after,
                "unknown": each.verdict.unknown,
                "failures": each.failures,
            }
            for each in campaign.crashes
        ],
    }


def markdown(campaign: Campaign) -> str:
    """The page for people: the figures first."""
    seeds = [run.seed for run in campaign.runs]
    figures = {
        "schedules": f"{len(seeds)} (seeds {_ranges(seeds)})" if seeds else "none",
        "couriers": campaign.arguments.get("replicas", 1),
        "nodes of the broker": 3 if campaign.arguments.get("cluster") else 1,
        "crash cases": len(campaign.crashes),
        "commands": sum(run.commands for run in campaign.runs),
        "messages": sum(run.messages for run in campaign.runs),
        "faults": sum(len(run.faults) for run in campaign.runs),
        "lost": len(campaign.lost),
        "doubled": len(campaign.doubled),
        "false": len(campaign.false),
        "unknown": len(campaign.unknown),
        "unknown, and no write was sent": len(campaign.needless),
        "failures": len(campaign.failures),
        "took": f"{campaign.seconds / 60:.1f} min",
    }
    parts = [
        "# What the campaign found",
        "Nothing that must not be was found."
        if not campaign.failures
        else "**There are failures.** They stand below, with what is needed to see them again.",
        _table(("", ""), figures.items()),
        _table(("version", ""), campaign.versions.items()),
    ]
    if campaign.failures:
        parts += ["## Failures", *_some(campaign.failures)]
        parts.append("A schedule is run again with `--seed SEED --schedules 1 --no-crashes`.")
    parts += ["## Unknown, and why", _table(("reason", "commands"), campaign.reasons.most_common())]
    if campaign.needless:
        parts += ["Those for which no write was sent, one by one:", *_some(campaign.needless)]
    parts += [
        "## Faults and recovery",
        (
            "Seconds from the healing of a fault to the result of a command sent at that instant;"
            " counted are faults with nothing else beside them."
        ),
        *([_ABOUT_NODES] if set(NODE_KINDS) & set(campaign.recoveries) else []),
        _recoveries(campaign),
        f"![Recovery by kind of fault]({PICTURE})",
        "## Schedules",
        _table(("seed", "seconds", "commands", "faults", "ends"), map(_row, campaign.runs)),
    ]
    return "\n\n".join(parts) + "\n"


def _ranges(seeds: Sequence[int]) -> str:
    """Write sorted seeds as `1 to 27, 33 to 55`."""
    first = [each for each in seeds if each - 1 not in seeds]
    last = [each for each in seeds if each + 1 not in seeds]
    return ", ".join(f"{one} to {other}" for one, other in zip(first, last, strict=True))


def _recoveries(campaign: Campaign) -> str:
    struck = Counter(each.kind for run in campaign.runs for each in run.faults)
    rows = []
    for kind in (*ALL_KINDS, CRASH):
        own = campaign.recoveries.get(kind, [])
        happened = struck[kind] if kind != CRASH else len(campaign.crashes)
        if not happened:
            continue
        figures = [f"{each:.2f}" for each in (min(own), median(own), max(own))] if own else "---"
        rows.append((kind, happened, len(own), *figures, LIMITS.get(kind, "")))
    return _table(("fault", "times", "alone", "shortest", "median", "longest", "limit"), rows)


def _row(run: Run) -> tuple[object, ...]:
    faults = ", ".join(f"{each.kind} {each.variant}".strip() for each in run.faults)
    ends = ", ".join(f"{count} {how}" for how, count in run.conclusions.most_common())
    return run.seed, f"{run.seconds:.1f}", run.commands, faults, ends


def _table(head: Sequence[str], rows: Any) -> str:  # noqa: ANN401 - any iterable of rows
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _some(failures: Sequence[str]) -> list[str]:
    shown = [f"- {each[:300]}" for each in failures[:_SHOWN]]
    if len(failures) > _SHOWN:
        shown.append(f"- ... and {len(failures) - _SHOWN} more, in report.json")
    return ["\n".join(shown)]


def _story(run: Run) -> str:
    """What a person needs who looks into a failed schedule."""
    faults = [json.dumps(dataclasses.asdict(each)) for each in run.faults]
    parts = {
        f"Schedule {run.seed}": run.failures,
        "Faults, in seconds from its beginning": faults,
        "The event log about the commands concerned, and about none": run.evidence,
    }
    return "\n\n".join("\n".join([title, *lines]) for title, lines in parts.items()) + "\n"


def picture(recoveries: Mapping[str, Sequence[float]]) -> str:
    """Draw the recoveries: a point each, a bar at the median, on a logarithmic scale."""
    height = _ROW * len(recoveries) + 70
    drawn = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
            ' font-family="sans-serif" font-size="13">'
        ),
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        '<text x="10" y="22" font-size="15">Recovery by kind of fault, in seconds</text>',
    ]
    drawn += [
        f'<line x1="{_x(tick)}" x2="{_x(tick)}" y1="36" y2="{height - 28}" stroke="#ddd"/>'
        f'<text x="{_x(tick)}" y="{height - 10}" text-anchor="middle">{tick:g}</text>'
        for tick in _TICKS
    ]
    for number, (kind, seconds) in enumerate(recoveries.items()):
        y = 36 + _ROW * number + _ROW // 2
        drawn.append(f'<text x="{_LEFT - 12}" y="{y + 4}" text-anchor="end">{escape(kind)}</text>')
        drawn += [
            f'<circle cx="{_x(each)}" cy="{y}" r="3.5" fill="#2b6cb0" fill-opacity="0.4"/>'
            for each in seconds
        ]
        drawn.append(_bar(median(seconds), y, "#1a202c"))
        if kind in LIMITS:
            drawn.append(_bar(LIMITS[kind], y, "#c53030"))
    drawn.append(
        f'<text x="{_WIDTH - 10}" y="22" text-anchor="end" fill="#555">'
        "dark bar: median; red bar: limit</text></svg>"
    )
    return "\n".join(drawn) + "\n"


def _bar(seconds: float, y: int, colour: str) -> str:
    x = _x(seconds)
    return f'<line x1="{x}" x2="{x}" y1="{y - 9}" y2="{y + 9}" stroke="{colour}" stroke-width="2"/>'


def _x(seconds: float) -> float:
    """Where a duration is in the picture; what is beyond its edges is drawn at them."""
    within = min(max(seconds, _FASTEST), _SLOWEST)
    share = math.log(within / _FASTEST) / math.log(_SLOWEST / _FASTEST)
    return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)
