"""The command `courier`: the way in for people.

One module per command. Exit codes: 0 done; 1 failed, refused or rejected; 2 usage; 3 outcome
unknown or no answer in time (do not simply repeat); 75 the watchdog ended the service.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

import typer

from service.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS = ("serve", "check", "log", "simulate", "demo", "send", "parked", "ledger", "contracts")


def program(only: str | None = None) -> typer.Typer:
    """Give the command line, or as much of it as one command needs.

    Each module here is a command with a function of its name, or a group of commands with an
    `app`. To import them all takes a second, so only the one that is called is.
    """
    made = typer.Typer(
        name="courier",
        help="Runs licence and inventory commands from RabbitMQ on Fortinet appliances: each one"
        " once, each one answered.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    # With a callback, a single command keeps its name.
    made.callback()(_program_options)
    for name in (only,) if only in _COMMANDS else _COMMANDS:
        module = import_module(f"{__name__}.{name}")
        if hasattr(module, "app"):
            made.add_typer(module.app, name=name)
        else:
            made.command(name)(getattr(module, name))
    return made


def _print_version(is_wanted: bool) -> None:
    """Print name and version, and exit."""
    if is_wanted:
        typer.echo(f"courier {version('appliance-courier')}")
        raise typer.Exit


def _program_options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a configuration error is a message, not a traceback."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        program(next(iter(given), None))(given)
    except ConfigurationError as error:
        sys.stderr.write(f"courier: {error}\n")
        sys.exit(1)
