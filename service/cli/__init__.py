"""The command `courier`: the way in for people.

Exit codes: 0 done; 1 failed, refused or rejected; 2 usage; 3 outcome unknown or no answer in time
(do not simply repeat); 75 the watchdog ended the service.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import typer

from service import telemetry
from service.cli import check, contracts, demo, ledger, log, parked, send, simulate
from service.errors import ConfigurationError
from service.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    name="courier",
    help="Runs licence and inventory commands from RabbitMQ on Fortinet appliances: each one once,"
    " each one answered.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(send.app, name="send")
app.add_typer(parked.app, name="parked")
app.add_typer(ledger.app, name="ledger")
app.add_typer(contracts.app, name="contracts")
app.command("check")(check.check)
app.command("log")(log.log)
app.command("simulate")(simulate.simulate)
app.command("demo")(demo.demo)


@app.command()
def serve() -> None:
    """Run the service until SIGTERM or Ctrl-C.

    Everything is set by environment variables with the prefix COURIER_ (or a file .env); the
    README has the table. The event log goes to standard output, one JSON object per line.
    """
    from service.app import serve as serve_forever  # noqa: PLC0415  the others start twice as fast

    settings = Settings.load()
    telemetry.configure(log_format=settings.log_format, level=settings.log_level)
    try:
        exit_code = asyncio.run(serve_forever(settings))
    except ConfigurationError as error:
        telemetry.log.error("start-refused", reason=str(error))
        raise
    raise typer.Exit(exit_code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a configuration error is a message, not a traceback."""
    try:
        app(arguments)
    except ConfigurationError as error:
        sys.stderr.write(f"courier: {error}\n")
        sys.exit(1)
