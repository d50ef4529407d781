"""`courier contracts`: look at the contracts and hold messages against them."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from jsonschema import Draft202012Validator
from rich.console import Console
from rich.table import Table

from service.published import schemas

app = typer.Typer(
    help="The contracts of commands, events and event log: list, show, validate.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


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
    file: Annotated[
        typer.FileText, typer.Argument(help="A message as JSON; - reads standard input.")
    ],
    contract: Annotated[
        str | None, typer.Option(help="Hold it against this one; default: by the message's type.")
    ] = None,
) -> None:
    """Hold a message against its contract. Exit code 1 when it does not fit.

    Values are not repeated, since they may be secret.
    """
    try:
        message: Any = json.load(file)
    except (ValueError, RecursionError) as error:
        sys.stderr.write(f"courier: {file.name} is not JSON: {error}\n")
        raise typer.Exit(1) from None
    name = contract or (str(message.get("type")) if isinstance(message, dict) else "")
    schema = schemas().get(name)
    if schema is None:
        sys.stderr.write(f"courier: there is no contract for the type {name!r}\n")
        raise typer.Exit(1)
    validator = Draft202012Validator(
        json.loads(schema.read_text("utf-8")), format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    found = sorted(validator.iter_errors(message), key=lambda item: list(item.absolute_path))
    for item in found:
        path = "".join(f"/{step}" for step in item.absolute_path)
        sys.stdout.write(f"{path or '/'}: does not fit `{item.validator}`\n")
    sys.stdout.write(f"{file.name}: {'invalid' if found else 'valid'} as {name}\n")
    raise typer.Exit(1 if found else 0)
