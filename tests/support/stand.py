"""The built thing on a stand: `courier serve` and `courier simulate`, seen from outside.

Nothing here imports the service: what a stranger's program can do over AMQP, HTTP and the command
line is all that is done.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from tests.support import eventlog, http
from tests.support.canaries import Canaries, Told
from tests.support.wait import until
from tests.support.workflow import Workflow

ROOT = Path(__file__).parents[2]
CONTRACTS = ROOT / "contracts"
STATE = "/page/state"
PAGES = ("/health/live", "/health/ready", "/metrics", "/", STATE)
COURIER = (sys.executable, "-m", "service")
UNCOUNTED = {"COVERAGE_PROCESS_CONFIG": ""}
"""Where nobody counts lines: it takes a third of a start, and the simulator has its own tests."""
Json = dict[str, Any]


class Process:
    """A program of ours and what it has written.

    Attributes:
        written: every line.
        lines: those without the event log's debug lines, which tell no stories.
        strays: processes that belong to no stand, which would look through what they wrote.
    """

    strays: ClassVar[list["Process"]] = []

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self.process = process
        self.name = name
        self.written: list[str] = []
        self.lines: list[str] = []
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls, *arguments: str, env: Mapping[str, str], program: Sequence[str] = COURIER
    ) -> "Process":
        """Start it at the root of the checkout, where a `program` of ours is found, too."""
        process = await asyncio.create_subprocess_exec(
            *program,
            *arguments,
            cwd=ROOT,
            env={**_clean_environment(), **env},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=2**24,
        )
        started = cls(process, f"courier {arguments[0]}")
        cls.strays.append(started)
        return started

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            text = line.decode().rstrip("\n")
            self.written.append(text)
            eventlog.notice(text, self.name)
            if '"level": "debug"' not in text:
                self.lines.append(text)

    def told(self) -> list[Told]:
        """What it wrote; a line of the event log is named by its slug."""
        return [(f"{self.name}, {_slug(line)}", line) for line in self.written]

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(how)
        return await self.ended()

    async def ended(self) -> int:
        """Wait until it ends by itself; what does not end is killed, and the test fails."""
        try:
            async with asyncio.timeout(40):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            raise
        await self._reading
        assert self.process.returncode is not None
        return self.process.returncode


class Service(Process):
    """`courier serve`."""

    def events(self, slug: str, **fields: object) -> list[Json]:
        """The lines of the event log with this slug and these fields."""
        found = [json.loads(line) for line in self.lines if line.startswith("{")]
        return [
            line
            for line in found
            if line["event"] == slug and all(line.get(k) == v for k, v in fields.items())
        ]

    @property
    def http(self) -> str:
        return str(self.events("service-ready")[0]["http"])

    async def pages(self) -> list[Told]:
        """What it shows over HTTP; nothing if it is not up."""
        if self.process.returncode is not None or not self.events("service-ready"):
            return []
        async with http.visit(self.http) as client:
            told = [(page, (await client.get(page)).text) for page in PAGES]
            state = json.loads(dict(told)[STATE]) if "{" in dict(told)[STATE] else {}
            for row in state.get("commands", [])[:10]:
                timeline = f"/page/commands/{row['number']}"
                told.append((timeline, (await client.get(timeline)).text))
            return told


@dataclass
class Appliances:
    """`courier simulate`, with its control page."""

    inventory: Path
    control: str
    process: Process

    async def books(self, name: str) -> Json:
        async with http.visit(self.control) as client:
            return dict((await client.get(f"/books/{name}")).raise_for_status().json())

    async def switches(self, name: str) -> Json:
        """Say how its switches stand."""
        async with http.visit(self.control) as client:
            return dict((await client.get(f"/switches/{name}")).raise_for_status().json())

    async def fault(self, name: str, **rule: object) -> None:
        await self.order("POST", f"/faults/{name}", rule)

    async def order(self, method: str, path: str, body: Json | None = None) -> None:
        """Do what the control page offers."""
        async with http.visit(self.control) as client:
            (await client.request(method, path, json=body)).raise_for_status()

    async def secrets(self) -> list[tuple[str, str]]:
        """Every secret that they had or gave out, with whose it is; none if they are gone."""
        if self.process.process.returncode is not None:
            return []
        async with http.visit(self.control) as client:
            names = [
                each["name"] for each in (await client.get("/appliances")).json()["appliances"]
            ]
            return [
                (f"a secret of {name}", secret)
                for name in names
                for secret in (await client.get(f"/secrets/{name}")).json()["secrets"]
            ]


@dataclass
class Stand:
    """Where a test starts its processes; all of them end with it.

    Then everything that they told is looked through for the secrets that there were: the
    appliances' own, and the licences and files that were sent.

    Attributes:
        canaries: those that were sent; a test may add its own.
        always: settings of every program that is started from now on.
    """

    url: str
    directory: Path
    processes: list[Process] = field(default_factory=list)
    played: list[Appliances] = field(default_factory=list)
    canaries: Canaries = field(default_factory=Canaries)
    always: dict[str, str] = field(default_factory=dict)

    def environment(self, **settings: str) -> dict[str, str]:
        """The settings of a service on this stand."""
        defaults = {
            "BROKER_URL": self.url,
            "APPLIANCES_FILE": str(self.directory / "simulated" / "appliances.toml"),
            "LEDGER_URL": f"sqlite:///{self.directory}/courier.db",
            "HTTP_PORT": "0",
            "RETRY_DELAYS": "1,2",
            "LOG_LEVEL": "DEBUG",
        }
        return {
            f"COURIER_{name}": value for name, value in (defaults | self.always | settings).items()
        }

    async def appliances(self, *options: str) -> Appliances:
        """Play one FortiAuthenticator and one FortiVoice, unless the options say otherwise."""
        directory = self.directory / "simulated"
        process = await Process.start(
            *("simulate", "--directory", str(directory), *options), env=UNCOUNTED
        )
        self._take(process)
        await until(lambda: len(process.lines) >= 3)
        control = process.lines[1].split()[1]
        inventory = directory / "appliances.toml"
        # A write that was not answered is waited for no longer than this.
        text = inventory.read_text().replace("username =", "read_timeout = 1.5\nusername =")
        inventory.write_text(text)
        self.played.append(Appliances(inventory, control, process))
        return self.played[-1]

    async def service(
        self, *, ready: bool = True, program: Sequence[str] = COURIER, **settings: str
    ) -> Service:
        """Start the service and wait until it is ready, unless it is not meant to get there.

        Args:
            program: that is started instead of `courier`; it gets the same word.
        """
        started = await Service.start("serve", env=self.environment(**settings), program=program)
        assert isinstance(started, Service)
        self._take(started)
        if ready:
            await until(
                lambda: started.events("service-ready") or started.process.returncode is not None
            )
            assert started.events("service-ready"), "\n".join(started.lines)
        return started

    async def courier(self, *arguments: str, **settings: str) -> tuple[int, str]:
        """Run a command to its end; exit code and output."""
        process = await Process.start(*arguments, env=self.environment(**settings))
        self._take(process)
        self._note(arguments)
        return await process.ended(), "\n".join(process.lines)

    async def end(self) -> list[Told]:
        """End the services, then the appliances; return everything that was told here."""
        told: list[Told] = []
        for process in reversed(self.processes):
            if isinstance(process, Service):
                told += await process.pages()
                await process.end()
        await self._learn()
        for process in reversed(self.processes):
            await process.end()
            told += process.told()
        for workflow in Workflow.at.pop(self.url, []):
            self.canaries.join(workflow.canaries)
            told += workflow.told()
        return told

    async def _learn(self) -> None:
        """Look for the appliances' secrets."""
        for appliances in self.played:
            for whose, secret in await appliances.secrets():
                self.canaries.add(whose, secret)
        for path in self.directory.glob("simulated/*"):
            if is_secret(path):
                self.canaries.add(f"the secret in {path.name}", path.read_text().strip())

    def _take(self, process: Process) -> None:
        self.processes.append(process)
        Process.strays.remove(process)

    def _note(self, arguments: tuple[str, ...]) -> None:
        """Look for what a command line sends."""
        for text in arguments:
            self.canaries.add_message(text.encode())
            if (file := Path(text)).is_file():
                self.canaries.add_file(file.read_bytes())


@asynccontextmanager
async def standing(url: str, directory: Path) -> AsyncIterator[Stand]:
    stand = Stand(url, directory)
    try:
        yield stand
        told = await stand.end()
    finally:
        for process in reversed(stand.processes):
            await process.end()
    stand.canaries.check(told)


def _slug(line: str) -> str:
    return str(json.loads(line)["event"]) if line.startswith('{"timestamp"') else "a line"


def is_secret(path: Path) -> bool:
    """Tell the files that hold an appliance's password."""
    return path.is_file() and path.suffix not in {".pem", ".toml"}


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("COURIER_")}
