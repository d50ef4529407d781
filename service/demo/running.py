"""The service as a process of its own, as a supervisor has it, and what it has told so far."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from service.messages.wire import Json

START_TIMEOUT = 30.0
STOP_TIMEOUT = 30.0
_READY = "service-ready"


@dataclass(frozen=True)
class Line:
    """One line of the service's event log."""

    fields: dict[str, Json]

    @property
    def event(self) -> str:
        """The slug."""
        return str(self.fields["event"])


class RunningService:
    """The service's process.

    Attributes:
        exit_code: once it was stopped.
        lines: its event log.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Begin to read its event log."""
        self._process = process
        self.exit_code: int | None = None
        self.lines: list[Line] = []
        self.ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @property
    def http(self) -> str:
        """Where it answers over HTTP, once it is ready."""
        return str(next(line.fields["http"] for line in self.lines if line.event == _READY))

    async def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  opened with a pipe
        async for raw in self._process.stdout:
            line = Line(json.loads(raw))
            self.lines.append(line)
            if line.event == _READY:
                self.ready.set()

    async def wait_ready(self) -> bool:
        """Wait until it consumes, or ends before that."""
        ready = asyncio.create_task(self.ready.wait())
        await asyncio.wait(
            [ready, self._reading], timeout=START_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
        )
        ready.cancel()
        return self.ready.is_set()

    async def ended(self) -> None:
        """Wait until it ends by itself."""
        await self._process.wait()

    async def stop(self) -> None:
        """Stop it as a supervisor would."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading
        self.exit_code = self._process.returncode


@asynccontextmanager
async def running_service(environment: Mapping[str, str]) -> AsyncIterator[RunningService]:
    """Run the service for as long as the context lasts; a Ctrl-C reaches it through us only.

    Args:
        environment: its settings; of ours it gets all that is no setting.
    """
    others = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "serve"),
        env={**others, **environment},
        stdout=asyncio.subprocess.PIPE,
        limit=2**22,
        start_new_session=True,
    )
    service = RunningService(process)
    try:
        yield service
    finally:
        await asyncio.shield(asyncio.create_task(service.stop()))
