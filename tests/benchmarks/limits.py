"""Rows 2 and 6: what slow appliances allow, and what one that hangs takes from the others."""

from collections import defaultdict
from statistics import median

from tests.benchmarks.found import Check, Row, cost_table
from tests.benchmarks.ground import Appliances, Cost, Ground
from tests.benchmarks.load import Arrival, Load, commands
from tests.benchmarks.scale import Scale
from tests.benchmarks.throughput import ACTIVATE, names
from tests.benchmarks.workers import BY_HAND

BALANCE = "query-sms-balance"
_DELAY = 50.0
_FLEET = 100
_IN_FLIGHT = (10, 25, 50)
_CALLS = {BALANCE: 1, ACTIVATE: 3}
_ALONE = 20
_ROUNDS = 3
_OTHERS = 49


async def warmed(load: Load, appliances: list[str], run: str = "warm") -> None:
    """Have a session at each appliance, and both kinds of code run once."""
    await load.closed_loop(commands(BALANCE, 2 * len(appliances), appliances, run), 50)


async def in_flight(ground: Ground, scale: Scale) -> Row:
    """Compare with limit ÷ time of a command that is alone, at appliances that take 50 ms."""
    shares: dict[str, list[float]] = defaultdict(list)
    costs: dict[str, list[Cost]] = defaultdict(list)
    async with ground.appliances(_FLEET, delay=_DELAY) as appliances:
        fleet = names("fac", _FLEET)
        for number in range(min(scale.rounds, _ROUNDS)):
            for limit in _IN_FLIGHT:
                async with ground.serving(appliances, prefetch=limit) as (load, worker):
                    await warmed(load, fleet)
                    for kind, calls in _CALLS.items():
                        what = f"{kind}, {limit} in flight"
                        run = f"{what}, {number}"
                        alone = await _alone(load, kind, fleet, f"alone, {run}")
                        count = scale.commands * limit // (_IN_FLIGHT[-1] * calls) + limit * 4
                        wanted = commands(kind, count, fleet, run)
                        cost = await ground.poured(load, [worker], appliances, wanted)
                        costs[what].append(cost)
                        shares[what].append(cost.rate * alone / limit)
                    load.check(len(load.arrivals))
            reference = f"{ACTIVATE}, {BY_HAND.in_flight} in flight, by hand"
            wanted = commands(ACTIVATE, scale.commands // 2, fleet, f"{reference}, {number}")
            costs[reference].append(await ground.drained(BY_HAND, appliances, wanted))
    return Row(
        "2",
        "Slow appliances: what the limit of commands in flight allows",
        f"{_FLEET} appliances that answer after {_DELAY:.0f} ms, `COURIER_PREFETCH` commands in"
        f" flight; the time of a command is the median of {_ALONE} that were alone, from sending"
        " to event, in the same process just before.",
        [Check(f"{what}: of limit ÷ time", values, 0.95) for what, values in shares.items()],
        [cost_table("Poured out", costs)],
        "A limit that is worth more commands than a core can do is not reached: the worker's cores"
        " tell which of the two was the limit. The worker by hand is there for comparison.",
    )


async def _alone(load: Load, kind: str, fleet: list[str], run: str) -> float:
    times = [await load.one(each) for each in commands(kind, _ALONE, fleet, run)]
    return median(times)


async def hung(ground: Ground, scale: Scale) -> Row:
    """Compare what 49 appliances get done, with and without a fiftieth that hangs."""
    found: dict[tuple[str, bool], list[float]] = defaultdict(list)
    async with ground.appliances(_OTHERS + 1, delay=_DELAY) as appliances:
        for number in range(min(scale.rounds, _ROUNDS)):
            for kind in (BALANCE, ACTIVATE):
                for hangs in (False, True):
                    run = f"{number}{kind[0]}{hangs:d}"
                    rate = await _others(ground, appliances, kind, run, scale.commands, hangs=hangs)
                    found[kind, hangs].append(rate)
    checks = []
    for kind in (BALANCE, ACTIVATE):
        pairs = list(zip(found[kind, False], found[kind, True], strict=True))
        checks += [
            Check(f"{kind}: one hangs ÷ all well", [two / one for one, two in pairs], 0.95),
            Check(f"{kind}: all well", [one for one, _ in pairs], unit="/s"),
        ]
    return Row(
        "6",
        "One appliance of fifty hangs: the others' throughput",
        f"Fifty appliances that answer after {_DELAY:.0f} ms, {scale.commands} commands poured out"
        " over them in turns; one takes requests and never answers. Counted are the ends of the"
        " other 49's commands, between a fifth and nineteen twentieths of them.",
        checks,
    )


async def _others(
    ground: Ground, appliances: Appliances, kind: str, run: str, count: int, *, hangs: bool
) -> float:
    fleet = names("fac", _OTHERS + 1)
    async with ground.serving(appliances) as (load, _):
        await warmed(load, fleet)
        warm = len(load.arrivals)
        if hangs:
            appliances.order("hang/fac-1")
        try:
            wanted = commands(kind, count, fleet, run)
            others = {each.id for place, each in enumerate(wanted) if place % len(fleet)}
            await load.prefill(wanted)
            await load.heard(warm + len(others))
            ends = [each for each in load.arrivals[warm:] if each.id in others]
            while len(ends) < len(others) * 19 // 20:
                await load.heard(len(load.arrivals) + 1)
                ends = [each for each in load.arrivals[warm:] if each.id in others]
        finally:
            appliances.order("heal/fac-1")
    return pace(ends, len(others))


def pace(ends: list[Arrival], count: int) -> float:
    """Ends a second, between a fifth and nineteen twentieths of the commands."""
    first, last = count // 5, count * 19 // 20 - 1
    return (last - first) / (ends[last].at - ends[first].at)
