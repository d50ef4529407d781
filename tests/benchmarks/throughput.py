"""Row 1: how much the whole service does, beside those who do less for it."""

import importlib.util
from collections import defaultdict
from statistics import median

from tests.benchmarks.found import Check, Row, cost_table
from tests.benchmarks.ground import Appliances, Cost, Ground
from tests.benchmarks.load import commands
from tests.benchmarks.scale import Scale
from tests.benchmarks.workers import BY_HAND, PEERS, SERVICE, Kind
from tests.support.stand import ROOT

ACTIVATE = "activate-sms-license"
ASKED = {"by hand": 0.8, "Celery": 1.7, "script": 8.0}
_SLOW = {"script": 0.1, "Celery": 0.5}
"""How much of the work is given to those who would take too long for all of it."""


def names(kind: str, count: int) -> list[str]:
    """The appliances' names: `fac` or `fvc`."""
    return [f"{kind}-{number + 1}" for number in range(count)]


async def activations(
    ground: Ground, kind: Kind, appliances: Appliances, count: int, run: str
) -> Cost:
    """Drain a queue of activations, and see that each licence was written."""
    before = sum(each["writes"] for each in appliances.counts().values())
    wanted = commands(ACTIVATE, count, names("fac", 10), run)
    cost = await ground.drained(kind, appliances, wanted)
    assert count == sum(each["writes"] for each in appliances.counts().values()) - before
    return cost


def peers() -> list[Kind]:
    """Those whose tools are installed."""
    needed = {"ceiling": "uvloop", "Dramatiq": "dramatiq", "Celery": "celery", "script": "requests"}
    return [
        each
        for each in PEERS
        if (ROOT / f"{each.command[-1].replace('.', '/')}.py").exists()
        and importlib.util.find_spec(needed.get(each.name, "httpx_aiohttp"))
    ]


async def throughput(ground: Ground, scale: Scale) -> Row:
    """Let each of them drain the same queue, round after round."""
    kinds = [SERVICE, *peers()]
    costs: dict[str, list[Cost]] = defaultdict(list)
    async with ground.appliances(10) as appliances:
        for number in range(scale.rounds):
            for place, kind in enumerate(kinds):
                count = int(scale.commands * _SLOW.get(kind.name, 1))
                run = f"{number:02d}{place:02d}"
                costs[kind.name].append(await activations(ground, kind, appliances, count, run))
    ours = costs[SERVICE.name]
    checks = [
        Check(
            f"service ÷ {name}",
            [one.rate / other.rate for one, other in zip(ours, found, strict=True)],
            ASKED.get(name),
        )
        for name, found in costs.items()
        if name != SERVICE.name
    ]
    if BY_HAND.name in costs:
        pairs = zip(ours, costs[BY_HAND.name], strict=True)
        ratios = [other.cpu_ms / one.cpu_ms for one, other in pairs]
        checks.append(Check("the same by CPU for a command", ratios))
    return Row(
        "1",
        "The whole service beside others that do the same work",
        f"SMS activations on ten appliances that answer at once, {scale.commands} in the queue"
        " before each worker starts (fewer for Celery and the script); measured from a tenth on,"
        " one worker after the other in each round.",
        checks,
        [cost_table("Drains", costs)],
        series={
            name: [(0, median([each.rate for each in found]))] for name, found in costs.items()
        },
    )


def _rate(found: list[Cost]) -> float:
    return median([each.rate for each in found])
