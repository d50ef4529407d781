"""`courier check`: the first thing to run. Does everything that the service needs answer?"""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.checks import (
    Finding,
    State,
    appliances,
    broker,
    document,
    ledger,
    ready,
    worst,
)
from service.checks import settings as configured
from service.telemetry import configure, redact, redacted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.messages.wire import Json

_COLOURS = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "red"}
_WIDE = 200


def check(
    is_ready: Annotated[
        bool,
        typer.Option("--ready", help="Only ask the running service whether it is ready (probes)."),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object: state, and findings with part, what, state, detail and"
            " facts.",
        ),
    ] = False,
) -> None:
    """Look at settings, broker, ledger and every appliance's login; a running service goes on.

    Exit code 0 when nothing has failed (warnings are no failure), else 1. It logs into every
    appliance once, consumes nothing, only reads the ledger, and declares on the broker what is
    missing there, as every start does.
    """
    if is_ready:
        raise typer.Exit(ready.main(as_json=as_json))
    configure(log_format="json", level="ERROR", stream=sys.stderr)
    found = [_clean(finding) for finding in asyncio.run(_everything())]
    if as_json:
        sys.stdout.write(json.dumps(document(found)) + "\n")
    else:
        _print(found)
    raise typer.Exit(1 if worst(found) is State.FAILED else 0)


async def _everything() -> list[Finding]:
    settings, found = configured.look()
    if settings is None:
        return found
    (identity, at_broker), at_appliances = await asyncio.gather(
        broker.look(settings), appliances.look(settings)
    )
    in_ledger = await asyncio.to_thread(ledger.look, settings, identity)
    return [*found, *at_broker, *in_ledger, *at_appliances]


def _clean(finding: Finding) -> Finding:
    """Take out what looks like a secret: brokers and appliances may repeat what they were told."""
    facts = {name: cast("Json", redacted(name, value)) for name, value in finding.facts.items()}
    detail = redact(finding.detail)
    return Finding(finding.part, finding.what, finding.state, detail, facts)


def _print(found: Sequence[Finding]) -> None:
    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    for part, findings in groupby(found, key=lambda finding: finding.part):
        table = Table(title=part, title_justify="left", title_style="bold", box=None)
        for name in ("", "what", "found"):
            table.add_column(name, overflow="fold")
        for each in findings:
            mark = Text(each.state.value, style=_COLOURS[each.state])
            table.add_row(mark, Text(each.what), Text(each.detail))
        console.print(table)
