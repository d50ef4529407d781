"""`courier check`: does everything that the service needs answer?"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.app import ledger_path, limits_of
from service.appliances.inventory import Inventory
from service.errors import CommandError, ConfigurationError
from service.ledger.sqlite import SqliteLedger
from service.settings import Settings
from service.telemetry import configure
from service.topology import declare
from service.topology.connection import connect, identity_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from service.appliances.ports import Appliance

BROKER_PATIENCE = 10.0
"""Seconds; the service itself waits for its broker for ever."""


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it is well, and one sentence."""

    what: str
    ok: bool
    detail: str


def check(
    ready: Annotated[
        bool,
        typer.Option("--ready", help="Only ask the running service whether it is ready (probes)."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Look at settings, broker, ledger and every appliance's login.

    Exit code 0 when all is well, else 1. It logs into every appliance once.
    """
    configure(log_format="json", level="ERROR", stream=sys.stderr)
    try:
        settings = Settings.load()
    except ConfigurationError as error:
        findings = [Finding("settings", ok=False, detail=str(error))]
    else:
        findings = asyncio.run(_ready(settings) if ready else _everything(settings))
    if as_json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in findings]) + "\n")
    else:
        table = Table("", "what", "detail", box=None)
        for finding in findings:
            mark = "[green]ok[/]" if finding.ok else "[red]failed[/]"
            table.add_row(mark, finding.what, escape(finding.detail))
        Console().print(table)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


async def _ready(settings: Settings) -> list[Finding]:
    host = "127.0.0.1" if settings.http_host in {"0.0.0.0", "::"} else settings.http_host  # noqa: S104  recognised, not bound
    url = f"http://{host}:{settings.http_port}/health/ready"
    try:
        async with httpx.AsyncClient(timeout=3, trust_env=False) as client:
            answer = await client.get(url)
            reasons = answer.json().get("reasons", [])
    except (httpx.HTTPError, ValueError) as error:
        return [Finding("service", ok=False, detail=f"{url}: {type(error).__name__} {error}")]
    return [Finding("service", ok=answer.is_success, detail=", ".join(reasons) or "ready")]


async def _everything(settings: Settings) -> list[Finding]:
    findings = [
        Finding("settings", ok=True, detail="read"),
        await _finding("broker", lambda: _broker(settings)),
        await _finding("ledger", lambda: _ledger(settings)),
    ]
    try:
        inventory = Inventory.load(settings.appliances_file, limits_of(settings))
    except ConfigurationError as error:
        return [*findings, Finding("inventory", ok=False, detail=str(error))]
    try:
        found = await asyncio.gather(
            *(_finding(item.name, partial(_login, item)) for item in inventory)
        )
    finally:
        await inventory.close()
    return [*findings, *found]


async def _finding(what: str, look: Callable[[], Awaitable[str]]) -> Finding:
    try:
        return Finding(what, ok=True, detail=await look())
    except (ConfigurationError, CommandError) as error:
        return Finding(what, ok=False, detail=str(error))
    except TimeoutError:
        return Finding(what, ok=False, detail=f"does not answer within {BROKER_PATIENCE:g} s")


async def _broker(settings: Settings) -> str:
    async with asyncio.timeout(BROKER_PATIENCE):
        connection, _ = await connect(
            settings.broker_addresses("courier check"), settings.broker_tls()
        )
        async with connection:
            await declare(connection, settings.retry_delays)
            return f"{identity_of(connection)}, topology as the contract says"


async def _ledger(settings: Settings) -> str:
    path = ledger_path(settings)
    if not path.exists():
        return f"{path} will be made at the first start"
    try:
        ledger = await SqliteLedger.open(path)
    except ConfigurationError as error:
        if "another courier owns" in str(error):
            return "in use by a running courier"
        raise
    await ledger.close()
    return "can be written"


async def _login(appliance: Appliance) -> str:
    await appliance.check()
    return "login works"
