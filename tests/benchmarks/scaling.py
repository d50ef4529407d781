"""Rows 7 and 8: two processes, and a start."""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.benchmarks.found import Check, Row, cost_table
from tests.benchmarks.ground import Cost, Ground
from tests.benchmarks.limits import warmed
from tests.benchmarks.load import commands, loading
from tests.benchmarks.scale import Scale
from tests.benchmarks.throughput import ACTIVATE, names
from tests.benchmarks.workers import SERVICE, working
from tests.support.postgres import PrivatePostgres

_FLEET = 100
_DELAY = 50.0
_ROUNDS = 3
_CORES = 4
"""Two workers, the broker, and one for appliances, load and database."""
_TOO_FEW = (
    f"This machine has {os.cpu_count()} cores, and they carry the broker, the database, the"
    " appliances and the load as well: two processes have no room here, so nothing is asked of the"
    f" ratio with fewer than {_CORES}."
)


@asynccontextmanager
async def _postgres() -> AsyncIterator[PrivatePostgres]:
    """Have a server that writes through to the disk, as one in use does."""
    server = await asyncio.to_thread(PrivatePostgres, {"fsync": "on"})
    try:
        await asyncio.to_thread(server.start)
        yield server
    finally:
        await asyncio.to_thread(server.close)


async def processes(ground: Ground, scale: Scale) -> Row:
    """Let one and two processes share a ledger in PostgreSQL."""
    costs: dict[str, list[Cost]] = defaultdict(list)
    async with _postgres() as server, ground.appliances(_FLEET, delay=_DELAY) as appliances:
        place = await asyncio.to_thread(server.database)
        name = place.url.get_secret_value().partition("@/")[2].partition("?")[0]
        async with (
            ground.place(appliances, ledger=server.url(name)) as where,
            loading(where.url) as load,
        ):
            for number in range(min(scale.rounds, _ROUNDS)):
                for count in (1, 2):
                    async with AsyncExitStack() as stack:
                        workers = [
                            await stack.enter_async_context(working(SERVICE, where))
                            for _ in range(count)
                        ]
                        run = f"{number}{count}p"
                        await warmed(load, names("fac", _FLEET), f"{run}w")
                        wanted = commands(ACTIVATE, scale.commands, names("fac", _FLEET), run)
                        what = f"{count} in PostgreSQL"
                        cost = await ground.poured(load, workers, appliances, wanted)
                        costs[what].append(cost)
            load.check(len(load.arrivals))
    pairs = list(zip(*costs.values(), strict=True))
    enough = (os.cpu_count() or 1) >= _CORES
    return Row(
        "7",
        "Two processes beside one",
        f"Activations at {_FLEET} appliances that answer after {_DELAY:.0f} ms; the ledger in"
        " PostgreSQL for both, written through to the disk.",
        [
            Check(
                "two processes ÷ one",
                [two.rate / one.rate for one, two in pairs],
                1.7 if enough else None,
            ),
            Check("CPU for a command: two ÷ one", [two.cpu_ms / one.cpu_ms for one, two in pairs]),
        ],
        [cost_table("Poured out", costs)],
        "" if enough else _TOO_FEW,
    )


async def starts(ground: Ground, scale: Scale) -> Row:
    """Start it again and again, and let it sit."""
    seconds, resident = [], []
    async with ground.appliances(10, fortivoices=10) as appliances:
        for _ in range(scale.starts):
            async with ground.place(appliances) as place, working(SERVICE, place) as worker:
                seconds.append(worker.seconds)
        for _ in range(min(scale.rounds, _ROUNDS)):
            async with ground.place(appliances) as place, working(SERVICE, place) as worker:
                await asyncio.sleep(scale.idle)
                resident.append(worker.used().megabytes * 1e6 / 2**20)
    return Row(
        "8",
        "Start, and idle memory",
        f"{scale.starts} starts of `courier serve` with the broker up and its topology there, from"
        f" spawning to `service-ready`; resident memory {scale.idle:.0f} s later, twenty appliances"
        " in the inventory and nothing to do.",
        [
            Check("start to ready", seconds, 2.0, "≤", "s"),
            Check("idle memory", resident, 90.0, "≤", "MiB"),
        ],
    )
