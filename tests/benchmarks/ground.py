"""What everything is measured on: one broker, appliances, a virtual host for each run."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Final

import aio_pika
import httpx

from service.demo.debian import install_rabbitmq
from service.demo.node import installed_server
from service.topology import declare
from tests.benchmarks.load import Command, Load, loading
from tests.benchmarks.processes import Node, keep_apart, let_roam, used
from tests.benchmarks.workers import PREFETCH, SERVICE, Kind, Place, Worker, enqueued, working
from tests.support.rabbit import Rabbit
from tests.support.stand import ROOT

_DELAYS: Final = (5, 30, 120, 600)
Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Appliances:
    """The appliances of a run."""

    inventory: Path
    control: str
    pid: int

    def counts(self) -> Counts:
        found: Counts = httpx.get(f"{self.control}/counts", trust_env=False).json()
        return found

    def order(self, what: str) -> None:
        """Give an order, such as `hang/fac-1` or `delay/50`."""
        httpx.post(f"{self.control}/{what}", trust_env=False).raise_for_status()


@dataclass(frozen=True)
class Cost:
    """What so many commands took.

    Attributes:
        cores: how much of a core each group of processes used meanwhile.
        megabytes: the worker's memory at the end.
    """

    commands: int
    seconds: float
    cores: dict[str, float]
    megabytes: float

    @property
    def rate(self) -> float:
        return self.commands / self.seconds

    @property
    def cpu_ms(self) -> float:
        """The worker's CPU for a command."""
        return self.cores["worker"] * self.seconds * 1000 / self.commands


@dataclass
class Ground:
    """The broker, and where files are.

    Attributes:
        busiest: the most of their core that appliances and load used together while measured.
    """

    node: Node
    rabbit: Rabbit
    directory: Path
    busiest: float = 0.0
    _numbers: "count[int]" = field(default_factory=count)

    @asynccontextmanager
    async def appliances(
        self,
        fortiauthenticators: int = 10,
        *,
        fortivoices: int = 0,
        devices: int = 100,
        delay: float = 0.0,
    ) -> AsyncIterator[Appliances]:
        """Play some, until the end of the context."""
        directory = self.directory / f"appliances-{next(self._numbers)}"
        options = {
            "directory": directory,
            "fortiauthenticators": fortiauthenticators,
            "fortivoices": fortivoices,
            "devices": devices,
            "delay": delay,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.benchmarks.appliances"),
            *(word for name, value in options.items() for word in (f"--{name}", str(value))),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        keep_apart(process.pid)
        assert process.stdout is not None
        try:
            told = json.loads(await process.stdout.readline())
            played = Appliances(Path(told["inventory"]), told["control"], process.pid)
            yield played
            for name, each in played.counts().items():
                assert each["writes"] == each["added"], f"licences were written twice at {name}"
        finally:
            process.terminate()
            await process.wait()

    @asynccontextmanager
    async def place(
        self, appliances: Appliances, *, ledger: str | None = None
    ) -> AsyncIterator[Place]:
        """Have a virtual host with the service's topology, and a directory."""
        number = next(self._numbers)
        vhost = f"bench-{number}"
        await asyncio.to_thread(self.rabbit.create_vhost, vhost)
        try:
            url = self.rabbit.url_of(vhost)
            async with await aio_pika.connect_robust(url) as connection:
                await declare(connection, _DELAYS)
            directory = self.directory / vhost
            directory.mkdir()
            yield Place(url, appliances.inventory, directory, ledger)
        finally:
            await asyncio.to_thread(self.rabbit.delete_vhost, vhost)

    @asynccontextmanager
    async def serving(
        self, appliances: Appliances, *, prefetch: int = PREFETCH
    ) -> AsyncIterator[tuple[Load, Worker]]:
        """Have a service that has nothing to do yet, on a place of its own."""
        kind = replace(SERVICE, in_flight=prefetch)
        async with (
            self.place(appliances) as place,
            loading(place.url) as load,
            working(kind, place) as worker,
        ):
            yield load, worker

    async def poured(
        self,
        load: Load,
        workers: Sequence[Worker],
        appliances: Appliances,
        wanted: Sequence[Command],
    ) -> Cost:
        """Fill the queue while workers are stopped; measure what they do until it runs short."""
        heard = len(load.arrivals)
        with ExitStack() as stack:
            for each in workers:
                stack.enter_context(each.stopped())
            await load.prefill(wanted)
        await load.heard(heard + len(wanted) // 20)
        cost = await self.measured(load, workers, appliances, heard + len(wanted) * 19 // 20)
        await load.heard(heard + len(wanted))
        return cost

    async def drained(self, kind: Kind, appliances: Appliances, wanted: Sequence[Command]) -> Cost:
        """Start a worker at a full queue; measure what comes after the first tenth."""
        async with self.place(appliances) as place, loading(place.url) as load:
            if kind.enqueues:
                file = self.directory / "commands.jsonl"
                file.write_bytes(b"\n".join(each.body for each in wanted) + b"\n")
                await enqueued(kind, place, file)
            else:
                await load.prefill(wanted)
            async with working(kind, place) as worker:
                warm = len(wanted) // 10
                await load.heard(warm)
                cost = await self.measured(load, [worker], appliances, len(wanted))
            load.check(len(wanted))
            return cost

    async def measured(
        self,
        load: Load,
        workers: Sequence[Worker],
        appliances: Appliances,
        until: int,
    ) -> Cost:
        """Measure from now until so many commands have ended."""
        groups = {
            "worker": [each.process.pid for each in workers],
            "broker": [self.node.pid],
            "appliances": [appliances.pid],
        }
        heard, began = len(load.arrivals), time.perf_counter()
        before = {group: used(roots) for group, roots in groups.items()}
        own = time.process_time()
        await load.heard(until)
        seconds = load.arrivals[until - 1].at - began
        own = time.process_time() - own
        after = {group: used(roots) for group, roots in groups.items()}
        cores = {
            group: (after[group].seconds - before[group].seconds) / seconds for group in groups
        }
        cores["load"] = own / seconds
        self.busiest = max(self.busiest, cores["appliances"] + cores["load"])
        return Cost(until - heard, seconds, cores, after["worker"].megabytes)


@asynccontextmanager
async def ground(directory: Path) -> AsyncIterator[Ground]:
    """Have a broker; this process keeps to the core of the load from then on."""
    # SIGTERM, as a time limit sends it, ends this as Ctrl-C does: with all that was started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if installed_server() is None:
        await install_rabbitmq(print)
    server = installed_server()
    assert server is not None, "Debian's package rabbitmq-server could not be installed"
    async with AsyncExitStack() as stack:
        node = Node(server)
        stack.callback(node.close)
        await asyncio.to_thread(node.start)
        let_roam(node.pid)
        rabbit = Rabbit(node.url, node.api, node)
        stack.callback(rabbit.close)
        keep_apart()
        yield Ground(node, rabbit, directory)
