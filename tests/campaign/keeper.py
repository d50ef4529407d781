"""Keeps the courier running as a supervisor does, breaks it on purpose, reads what it says."""

import asyncio
import json
import os
import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from tests.campaign.hasty import PROGRAM
from tests.support import http
from tests.support.stand import Service
from tests.support.wait import until

Json = dict[str, Any]

WATCHDOG: Final = 75
"""The exit code with which the courier asks for a new start."""
LIBRARY: Final = "faketime/libfaketimeMT.so.1"
_FINDS_OUT: Final = 0.5
_FOREVER: Final = resource.RLIM_INFINITY


def faketime() -> Path | None:
    """The library that shows a program another time, if Debian's package for it is here."""
    return next(iter(sorted(Path("/usr/lib").glob(f"*/{LIBRARY}"))), None)


@dataclass
class Told:
    """What the event log said over a while.

    Attributes:
        lines: those of the event log.
        tracebacks: lines that show an error which nobody caught, and those of no event log.
        parts: what each of several couriers said; none where there is one.
    """

    lines: list[Json] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    parts: "list[Told]" = field(default_factory=list)

    @classmethod
    def together(cls, parts: "list[Told]") -> "Told":
        """Put the event logs of several couriers into one, by time."""
        lines = sorted((each for part in parts for each in part.lines), key=_time)
        return cls(lines, [each for part in parts for each in part.tracebacks], parts)

    def add(self, line: str) -> None:
        """Take one line as it was written."""
        told: Json | None = None
        with suppress(ValueError):
            told = json.loads(line)
        if not isinstance(told, dict) or "event" not in told:
            self.tracebacks.append(line)
            return
        self.lines.append(told)
        if "exception" in told or "Traceback" in line:
            self.tracebacks.append(line)

    def outages(self) -> list[str]:
        """The connections that were lost, or restored, twice in a row: each is told once."""
        if self.parts:
            return [each for part in self.parts for each in part.outages()]
        state: dict[str, str] = {}
        found = []
        for line in self.lines:
            if line["event"] == "service-starting":
                state.clear()
            if line["event"] in {"broker-connection-lost", "broker-connection-restored"}:
                connection = str(line["connection"])
                if state.get(connection) == line["event"]:
                    found.append(f"{line['event']} was told twice in a row for {connection}")
                state[connection] = line["event"]
        return found

    def count(self, slug: str) -> Counter[str]:
        """How often a slug was told, by connection: by the courier that told it most often."""
        if self.parts:
            most: Counter[str] = Counter()
            for part in self.parts:
                most |= part.count(slug)
            return most
        return Counter(str(each.get("connection")) for each in self.lines if each["event"] == slug)

    def about(self, ids: Iterable[str]) -> Iterator[str]:
        """The lines about some commands, and those about none."""
        wanted = set(ids)
        for line in self.lines:
            if line.get("command_id", "") in wanted or "command_id" not in line:
                yield json.dumps(line)


def _time(line: Json) -> str:
    return str(line.get("timestamp"))


class Keeper:
    """The courier's process, one after the other.

    Args:
        environment: its settings.
        directory: where the file with the false time is.
        took: is given every process, to be ended at last.
        inventory: its own file; `COURIER_APPLIANCES_FILE` becomes that.

    Attributes:
        ended: how often it ended itself, by exit code.
        inventory: see above.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        directory: Path,
        took: Callable[[Service], None],
        *,
        inventory: Path,
    ) -> None:
        self.ended: Counter[int] = Counter()
        self.inventory = inventory
        self._environment = {**environment, "COURIER_APPLIANCES_FILE": str(inventory)}
        self._has_clock = False
        self._time = directory / "time"
        self._took = took
        self._process: Service | None = None
        self._watching: asyncio.Task[None] | None = None
        self._read: dict[Service, int] = {}

    @property
    def process(self) -> Service:
        assert self._process is not None, "it was never started"
        return self._process

    async def start(self, *, clock: bool | None = None, supervised: bool = True) -> None:
        """Start it, and start it again whenever it ends itself.

        Args:
            clock: let its clock be set by `set_clock`; as it was before, unless it is given.
            supervised: see above; one that is not is started once.
        """
        if clock is not None:
            self._has_clock = clock
            self.set_clock("+0")
        environment = dict(self._environment)
        if self._has_clock:
            environment |= {
                "LD_PRELOAD": str(faketime()),
                "FAKETIME_TIMESTAMP_FILE": str(self._time),
                "FAKETIME_NO_CACHE": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        started = await Service.start("serve", env=environment, program=PROGRAM)
        assert isinstance(started, Service)
        Service.strays.remove(started)
        self._took(started)
        self._process = started
        self._read[started] = 0
        if supervised:
            self._watching = asyncio.create_task(self._watch(started))

    async def ready(self) -> None:
        """Wait until it consumes."""
        await until(lambda: self.process.events("service-ready"), patience=40)

    async def well(self) -> None:
        """Wait until it says that it is ready, which may take it a while to find out."""
        await asyncio.sleep(_FINDS_OUT)
        while not await self._is_well():  # noqa: ASYNC110  nobody tells of it
            await asyncio.sleep(0.1)

    async def _is_well(self) -> bool:
        if not self.process.events("service-ready"):
            return False
        with suppress(httpx.HTTPError):
            async with http.visit(self.process.http) as client:
                return (await client.get("/health/ready")).status_code == httpx.codes.OK
        return False

    async def _watch(self, started: Service) -> None:
        code = await started.process.wait()
        self.ended[code] += 1
        await asyncio.sleep(0.2)
        await self.start()

    async def end(self, how: signal.Signals) -> None:
        """End it for good: with SIGKILL in its tracks, with SIGTERM in order."""
        await self._leave_alone()
        await self.process.end(how)

    async def refusal(self, seconds: float) -> tuple[int | None, str]:
        """Start it and see it refuse that.

        Args:
            seconds: how long it may think about it.

        Returns:
            Its exit code, None if it did not end; and what it said.
        """
        await self.start()
        await self._leave_alone()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.process.process.wait()
        code = self.process.process.returncode
        await self.process.end(signal.SIGKILL)
        self._read[self.process] = len(self.process.lines)  # one of them is for the terminal
        return code, "\n".join(self.process.lines)

    async def _leave_alone(self) -> None:
        """Do not start it again."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop it in its tracks (SIGSTOP) for as long as the body lasts."""
        process = self.process.process
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """Refuse every byte that it writes to a file, but not to its standard output."""
        pid = self.process.process.pid
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, _FOREVER))
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (_FOREVER, _FOREVER))

    def reload(self) -> None:
        """Let it read its inventory (SIGHUP), unless it is still too young to take the signal."""
        if self.process.process.returncode is None and self.process.events("service-starting"):
            self.process.process.send_signal(signal.SIGHUP)

    def set_clock(self, offset: str) -> None:
        """Set its clock, when it was started for that.

        Args:
            offset: seconds with a sign, from the true time.
        """
        fresh = self._time.with_suffix(".new")
        fresh.write_text(f"{offset}\n")
        fresh.replace(self._time)

    def told(self) -> Told:
        """All that it wrote since the last time."""
        told = Told()
        for process, read in list(self._read.items()):
            for line in process.lines[read:]:
                told.add(line)
            self._read[process] = len(process.lines)
            if process is not self._process:
                del self._read[process]
        return told

    async def close(self) -> None:
        """End it, whatever state it is in."""
        await self._leave_alone()
        if self._process is not None and self._process.process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.process.pid, signal.SIGCONT)
