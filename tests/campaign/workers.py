"""The workers of a campaign: each is a process with a broker of its own, and takes jobs."""

import asyncio
import logging
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.demo.node import PrivateNode, installed_server
from tests.campaign import crashes
from tests.campaign.arena import Arena, arena
from tests.campaign.crashes import Case, CrashResult
from tests.campaign.runs import Run, run
from tests.campaign.schedules import draw
from tests.support.cluster import ClusterRabbit, clustered
from tests.support.rabbit import Rabbit


@dataclass(frozen=True)
class Jobs:
    """What there is to do, for all workers.

    Attributes:
        seeds: of the schedules.
        cases: of the crash matrix.
        discovered: set when all cases are there.
    """

    seeds: "queue.Queue[int]"
    cases: "queue.Queue[Case]"
    discovered: Any  # an Event's proxy, whose class has no public name

    def next(self) -> Case | int | None:
        """Take one; None when nothing is left."""
        while True:
            for some in (self.cases, self.seeds):
                try:
                    return some.get_nowait()
                except queue.Empty:
                    continue
            if self.discovered.is_set() and self.cases.empty():
                return None
            time.sleep(0.2)


@dataclass
class Done:
    """What one worker did."""

    runs: list[Run] = field(default_factory=list)
    crashes: list[CrashResult] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    commands: int
    only: str | None
    without: frozenset[str]
    cluster: bool = False
    replicas: int = 1


def work(number: int, jobs: Jobs, asked: Asked, discover: bool) -> Done:
    """Do jobs until there are none, in a process of its own."""
    # The broker is killed all the time: that is no news.
    for name in ("aio_pika", "aiormq"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    # Whatever ends it, the broker and all that runs here is ended in order.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    server = installed_server()
    assert server is not None, "RabbitMQ is gone"
    try:
        with (
            _broker(server, cluster=asked.cluster) as rabbit,
            tempfile.TemporaryDirectory(prefix="courier-campaign-") as directory,
        ):
            worker = _Worker(number, jobs, asked, rabbit, Path(directory))
            asyncio.run(worker.work(discover=discover))
            return worker.done
    except KeyboardInterrupt:
        os._exit(130)  # the pool would keep the process for more work


@contextmanager
def _broker(server: Path, *, cluster: bool) -> Iterator[Rabbit]:
    """Have a broker: one node, or three, each in a network of its own."""
    if cluster:
        with clustered(server, subnet=f"10.203.{os.getpid() % 256}") as nodes:
            yield ClusterRabbit(nodes)
        return
    node = PrivateNode(server)
    try:
        node.start()
        rabbit = Rabbit(node.url, node.api, node)
        yield rabbit
        rabbit.close()
    finally:
        node.close()


def _end_with(parent: int) -> None:
    """Stop, and end all that was started here, when whoever asked for it is no more."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGINT)


class _Worker:
    """One worker and its arena, which is kept until something goes wrong in it."""

    def __init__(
        self, number: int, jobs: Jobs, asked: Asked, rabbit: Rabbit, directory: Path
    ) -> None:
        self.done = Done()
        self._number = number
        self._jobs = jobs
        self._asked = asked
        self._rabbit = rabbit
        self._cluster = rabbit.cluster if isinstance(rabbit, ClusterRabbit) else None
        self._directory = directory
        self._stack = AsyncExitStack()
        self._arena: Arena | None = None
        self._arenas = 0

    async def work(self, *, discover: bool) -> None:
        try:
            if discover:
                await self._discover()
            while (job := await asyncio.to_thread(self._jobs.next)) is not None:
                if isinstance(job, Case):
                    await self._crash(job)
                else:
                    await self._schedule(job)
        finally:
            await self._leave()

    async def _discover(self) -> None:
        try:
            for case in await crashes.discover(self._rabbit, self._directory):
                self._jobs.cases.put(case)
        except (AssertionError, TimeoutError, OSError) as error:
            self.done.problems.append(f"the crash matrix is not known: {error}")
        self._jobs.discovered.set()

    async def _crash(self, case: Case) -> None:
        began = time.monotonic()
        result = await crashes.run(case, self._rabbit, self._directory)
        self.done.crashes.append(result)
        self._say(f"crash {case}", time.monotonic() - began, list(result.failures))

    async def _schedule(self, seed: int) -> None:
        schedule = draw(
            seed,
            self._asked.commands,
            only=self._asked.only,
            without=self._asked.without,
            cluster=self._asked.cluster,
            replicas=self._asked.replicas,
        )
        if self._arena is None:
            self._arenas += 1
            directory = self._directory / f"arena-{self._arenas}"
            self._arena = await self._stack.enter_async_context(
                arena(self._rabbit, directory, self._cluster, self._asked.replicas)
            )
        result = await run(self._arena, schedule)
        self.done.runs.append(result)
        faults = " ".join(f"{each.kind}({each.variant})" for each in result.faults)
        self._say(f"seed {seed}: {faults}", result.seconds, result.failures)
        if result.failures:
            await self._leave()

    async def _leave(self) -> None:
        """End the arena; what comes next has a new one."""
        self._arena = None
        try:
            await self._stack.aclose()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is to be reported
            self.done.problems.append(f"when all was over: {type(error).__name__}: {error}"[:500])
        if self._cluster is not None:
            await asyncio.to_thread(self._cluster.heal)
            return
        self._rabbit.node.thaw()
        await asyncio.to_thread(self._rabbit.node.start)

    def _say(self, what: str, seconds: float, failures: list[str]) -> None:
        how = f"FAILED {failures[0][:160]}" if failures else "ok"
        sys.stdout.write(f"{self._number}  {seconds:5.1f} s  {what}  {how}\n")
        sys.stdout.flush()
