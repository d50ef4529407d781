"""`courier contracts`: look at the contracts and hold messages against them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from service.cli.verdicts import Verdict, judge
from service.parking.parked import opened
from service.parking.properties import Properties
from service.published import schemas
from service.settings import Settings
from service.topology import OWN_PREFIX, PARKED, UNHEARD

app = typer.Typer(
    help="The contracts of commands, events and event log: list, show, validate.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_HARMLESS = frozenset({PARKED, UNHEARD})
"""Queues of the courier's own that nobody consumes."""


@app.command("list")
def list_contracts() -> None:
    """List the contracts."""
    table = Table("type", "title", box=None)
    for name, file in schemas().items():
        table.add_row(name, json.loads(file.read_text("utf-8")).get("title", ""))
    Console().print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Such as courier.query-devices.v1.")],
) -> None:
    """Print a contract's JSON Schema."""
    file = schemas().get(name)
    if file is None:
        sys.stderr.write(f"courier: there is no contract {name}; see `courier contracts list`\n")
        raise typer.Exit(2)
    Console().print_json(file.read_text("utf-8"))


@app.command()
def validate(
    files: Annotated[
        list[typer.FileBinaryRead] | None,
        typer.Argument(metavar="FILE", help="One message as JSON in each; - reads standard input."),
    ] = None,
    queue: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Look at the messages in this queue instead."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="At most so many of the queue's messages.")
    ] = 100,
    contract: Annotated[
        str | None, typer.Option(help="Hold them against this one; default: by the message's type.")
    ] = None,
) -> None:
    """Hold messages against their contracts, one line for each. Exit code 1 when one does not fit.

    A queue's messages stay in it. But RabbitMQ counts each look as a delivery, and version 4 drops
    what was delivered 20 times from a quorum queue that says nothing else: not again and again.
    Values are not repeated, since they may be secret.
    """
    if (queue is None) == (not files):
        raise typer.BadParameter("either files or --queue")
    if contract is not None and contract not in schemas():
        raise typer.BadParameter("there is no such contract", param_hint="--contract")
    said = _in_files(files or [], contract) if queue is None else _in_queue(queue, limit, contract)
    fits = True
    for line, verdict in said:
        sys.stdout.write(f"{line}\n")
        fits = fits and not verdict.fault
    raise typer.Exit(0 if fits else 1)


def _in_files(
    files: list[typer.FileBinaryRead], contract: str | None
) -> Iterator[tuple[str, Verdict]]:
    for file in files:
        verdict = judge(file.read(), contract=contract)
        yield f"{file.name}: {verdict}", verdict


def _in_queue(queue: str, limit: int, contract: str | None) -> Iterator[tuple[str, Verdict]]:
    if queue.startswith(OWN_PREFIX) and queue not in _HARMLESS:
        raise typer.BadParameter(
            "it is the courier's own, and a look would count as one of the deliveries after which"
            " a command is taken out; copy the messages elsewhere first",
            param_hint="--queue",
        )
    with opened(Settings.load(), queue, program="courier contracts validate") as held:
        for taken in islice(held.messages(), limit):
            encoding = Properties.parse(taken.properties).get("content_encoding")
            verdict = judge(
                taken.body, contract=contract, content_encoding=str(encoding) if encoding else None
            )
            yield str(verdict), verdict
