"""Growth: what a command costs after many others, among many appliances, in an old ledger.

What is compared takes turns, as everywhere: a cost of ten minutes ago is that of another machine.
"""

import asyncio
from collections import defaultdict
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from service.ledger.sqlite_schema import connect, prepare
from tests.benchmarks.found import Check, Row, Table, middle
from tests.benchmarks.ground import Appliances, Cost, Ground
from tests.benchmarks.limits import warmed
from tests.benchmarks.load import Load, commands, loading
from tests.benchmarks.scale import Scale
from tests.benchmarks.throughput import ACTIVATE, names
from tests.benchmarks.workers import SERVICE, Place, Worker, working

Costs = dict[int, list[Cost]]

_FLAT = 1.15
_ROUNDS = 3
_AHEAD = 500
_TEN = names("fac", 10)
_LEDGER = "courier.db"
_ROWS = """
WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :count)
INSERT INTO commands (source, id, type, digest, appliance, correlation_id, intended_at, boot,
    uptime, before, answer, concluded_at, conclusion, data)
SELECT source, printf('%08x-%08x', (n * 2654435761) % 4294967296, n), type, digest,
    printf('fac-%d', 1 + n % 10), correlation_id, intended_at, boot, uptime, before, answer,
    concluded_at, conclusion, data
FROM number, (SELECT * FROM commands WHERE conclusion = 'succeeded' LIMIT 1)
"""


async def by_commands(ground: Ground, scale: Scale) -> Row:
    """Have one service do very many; now and then let it take turns with one that is new."""
    new: Costs = defaultdict(list)
    old: Costs = defaultdict(list)
    async with ground.appliances(10) as appliances, ground.serving(appliances) as (load, worker):
        await warmed(load, _TEN)
        done = 0
        for mark in scale.grown:
            feed = commands(ACTIVATE, mark - done, _TEN, f"feed{mark}")
            await load.closed_loop(feed, _AHEAD)
            async with ground.serving(appliances) as (other_load, other):
                await warmed(other_load, _TEN)
                for number in range(min(scale.rounds, _ROUNDS)):
                    run = f"{mark}-{number}"
                    new[mark].append(
                        await _poured(ground, appliances, other_load, other, f"new{run}", scale)
                    )
                    old[mark].append(
                        await _poured(ground, appliances, load, worker, f"old{run}", scale)
                    )
            done = mark
        load.check(len(load.arrivals))
    ratios = {
        mark: [one.cpu_ms / other.cpu_ms for one, other in zip(old[mark], new[mark], strict=True)]
        for mark in scale.grown
    }
    return _row(
        "commands",
        "the number of commands that a process has done (row 7, second half)",
        "One process that has done as many, in turns with one that has just been started.",
        old,
        ratios,
    )


async def by_appliances(ground: Ground, scale: Scale) -> Row:
    """Spread the same work over more and more appliances."""
    found: Costs = defaultdict(list)
    async with AsyncExitStack() as stack:
        pits = {}
        for count in scale.fleets:
            appliances = await stack.enter_async_context(ground.appliances(count))
            load, worker = await stack.enter_async_context(ground.serving(appliances))
            fleet = names("fac", count)
            await warmed(load, fleet)
            # A connection of its own for a write is opened at the first one.
            await load.closed_loop(commands(ACTIVATE, count, fleet, "first"), 50)
            pits[count] = (appliances, load, worker, fleet)
        for number in range(min(scale.rounds, _ROUNDS)):
            for count, (appliances, load, worker, fleet) in pits.items():
                wanted = commands(ACTIVATE, scale.commands // 2, fleet, f"many{number}")
                found[count].append(await ground.poured(load, [worker], appliances, wanted))
        for _, load, _, _ in pits.values():
            load.check(len(load.arrivals))
    return _row(
        "appliances",
        "the number of appliances",
        f"{scale.commands // 2} activations a round, over as many appliances, each with a session;"
        f" as a ratio to those at {len(_TEN)}. At a single one commands take turns, and those that"
        " would wait for long go back to the broker, which costs as well.",
        found,
        _beside(found, len(_TEN)),
    )


async def by_ledger(ground: Ground, scale: Scale) -> Row:
    """Begin with a ledger that has seen more and more."""
    found: Costs = defaultdict(list)
    async with AsyncExitStack() as stack:
        appliances = await stack.enter_async_context(ground.appliances(10))
        pits: dict[int, tuple[Place, Load]] = {}
        for count in scale.ledgers:
            place = await stack.enter_async_context(ground.place(appliances))
            load = await stack.enter_async_context(loading(place.url))
            # This one makes the ledger, and an entry as the others are to be.
            async with working(SERVICE, place):
                await load.closed_loop(commands(ACTIVATE, 1, _TEN, f"entry{count}"), 1)
            await asyncio.to_thread(fill, place.directory / _LEDGER, count)
            pits[count] = (place, load)
        for number in range(min(scale.rounds, _ROUNDS)):
            for count, (place, load) in pits.items():
                async with working(SERVICE, place) as worker:
                    await warmed(load, _TEN, f"warm{number}")
                    run = f"ledger{count}-{number}"
                    cost = await _poured(ground, appliances, load, worker, run, scale)
                    found[count].append(cost)
        for _, load in pits.values():
            load.check(len(load.arrivals))
    return _row(
        "rows",
        "the number of rows in the ledger",
        "The ledger, in SQLite, filled beforehand with copies of the entry that a real activation"
        " left; a service is started at each in turn.",
        found,
        _beside(found, scale.ledgers[0]),
    )


def fill(path: Path, count: int) -> None:
    """Let a ledger have seen this many."""
    connection = connect(path)
    try:
        prepare(connection, path)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(_ROWS, {"count": count})
        (found,) = connection.execute("SELECT count(*) FROM commands").fetchone()
        assert found == count + 1, found
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


async def _poured(
    ground: Ground, appliances: Appliances, load: Load, worker: Worker, run: str, scale: Scale
) -> Cost:
    wanted = commands(ACTIVATE, scale.commands // 2, _TEN, run)
    return await ground.poured(load, [worker], appliances, wanted)


def _beside(found: Costs, base: int) -> dict[int, list[float]]:
    return {
        at: [one.cpu_ms / other.cpu_ms for one, other in zip(costs, found[base], strict=True)]
        for at, costs in found.items()
    }


def _row(what: str, title: str, method: str, found: Costs, ratios: dict[int, list[float]]) -> Row:
    memory = [f"{median([each.megabytes for each in costs]):.0f}" for costs in found.values()]
    rows = [
        (
            f"{at:,}",
            middle(ratios[at], 2),
            middle([each.cpu_ms for each in costs], 2),
            middle([each.rate for each in costs], 0),
            mine,
        )
        for (at, costs), mine in zip(found.items(), memory, strict=True)
    ]
    columns = (what, "CPU, as a ratio", "CPU ms/command", "commands/s", "memory, MB")
    last = max(found)
    return Row(
        f"growth: {what}",
        f"Cost of a command with {title}",
        f"{method} Flat is what costs no more than {_FLAT:g} times as much at the end.",
        [Check(f"CPU for a command at {last:,} {what}, as a ratio", ratios[last], _FLAT, "≤")],
        [Table("On the way", columns, rows)],
        series={what: [(at, median(values)) for at, values in ratios.items()]},
    )
