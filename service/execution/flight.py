"""Work in tasks that no delivery owns.

A lost broker connection cancels the handler of every delivery in the middle of whatever it awaits
(measured with FastStream 0.7.8). So a delivery only waits for the work: a redelivery of the same
command joins it instead of starting it again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from service.errors import Reason, Rejection
from service.execution.plans import PLANS
from service.messages.wire import now
from service.telemetry import log, traces

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from service.execution import Execution, Received, Retry
    from service.messages.encode import Event
    from service.telemetry.traces import Place

    Begin: TypeAlias = Callable[[Received], Coroutine[None, None, Event | Retry]]

OVERDUE = 300.0
"""Seconds for which a command may be run past its time: longer than any honest delivery takes."""
STREAM_OVERDUE = 3600.0
"""The same for a streamed list, which is read to its end once it was begun."""


@dataclass(frozen=True)
class _Flight:
    command_type: str
    digest: str
    task: asyncio.Task[Event | Retry]
    late_at: float
    span: Place | None


class Flights:
    """The commands that are being run in this process, by source and id.

    Args:
        execution: runs them.
        grace: seconds past its time after which a command counts as hung; streams have more.
    """

    def __init__(self, execution: Execution, *, grace: float = OVERDUE) -> None:
        """Start empty."""
        self._execution = execution
        self._grace = grace
        self._flights: dict[tuple[str, str], _Flight] = {}

    @property
    def idle_reason(self) -> str | None:
        """Tell when a command does not come to its end; None when all do."""
        at = asyncio.get_running_loop().time()
        late = any(flight.late_at < at for flight in self._flights.values())
        return "command-overdue" if late else None

    @property
    def running(self) -> Counter[str]:
        """Count the commands that are being run, by type."""
        return Counter(flight.command_type for flight in self._flights.values())

    async def settle(self, received: Received) -> Event | Retry:
        """Run a command, or join the run that is under way. See `Execution.settle`."""
        return await self._join(received, self._execution.settle)

    async def give_up(self, received: Received, *, broken: bool = False) -> Event | Retry:
        """End a command that must not be run again; one that is being run may still end well."""
        return await self._join(received, partial(self._execution.give_up, broken=broken))

    async def _join(self, received: Received, begin: Begin) -> Event | Retry:
        key, digest = received.command.key, received.command.digest
        flight = self._flights.get(key)
        if flight is None:
            # In seconds: some deadlines are the last instant that a calendar has.
            left = max(0.0, (self._execution.deadline(received) - now()).total_seconds())
            data = received.command.data
            grace = STREAM_OVERDUE if PLANS[type(data)].streams(data) else self._grace
            late_at = asyncio.get_running_loop().time() + left + grace
            task = asyncio.create_task(self._guarded(received, begin))
            flight = self._flights[key] = _Flight(
                received.command.envelope.type, digest, task, late_at, traces.here()
            )
            task.add_done_callback(lambda done: self._landed(key, done))
        elif flight.digest != digest:
            raise Rejection(Reason.ID_CONFLICT, [("/id", "was used for another command before")])
        else:
            log.info("command-joined")
            traces.link(flight.span)
        return await asyncio.shield(flight.task)

    async def _guarded(self, received: Received, begin: Begin) -> Event | Retry:
        """Run a command; one that a bug interrupts ends as well: run again, it would fail again."""
        try:
            return await begin(received)
        except Rejection:
            raise
        except Exception:  # noqa: BLE001  a bug must not bring the command back without an end
            log.exception("internal-error")
            return await self._execution.give_up(received, broken=True)

    async def drain(self, seconds: float) -> None:
        """Wait for what is under way, but no longer than that; what is left then is cut short."""
        tasks = [flight.task for flight in self._flights.values()]
        if not tasks:
            return
        _, left = await asyncio.wait(tasks, timeout=seconds)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _landed(self, key: tuple[str, str], task: asyncio.Task[Event | Retry]) -> None:
        del self._flights[key]
        if not task.cancelled():
            task.exception()  # its delivery may be gone; the redelivery will ask again
