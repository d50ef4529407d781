"""Builds everything once, in reading order; opens it in order and closes it in reverse."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from aio_pika.exceptions import AMQPError

from service.appliances.http import Http
from service.appliances.inventory import Inventory, Limits
from service.consumers.intake import Intake
from service.consumers.settling import Settling
from service.consumers.telling import tell_page
from service.errors import ConfigurationError
from service.execution import Execution
from service.execution.flight import Flights
from service.journal import Journal
from service.ledger.moment import Moment
from service.ledger.opening import open_ledger
from service.ledger.survey import Survey
from service.metrics import Metrics
from service.metrics.asked import Asked, Sources
from service.metrics.counted import Counted
from service.telemetry import heard_by, log, traces
from service.topology import declare, quarantine_queue, work_queues
from service.topology.connection import DISCONNECTED, closed, told_to_stop
from service.topology.ledger_hold import LedgerHold
from service.topology.nodes import connect, look_at_others
from service.topology.publisher import Publisher
from service.topology.upkeep import NO_CONSUMER, Upkeep
from service.watchdog import Halves, Watchdog
from service.web import Web
from service.web.looks import Page
from service.web.standing import Standing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator

    from service.ledger import Ledger
    from service.settings import Postgres, Settings


PRUNE_INTERVAL = 3600.0
"""Seconds between two looks for what the ledger may forget."""
START_PAUSE = 1.0
"""Seconds before a start is tried again that the broker interrupted."""
LAST_WORDS = 4.0
"""Seconds beyond the drain that closing everything may take."""
LAST_MOMENT = 1.0
"""Seconds for work whose delivery is gone already, before the ledger is closed."""


@dataclass(frozen=True)
class Parts:
    """The classes that touch the world: a campaign builds from others, which die on the way."""

    ledger: Callable[[Path | Postgres], Awaitable[Ledger]] = open_ledger
    publisher: type[Publisher] = Publisher
    settling: type[Settling] = Settling
    http: type[Http] = Http


@asynccontextmanager
async def running(
    settings: Settings, *, hangup: asyncio.Event, parts: Parts
) -> AsyncIterator[Watchdog]:
    """Run the courier for as long as the body lasts.

    Args:
        settings: everything that can be set.
        hangup: set when the inventory is to be read again.
        parts: what it is built from.

    Yields:
        The one who knows when it is better to end.

    Raises:
        ConfigurationError: it cannot start as it is configured; nothing was consumed.
    """
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(traces.exported())
        tls = settings.broker_tls()
        inventory = Inventory.load(settings.appliances_file, Limits.of(settings), http=parts.http)
        stack.push_async_callback(inventory.close)
        counted = Counted(inventory)
        stack.enter_context(heard_by(counted.hear))
        ledger = await parts.ledger(settings.ledger_place())
        stack.push_async_callback(ledger.close)

        connection = await connect(settings.broker_addresses("courier publishing"), tls)
        stack.push_async_callback(lambda: closed(connection.close()))
        await look_at_others(connection, tls)
        await ledger.check_owner(connection.identity)
        await declare(connection, settings.retry_delays)
        publisher = await parts.publisher.open(connection)

        hold = LedgerHold(ledger.identity, is_sqlite=isinstance(settings.ledger_place(), Path))
        execution = Execution(
            inventory,
            ledger,
            hold=hold,
            source=settings.source,
            tell=partial(tell_page, publisher),
            retry_delays=settings.retry_delays,
            command_ttl=settings.command_ttl,
            recovery_ttl=settings.recovery_ttl,
        )
        flights = Flights(execution)
        stack.push_async_callback(flights.drain, LAST_MOMENT)
        upkeep = Upkeep(
            connection,
            settings.retry_delays,
            consumed=[queue.name for queue in (*work_queues(), quarantine_queue())],
            hurry=publisher.failed,
        )
        settling = parts.settling(flights, publisher, source=settings.source)
        intake = Intake(
            connection.addresses, tls, prefetch=settings.prefetch, settle=settling.settle, hold=hold
        )

        def connected() -> dict[str, str]:
            return publisher.connected | intake.connected

        parties = (ledger, publisher, intake, hold, upkeep, flights, Halves(connected))

        def not_ready() -> list[str]:
            found = {reason for each in parties if (reason := each.idle_reason)}
            # A connection that is lost has no consumers: that is no second reason.
            return sorted(found - {NO_CONSUMER} if DISCONNECTED in found else found)

        survey = Survey(settings.ledger_place())
        asked = Asked(
            Sources(
                version=version("appliance-courier"),
                not_ready=not_ready,
                running=lambda: flights.running,
                connected=connected,
                queues=lambda: upkeep.counts,
                publishing=publisher.confirms,
                survey=survey,
                appliances=inventory,
            )
        )
        page = None
        if settings.shows_page:
            journal = Journal()
            stack.enter_context(heard_by(journal.hear))
            standing = Standing(not_ready, inventory, lambda: upkeep.counts, survey)
            page = Page(journal, standing, names=settings.page_names)
        web = Web(
            settings.http_host,
            settings.http_port,
            not_ready=not_ready,
            connected=connected,
            metrics=Metrics(counted, asked).text,
            page=page,
        )
        # Closed in reverse: while the intake drains, the ledger is held and probes are answered.
        stack.enter_context(_meanwhile(hold.maintain()))
        stack.push_async_callback(web.stop)
        stack.push_async_callback(intake.stop, settings.drain_timeout)
        await intake.connect()
        await web.start()
        await publisher.wait_until_taken()
        await ledger.belong_to(connection.identity)
        await intake.start()
        watching = (inventory.watch(), upkeep.run(), survey.run())
        tending = (_obey(hangup, inventory), _prune(ledger, settings.ledger_retention))
        stack.enter_context(_meanwhile(*watching, *tending))
        log.info("service-ready", http=web.address)
        yield Watchdog(not_ready, settings.watchdog_timeout)
        log.info("service-stopping")


@contextmanager
def _meanwhile(*works: Coroutine[None, None, None]) -> Iterator[None]:
    """Do what never ends for as long as the body lasts."""
    tasks = [asyncio.create_task(work) for work in works]
    for task in tasks:
        task.add_done_callback(_tell_end)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


def _tell_end(task: asyncio.Task[None]) -> None:
    """Say so if what never ends has ended by a mistake of ours."""
    if not task.cancelled() and (error := task.exception()):
        log.error("internal-error", exc_info=error)


async def _obey(hangup: asyncio.Event, inventory: Inventory) -> None:
    """Read the inventory again whenever somebody says so."""
    while True:
        await hangup.wait()
        hangup.clear()
        inventory.reload()


async def _prune(ledger: Ledger, retention: float) -> None:
    """Prune old results, by two clocks and never soon after a start.

    A wall clock that is wrong after a boot is set right within the first hour, and one that jumps
    forward later is not followed: time goes on by the uptime at most.
    """
    began = Moment.current()
    while True:
        await asyncio.sleep(PRUNE_INTERVAL)
        current = Moment.current()
        agreed = min(current.at, began.at + timedelta(seconds=began.age(current)))
        await ledger.forget(agreed - timedelta(seconds=retention))


class _Told:
    """What signals say to a running service."""

    def __init__(self) -> None:
        self.stop, self.hangup, self.ready = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._before = False

    def listen(self, working: asyncio.Task[int]) -> None:
        """Take the signals: SIGTERM and SIGINT to stop, SIGHUP to read the inventory again."""

        def on_stop() -> None:
            if self._before:
                _abandon(0)
            if not self.ready.is_set():
                working.cancel()  # there is nothing to drain yet
            self._before = True
            self.stop.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_stop)
        loop.add_signal_handler(signal.SIGHUP, self.hangup.set)


def _abandon(exit_code: int) -> None:
    """End at once: whatever is left undone comes back, as after a power cut."""
    log.warning("drain-abandoned")
    os._exit(exit_code)


async def serve(settings: Settings, parts: Parts = Parts()) -> int:
    """Run until SIGTERM or SIGINT, then let what runs come to its end; SIGHUP: see `running`.

    Returns:
        The exit code: 0, or the watchdog's.

    Raises:
        ConfigurationError: see `running`.
    """
    told = _Told()
    working = asyncio.create_task(_work(settings, parts, told))
    told.listen(working)
    log.info("service-starting", version=version("appliance-courier"), pid=os.getpid())
    exit_code = 0
    with suppress(asyncio.CancelledError):
        exit_code = await working
    log.info("service-stopped")
    return exit_code


async def _work(settings: Settings, parts: Parts, told: _Told) -> int:
    """Start, again if the broker goes away meanwhile, and run until told to stop."""
    while True:
        try:
            async with running(settings, hangup=told.hangup, parts=parts) as watchdog:
                told.ready.set()
                with _meanwhile(watchdog.watch(told.stop)):
                    await told.stop.wait()
                # Whatever hangs from now on, a process that was told to end ends.
                patience = settings.drain_timeout + LAST_WORDS
                asyncio.get_running_loop().call_later(patience, _abandon, watchdog.exit_code)
        except (AMQPError, OSError, RuntimeError, asyncio.CancelledError) as error:
            if told_to_stop() or told.ready.is_set():
                raise
            if isinstance(error, OSError) and error.filename is not None:
                # No broker has to do with that, and waiting does not help.
                raise ConfigurationError(f"{error.filename}: {error.strerror}") from None
            log.warning("start-interrupted", reason=repr(error)[:200])
            await asyncio.sleep(START_PAUSE)
        else:
            return watchdog.exit_code
