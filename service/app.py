"""Builds everything once, in reading order; opens it in order and closes it in reverse."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from service.appliances.inventory import Inventory
from service.consumers.intake import Intake
from service.consumers.settling import Settling
from service.errors import ConfigurationError
from service.execution import Execution
from service.execution.flight import Flights
from service.ledger.sqlite import SqliteLedger
from service.telemetry import log
from service.topology import declare
from service.topology.connection import connect, identity_of
from service.topology.publisher import Publisher
from service.web import Web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from service.ledger import Ledger
    from service.settings import Settings


LAST_MOMENT = 1.0
"""Seconds for work whose delivery is gone already, before the ledger is closed."""


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[None]:
    """Run the courier for as long as the body lasts.

    Raises:
        ConfigurationError: it cannot start as it is configured; nothing was consumed.
    """
    async with AsyncExitStack() as stack:
        tls = settings.broker_tls()
        inventory = Inventory.load(settings.appliances_file, cooldown=settings.credentials_cooldown)
        stack.push_async_callback(inventory.close)
        ledger = await open_ledger(settings)
        stack.push_async_callback(ledger.close)

        addresses = settings.broker_addresses("courier publishing")
        connection, address = await connect(addresses, tls)
        stack.push_async_callback(connection.close)
        await ledger.belongs_to(identity_of(connection))
        await declare(connection, settings.retry_delays)
        publisher = await Publisher.open(connection)

        execution = Execution(
            inventory,
            ledger,
            source=settings.source,
            retry_delays=settings.retry_delays,
            command_ttl=settings.command_ttl,
            recovery_ttl=settings.recovery_ttl,
        )
        flights = Flights(execution)
        stack.push_async_callback(flights.drain, LAST_MOMENT)
        settling = Settling(flights, publisher, source=settings.source)
        intake = Intake(address, tls, prefetch=settings.prefetch, settle=settling.settle)
        parts = (ledger, publisher, intake)
        web = Web(
            settings.http_host,
            settings.http_port,
            not_ready=lambda: [part.idle_reason for part in parts if part.idle_reason],
        )
        # Closed in reverse: while the intake drains, probes are still answered.
        stack.push_async_callback(web.stop)
        stack.push_async_callback(intake.stop, settings.drain_timeout)
        await intake.connect(own_sqlite=True)
        await web.start()
        await intake.start()
        log.info("service-ready", http=web.address)
        yield
        log.info("service-stopping")


async def open_ledger(settings: Settings) -> Ledger:
    """Open the ledger that the settings name.

    Raises:
        ConfigurationError: another courier owns it, or it cannot be used.
    """
    return await SqliteLedger.open(ledger_path(settings))


def ledger_path(settings: Settings) -> Path:
    """Give the SQLite file that the settings name.

    Raises:
        ConfigurationError: they name something else.
    """
    scheme, _, place = settings.ledger_url.partition(":///")
    if scheme != "sqlite":
        raise ConfigurationError("COURIER_LEDGER_URL: PostgreSQL is not supported yet; use sqlite")
    return Path(place)


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then let what runs come to its end.

    Raises:
        ConfigurationError: see `running`.
    """
    stop, ready = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with running(settings):
            ready.set()
            await stop.wait()

    working = asyncio.create_task(work())

    def on_signal() -> None:
        # Before it is ready there is nothing to drain; the second time patience is over.
        if stop.is_set() or not ready.is_set():
            working.cancel()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    log.info("service-starting", version=version("appliance-courier"), pid=os.getpid())
    with suppress(asyncio.CancelledError):
        await working
    log.info("service-stopped")
