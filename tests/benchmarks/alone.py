"""Row 3: what the service adds to one command that has it for itself."""

import asyncio
import ssl
import time
import tomllib
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from tests.benchmarks.found import Check, Row, Table, middle, quantile
from tests.benchmarks.ground import Ground
from tests.benchmarks.limits import warmed
from tests.benchmarks.load import Load, commands
from tests.benchmarks.scale import Scale
from tests.benchmarks.throughput import ACTIVATE, names

_ROUNDS = 3
_PATH = "/api/v1/fortiguardmessages/"
_ASKED = {"p50": (0.5, 3.0), "p99": (0.99, 10.0)}


@dataclass
class Floor:
    """What nobody can do without: three calls, and a message's way through a quorum queue."""

    session: aiohttp.ClientSession
    auth: aiohttp.BasicAuth
    load: Load
    queue: str
    came: asyncio.Event

    async def calls(self, licence: str) -> float:
        """Balance, activation, balance."""
        began = time.perf_counter()
        for method, body in (("GET", None), ("POST", {"license": licence}), ("GET", None)):
            async with self.session.request(method, _PATH, json=body, auth=self.auth) as answer:
                answer.raise_for_status()
                await answer.read()
        return time.perf_counter() - began

    async def way(self, body: bytes) -> float:
        """Publish until it was confirmed and came out again."""
        self.came.clear()
        properties = Basic.Properties(delivery_mode=2)
        began = time.perf_counter()
        await self.load.confirmed.basic_publish(body, routing_key=self.queue, properties=properties)
        await self.came.wait()
        return time.perf_counter() - began

    async def hear(self, _: DeliveredMessage) -> None:
        self.came.set()


@dataclass(frozen=True)
class Known:
    """An appliance of the inventory, as a client knows it."""

    url: str
    auth: aiohttp.BasicAuth
    tls: ssl.SSLContext


def known(inventory: Path, name: str) -> Known:
    """Read what a client must know."""
    table = tomllib.loads(inventory.read_text())["appliances"][name]
    auth = aiohttp.BasicAuth(table["username"], Path(table["password_file"]).read_text())
    return Known(table["url"], auth, ssl.create_default_context(cafile=table["ca_file"]))


@asynccontextmanager
async def floor(load: Load, at: Known) -> AsyncIterator[Floor]:
    """Be ready to measure it, at an appliance and on the load's broker."""
    connector = aiohttp.TCPConnector(ssl=at.tls)
    async with aiohttp.ClientSession(at.url, connector=connector) as session:
        queue = "benchmarks-floor"
        made = Floor(session, at.auth, load, queue, asyncio.Event())
        hearing = await load.connection.channel(publisher_confirms=False)
        await hearing.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        await hearing.basic_consume(queue, made.hear, no_ack=True)
        yield made


async def alone(ground: Ground, scale: Scale) -> Row:
    """Send one command at a time; measure the floor in turns with it."""
    found: dict[str, list[float]] = defaultdict(list)
    for number in range(min(scale.rounds, _ROUNDS)):
        for what, value in (await _round(ground, scale, f"r{number}")).items():
            found[what].append(value)
    checks = []
    for share, (_, limit) in _ASKED.items():
        for floor_is, asked in (("calls + both ways", limit), ("calls + one way", None)):
            added = [
                whole - floor
                for whole, floor in zip(
                    found[f"command {share}"], found[f"{floor_is} {share}"], strict=True
                )
            ]
            checks.append(Check(f"{share} above {floor_is}", added, asked, "≤", "ms"))
    rows = [
        (what, *(middle(found[f"{what} {share}"], 2) for share in _ASKED))
        for what in ("command", "calls", "way", "calls + one way", "calls + both ways")
    ]
    return Row(
        "3",
        "What is added to one command that is alone",
        f"{scale.samples} activations a round, one at a time, from publishing to the event; in"
        " turns with them the floor: the same three calls by aiohttp, and a message's way:"
        " published, confirmed, through a quorum queue, consumed. A round trip is that way twice:"
        " the command's and the event's.",
        checks,
        [Table("Milliseconds", ("what", *_ASKED), rows)],
    )


async def _round(ground: Ground, scale: Scale, run: str) -> dict[str, float]:
    times: dict[str, list[float]] = defaultdict(list)
    async with (
        ground.appliances(2) as appliances,
        ground.serving(appliances) as (load, _),
        floor(load, known(appliances.inventory, "fac-2")) as bare,
    ):
        await warmed(load, names("fac", 1))
        for number, each in enumerate(commands(ACTIVATE, scale.samples + 20, ["fac-1"], run)):
            whole = await load.one(each)
            calls = await bare.calls(f"FL00-0000-0000-0000-{number:04d}")
            way = await bare.way(each.body)
            if number < 20:
                continue  # connections are opened, code is run for the first time
            times["command"].append(whole)
            times["calls"].append(calls)
            times["way"].append(way)
            times["calls + one way"].append(calls + way)
            times["calls + both ways"].append(calls + 2 * way)
        load.check(len(load.arrivals))
    return {
        f"{what} {share}": quantile(values, of) * 1000
        for what, values in times.items()
        for share, (of, _) in _ASKED.items()
    }
