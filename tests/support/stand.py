"""The built thing on a stand: `courier serve` and `courier simulate`, seen from outside.

Nothing here imports the service: what a stranger's program can do over AMQP, HTTP and the command
line is all that is done.
"""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from tests.support.wait import until

CONTRACTS = Path(__file__).parents[2] / "contracts"
WHOLE_LICENCE = re.compile(r"\b(?:[A-Z0-9]{4}-){4}[A-Z0-9]{4}\b")
COURIER = (sys.executable, "-m", "service")
Json = dict[str, Any]


class Process:
    """A program of ours and what it has written, line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, *arguments: str, env: Mapping[str, str]) -> "Process":
        return cls(
            await asyncio.create_subprocess_exec(
                *COURIER,
                *arguments,
                env={**_clean_environment(), **env},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=2**24,
            )
        )

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().rstrip("\n"))

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


@dataclass
class Appliances:
    """`courier simulate`, with its control page."""

    inventory: Path
    control: str
    process: Process

    async def books(self, name: str) -> Json:
        async with httpx.AsyncClient(base_url=self.control) as client:
            return dict((await client.get(f"/books/{name}")).raise_for_status().json())

    async def fault(self, name: str, **rule: object) -> None:
        async with httpx.AsyncClient(base_url=self.control) as client:
            (await client.post(f"/faults/{name}", json=rule)).raise_for_status()


@dataclass
class Stand:
    """Where a test starts its processes; all of them end with it."""

    url: str
    directory: Path
    processes: list[Process] = field(default_factory=list)
    services: int = 0

    def environment(self, **settings: str) -> dict[str, str]:
        """The settings of a service on this stand."""
        defaults = {
            "BROKER_URL": self.url,
            "APPLIANCES_FILE": str(self.directory / "simulated" / "appliances.toml"),
            "LEDGER_URL": f"sqlite:///{self.directory}/courier.db",
            "HTTP_PORT": "0",
            "RETRY_DELAYS": "1,2",
        }
        return {f"COURIER_{name}": value for name, value in (defaults | settings).items()}

    async def appliances(self, *options: str) -> Appliances:
        """Play one FortiAuthenticator and one FortiVoice, unless the options say otherwise."""
        directory = self.directory / "simulated"
        process = await Process.start("simulate", "--directory", str(directory), *options, env={})
        self.processes.append(process)
        await until(lambda: len(process.lines) >= 3)
        control = process.lines[1].split()[1]
        inventory = directory / "appliances.toml"
        # A write that was not answered is waited for no longer than this.
        text = inventory.read_text().replace("username =", "read_timeout = 1.5\nusername =")
        inventory.write_text(text)
        return Appliances(inventory, control, process)

    async def service(self, *, ready: bool = True, **settings: str) -> Service:
        """Start the service and wait until it is ready, unless it is not meant to get there."""
        started = await Service.start("serve", env=self.environment(**settings))
        assert isinstance(started, Service)
        self.processes.append(started)
        if ready:
            await until(
                lambda: started.events("service-ready") or started.process.returncode is not None
            )
            assert started.events("service-ready"), "\n".join(started.lines)
        return started

    async def courier(self, *arguments: str, **settings: str) -> tuple[int, str]:
        """Run a command to its end; exit code and output."""
        process = await Process.start(*arguments, env=self.environment(**settings))
        return await process.ended(), "\n".join(process.lines)


@asynccontextmanager
async def standing(url: str, directory: Path) -> AsyncIterator[Stand]:
    stand = Stand(url, directory)
    try:
        yield stand
    finally:
        for process in reversed(stand.processes):
            await process.end()
    for process in stand.processes:
        if isinstance(process, Service):
            check_event_log(process.lines, directory)


def check_event_log(lines: list[str], directory: Path) -> None:
    """Hold every line against the contract, and look for what nobody may be told."""
    schema = json.loads((CONTRACTS / "event-log" / "v1.schema.json").read_text())
    validator = Draft202012Validator(schema)
    secrets = [
        path.read_text().strip() for path in directory.glob("simulated/*") if is_secret(path)
    ]
    for line in lines:
        if not line.startswith("{"):
            continue
        told = json.loads(line)
        validator.validate(told)
        assert told["event"] in schema["$defs"], f"{told['event']} is no documented slug"
        assert not WHOLE_LICENCE.search(line), line
        assert not [secret for secret in secrets if secret in line], line


def is_secret(path: Path) -> bool:
    """Tell the files that hold an appliance's password."""
    return path.is_file() and path.suffix not in {".pem", ".toml"}


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("COURIER_")}
