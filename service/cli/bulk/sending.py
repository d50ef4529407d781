"""Sends the rows that have no end yet: so many a second, so many unanswered at a time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from aio_pika.exceptions import AMQPError

from service.client import Client
from service.errors import ConfigurationError
from service.topology.connection import told_to_stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.cli.bulk import Bulk
    from service.cli.bulk.results import Results
    from service.cli.bulk.rows import Row
    from service.settings import Settings

    Show = Callable[[Row, str | None], None]

_PAUSE = 1.0
"""Seconds between two tries to publish while the broker is away."""


async def send_all(
    settings: Settings, pending: list[tuple[Row, int]], results: Results, bulk: Bulk, show: Show
) -> None:
    """Send rows and write down their ends; returns when each has one, or had its time.

    An answer that comes too late for its own row is still written down while others are waited for.

    Args:
        settings: say where the broker is.
        pending: rows with the number of the attempt.
        results: where ends are written down.
        bulk: pace and patience.
        show: is told each row's conclusion, or None when its time is over.

    Raises:
        ConfigurationError: the broker cannot be used, or has no queue for the command.
    """
    if not pending:
        return
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(bulk.timeout):
                client = await stack.enter_async_context(Client.opened(settings))
        except TimeoutError:
            raise ConfigurationError(
                f"the broker does not answer within {bulk.timeout:g} s; nothing was sent"
            ) from None
        try:
            await _Sending(client, results, bulk, show).run(pending)
        except* ConfigurationError as errors:
            raise ConfigurationError(str(errors.exceptions[0])) from None
        except* OSError as errors:
            raise ConfigurationError(
                f"{errors.exceptions[0]}: the results cannot be written down; nothing is done twice"
                " when this is run again"
            ) from None


class _Sending:
    def __init__(self, client: Client, results: Results, bulk: Bulk, show: Show) -> None:
        self._client = client
        self._results = results
        self._bulk = bulk
        self._show = show
        self._slots = asyncio.Semaphore(bulk.in_flight)

    async def run(self, pending: list[tuple[Row, int]]) -> None:
        """Begin a row when its turn has come; wait for all."""
        loop = asyncio.get_running_loop()
        turn = loop.time()
        late: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            for row, attempt in pending:
                await self._slots.acquire()
                await asyncio.sleep(turn - loop.time())
                turn = max(turn, loop.time()) + 1 / self._bulk.rate
                group.create_task(self._one(row, attempt, late))
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _one(self, row: Row, attempt: int, late: set[asyncio.Task[None]]) -> None:
        self._results.begin(row, attempt)
        asking = asyncio.create_task(self._ask(row, attempt))
        try:
            done, _ = await asyncio.wait([asking], timeout=self._bulk.timeout)
        except asyncio.CancelledError:
            asking.cancel()
            raise
        finally:
            self._slots.release()
        if done:
            await asking
        else:
            late.add(asking)
            self._show(row, None)

    async def _ask(self, row: Row, attempt: int) -> None:
        answer = await self._answer(row, attempt)
        try:
            conclusion = self._results.finish(row, attempt, answer)
        except ValueError:
            raise ConfigurationError(
                f"line {row.line}: this courier cannot read the answer; is the service newer?"
            ) from None
        self._show(row, conclusion)

    async def _answer(self, row: Row, attempt: int) -> bytes:
        """Publish until the broker has it, and wait for the answer; the id never changes."""
        draft = replace(row.attempt(attempt), expires_in=self._bulk.expires_in)
        while True:
            try:
                return await self._client.send(draft, wait=True) or b""
            except asyncio.CancelledError:
                # aiormq says so, too, when the connection is lost before the confirm.
                if told_to_stop():
                    raise
            except (AMQPError, OSError, RuntimeError):
                pass
            await asyncio.sleep(_PAUSE)
