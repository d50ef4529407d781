"""Growth: what a command costs after many others, among many appliances, in an old ledger."""

import asyncio
import sqlite3
from pathlib import Path

from service.ledger.sqlite_schema import connect, prepare
from tests.benchmarks.found import Check, Row, Table
from tests.benchmarks.ground import Cost, Ground
from tests.benchmarks.limits import warmed
from tests.benchmarks.load import commands, loading
from tests.benchmarks.scale import Scale
from tests.benchmarks.throughput import ACTIVATE, names
from tests.benchmarks.workers import SERVICE, working

_FLAT = 1.15
"""The last cost over the first: what varies by itself between two windows is let through."""
_AHEAD = 500
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
    """Have one service do very many, and look at the cost on the way."""
    found: dict[float, Cost] = {}
    async with ground.appliances(10) as appliances, ground.serving(appliances) as (load, worker):
        await warmed(load, names("fac", 10))
        warm = len(load.arrivals)
        wanted = commands(ACTIVATE, scale.grown[-1], names("fac", 10), "grow")
        working_on = asyncio.create_task(load.closed_loop(wanted, _AHEAD))
        for mark in scale.grown:
            found[mark] = await ground.measured(load, [worker], appliances, warm + mark)
        await working_on
        load.check(len(load.arrivals))
    return _row(
        "growth: commands",
        "commands",
        found,
        (
            f"Activations at ten appliances in one process, {_AHEAD} in the queue at all times;"
            " each window begins where the last one ended."
        ),
    )


async def by_appliances(ground: Ground, scale: Scale) -> Row:
    """Spread the same work over more and more appliances."""
    found: dict[float, Cost] = {}
    for count in scale.fleets:
        async with ground.appliances(count) as appliances, ground.serving(appliances) as served:
            load, worker = served
            fleet = names("fac", count)
            await warmed(load, fleet)
            wanted = commands(ACTIVATE, max(scale.commands, 2 * count), fleet, "many")
            found[count] = await ground.poured(load, [worker], appliances, wanted)
            load.check(len(load.arrivals))
    return _row(
        "growth: appliances",
        "appliances",
        found,
        (f"{scale.commands} activations at as many appliances, each with a session already."),
    )


async def by_ledger(ground: Ground, scale: Scale) -> Row:
    """Begin with a ledger that has seen more and more."""
    found: dict[float, Cost] = {}
    async with ground.appliances(10) as appliances:
        for count in scale.ledgers:
            async with ground.place(appliances) as place, loading(place.url) as load:
                fleet = names("fac", 10)
                # The first service makes the ledger, and an entry as the others are to be.
                async with working(SERVICE, place):
                    await load.closed_loop(commands(ACTIVATE, 1, fleet, f"a{count}"), 1)
                await asyncio.to_thread(fill, place.directory / _LEDGER, count)
                async with working(SERVICE, place) as worker:
                    await warmed(load, fleet)
                    wanted = commands(ACTIVATE, scale.commands, fleet, f"b{count}")
                    found[count] = await ground.poured(load, [worker], appliances, wanted)
                load.check(len(load.arrivals))
    return _row(
        "growth: ledger",
        "rows",
        found,
        (
            f"{scale.commands} activations at ten appliances; the ledger, in SQLite, filled"
            " beforehand with copies of an entry that a real activation left."
        ),
    )


def fill(path: Path, count: int) -> None:
    """Let a ledger have seen this many."""
    connection = connect(path)
    prepare(connection, path)
    connection.execute("PRAGMA synchronous = OFF")
    try:
        with connection:
            connection.execute(_ROWS, {"count": count})
        (found,) = connection.execute("SELECT count(*) FROM commands").fetchone()
        assert found == count + 1, found
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise AssertionError(f"{path} could not be filled: {error}") from error
    finally:
        connection.close()


def _row(key: str, what: str, found: dict[float, Cost], method: str) -> Row:
    costs = list(found.values())
    points = [(at, cost.cpu_ms) for at, cost in found.items()]
    return Row(
        key,
        f"Cost of a command with the number of {what}",
        method,
        [
            Check(
                "CPU for a command: last ÷ first", [costs[-1].cpu_ms / costs[0].cpu_ms], _FLAT, "≤"
            ),
            Check("memory: last - first", [costs[-1].megabytes - costs[0].megabytes], unit="MB"),
        ],
        [
            Table(
                "On the way",
                (what, "CPU ms/command", "commands/s", "memory, MB"),
                [
                    (
                        f"{at:,.0f}",
                        f"{cost.cpu_ms:.2f}",
                        f"{cost.rate:.0f}",
                        f"{cost.megabytes:.0f}",
                    )
                    for at, cost in found.items()
                ],
            )
        ],
        series={what: points},
    )
