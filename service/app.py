"""Builds everything once, in reading order; opens it in order and closes it in reverse."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from service.appliances.credentials import Rules
from service.appliances.http import Http
from service.appliances.inventory import Inventory, Limits
from service.consumers.intake import Intake
from service.consumers.settling import Settling
from service.errors import ConfigurationError
from service.execution import Execution
from service.execution.flight import Flights
from service.ledger.sqlite import SqliteLedger
from service.metrics import Metrics
from service.telemetry import log
from service.topology import declare
from service.topology.connection import connect, identity_of
from service.topology.publisher import Publisher
from service.web import Web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from service.settings import Settings


LAST_MOMENT = 1.0
"""Seconds for work whose delivery is gone already, before the ledger is closed."""


@dataclass(frozen=True)
class Parts:
    """The classes that touch the world: a campaign builds from others, which die on the way."""

    ledger: type[SqliteLedger] = SqliteLedger
    publisher: type[Publisher] = Publisher
    settling: type[Settling] = Settling
    http: type[Http] = Http


@asynccontextmanager
async def running(
    settings: Settings, *, hangup: asyncio.Event, parts: Parts
) -> AsyncIterator[None]:
    """Run the courier for as long as the body lasts.

    Args:
        settings: everything that can be set.
        hangup: set when the inventory is to be read again.
        parts: what it is built from.

    Raises:
        ConfigurationError: it cannot start as it is configured; nothing was consumed.
    """
    async with AsyncExitStack() as stack:
        tls = settings.broker_tls()
        inventory = Inventory.load(settings.appliances_file, limits_of(settings), http=parts.http)
        stack.push_async_callback(inventory.close)
        ledger = await parts.ledger.open(ledger_path(settings))
        stack.push_async_callback(ledger.close)

        addresses = settings.broker_addresses("courier publishing")
        connection, address = await connect(addresses, tls)
        stack.push_async_callback(connection.close)
        await ledger.belongs_to(identity_of(connection))
        await declare(connection, settings.retry_delays)
        publisher = await parts.publisher.open(connection)

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
        settling = parts.settling(flights, publisher, source=settings.source)
        intake = Intake(address, tls, prefetch=settings.prefetch, settle=settling.settle)
        watched = (ledger, publisher, intake)
        web = Web(
            settings.http_host,
            settings.http_port,
            not_ready=lambda: [part.idle_reason for part in watched if part.idle_reason],
            metrics=Metrics(inventory).text,
        )
        # Closed in reverse: while the intake drains, probes are still answered.
        stack.push_async_callback(web.stop)
        stack.push_async_callback(intake.stop, settings.drain_timeout)
        await intake.connect(own_sqlite=True)
        await web.start()
        await intake.start()
        stack.enter_context(_reloading(inventory, hangup))
        log.info("service-ready", http=web.address)
        yield
        log.info("service-stopping")


def limits_of(settings: Settings) -> Limits:
    """Say what the courier allows itself at each appliance."""
    return Limits(
        rules=Rules(
            cooldown=settings.credentials_cooldown,
            idle=settings.session_idle,
            logins=settings.login_budget,
        ),
        breaker_failures=settings.breaker_failures,
        share=max(1, settings.prefetch // 4),
    )


@contextmanager
def _reloading(inventory: Inventory, hangup: asyncio.Event) -> Iterator[None]:
    """Read the inventory again when somebody says so, and when its file changes."""

    async def obey() -> None:
        while True:
            await hangup.wait()
            hangup.clear()
            inventory.reload()

    tasks = [asyncio.create_task(obey()), asyncio.create_task(inventory.watch())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


def ledger_path(settings: Settings) -> Path:
    """Give the SQLite file that the settings name.

    Raises:
        ConfigurationError: they name something else.
    """
    scheme, _, place = settings.ledger_url.get_secret_value().partition(":///")
    if scheme != "sqlite":
        raise ConfigurationError("COURIER_LEDGER_URL: PostgreSQL is not supported yet; use sqlite")
    return Path(place)


async def serve(settings: Settings, parts: Parts = Parts()) -> None:
    """Run until SIGTERM or SIGINT, then let what runs come to its end; SIGHUP: see `running`.

    Raises:
        ConfigurationError: see `running`.
    """
    stop, ready, hangup = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with running(settings, hangup=hangup, parts=parts):
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
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    log.info("service-starting", version=version("appliance-courier"), pid=os.getpid())
    with suppress(asyncio.CancelledError):
        await working
    log.info("service-stopped")
