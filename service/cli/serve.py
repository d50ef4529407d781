"""`courier serve`: the service itself."""

from __future__ import annotations

import gc

import typer
import uvloop

from service import app as service
from service import telemetry
from service.errors import ConfigurationError
from service.settings import Settings

_GARBAGE = 20_000, 20, 50
"""New objects before the collector looks at them, and how often it looks at the older ones."""


def serve() -> None:
    """Run the service until SIGTERM or Ctrl-C.

    Everything is set by environment variables with the prefix COURIER_ (or a file .env); the table
    is in deploy/OPERATIONS.md. The event log goes to standard output, one JSON object per line.
    """
    settings = Settings.load()
    # What stands until the end is not looked through again and again, and what commands and pages
    # are made of holds hardly a cycle: looked for every 700 objects, they cost a seventh of the
    # time that a list of 100,000 phones takes.
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    telemetry.configure(log_format=settings.log_format, level=settings.log_level)
    try:
        exit_code = uvloop.run(service.serve(settings))
    except ConfigurationError as error:
        telemetry.log.error("start-refused", reason=str(error))
        raise
    raise typer.Exit(exit_code)
