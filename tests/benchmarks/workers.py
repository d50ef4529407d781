"""Who is measured: the service as it is served, with everything on, and its peers."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.benchmarks.processes import Used, let_roam, used
from tests.support.stand import COURIER, ROOT
from tests.support.wait import until

PREFETCH: Final = 50
_PATIENCE: Final = 60.0
_TO_END: Final = 3.0
_PEERS: Final = "tests.benchmarks.peers"


@dataclass(frozen=True)
class Kind:
    """A worker that can be started.

    Attributes:
        enqueues: it has a queue of its own, and puts the commands there itself.
        in_flight: how many commands it is allowed to have at once.
    """

    name: str
    command: tuple[str, ...]
    ready: bytes = b"ready"
    enqueues: bool = False
    in_flight: int = PREFETCH


def _peer(name: str, module: str, in_flight: int, *, enqueues: bool = False) -> Kind:
    command = (sys.executable, "-m", f"{_PEERS}.{module}")
    return Kind(name, command, enqueues=enqueues, in_flight=in_flight)


SERVICE: Final = Kind("service", (*COURIER, "serve"), ready=b'"service-ready"')
BY_HAND: Final = _peer("by hand", "by_hand", PREFETCH)
PEERS: Final = (
    BY_HAND,
    _peer("ceiling", "ceiling", PREFETCH),
    _peer("Dramatiq", "dramatiq_app", PREFETCH, enqueues=True),
    _peer("Celery", "celery_app", PREFETCH, enqueues=True),
    _peer("script", "script", 1),
)


@dataclass(frozen=True)
class Place:
    """Where a worker works.

    Attributes:
        url: its virtual host.
        inventory: the appliances.
        directory: its own, for its log and its ledger.
        ledger: None for SQLite in the directory.
    """

    url: str
    inventory: Path
    directory: Path
    ledger: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    def environment(self, kind: Kind) -> dict[str, str]:
        """What the worker is told."""
        clean = {name: text for name, text in os.environ.items() if not name.startswith("COURIER_")}
        courier = {
            "BROKER_URL": self.url,
            "APPLIANCES_FILE": str(self.inventory),
            "LEDGER_URL": self.ledger or f"sqlite:///{self.directory}/courier.db",
            **SETTINGS,
            "PREFETCH": str(kind.in_flight),
            **self.settings,
        }
        bench = {
            "BROKER_URL": self.url,
            "INVENTORY": str(self.inventory),
            "IN_FLIGHT": str(kind.in_flight),
            "QUEUE": "tasks" if kind.enqueues else "courier.activate-sms-license",
        }
        return (
            clean
            | {f"COURIER_{name}": text for name, text in courier.items()}
            | {f"BENCH_{name}": text for name, text in bench.items()}
        )


SETTINGS: Final = {
    "HTTP_HOST": "127.0.0.1",
    "HTTP_PORT": "0",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "INFO",
    "RETRY_DELAYS": "5,30,120,600",
    "PREFETCH": str(PREFETCH),
}
"""What the service is started with, beside where things are."""


@dataclass
class Worker:
    """A worker that runs.

    Attributes:
        seconds: from its start to ready.
    """

    process: asyncio.subprocess.Process
    seconds: float

    def used(self) -> Used:
        return used([self.process.pid])

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Have it do nothing for a while, and keep its connections."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.process.pid, signal.SIGCONT)


@asynccontextmanager
async def working(kind: Kind, place: Place) -> AsyncIterator[Worker]:
    """Have a worker that is ready."""
    log = place.directory / f"log-{time.monotonic_ns()}"
    began = time.perf_counter()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *kind.command,
            cwd=ROOT,
            env=place.environment(kind),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    let_roam(process.pid)
    try:
        await _ready(kind, process, log)
        yield Worker(process, time.perf_counter() - began)
    finally:
        await _end(process)


async def enqueued(kind: Kind, place: Place, file: Path) -> None:
    """Let a worker's own tool put commands into its own queue."""
    process = await asyncio.create_subprocess_exec(
        *(*kind.command, "enqueue", str(file)), cwd=ROOT, env=place.environment(kind)
    )
    assert await process.wait() == 0, f"{kind.name} could not enqueue"


async def _ready(kind: Kind, process: asyncio.subprocess.Process, log: Path) -> None:
    def is_ready() -> bool:
        assert process.returncode is None, log.read_text()[-2000:]
        return any(kind.ready in line for line in log.read_bytes().splitlines())

    await until(is_ready, patience=_PATIENCE)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End it and what it has started; what was measured is measured, so nobody waits for long."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(_TO_END):
                await process.wait()
