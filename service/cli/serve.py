"""`courier serve`: the service itself."""

from __future__ import annotations

import asyncio

import typer

from service import app as service
from service import telemetry
from service.errors import ConfigurationError
from service.settings import Settings


def serve() -> None:
    """Run the service until SIGTERM or Ctrl-C.

    Everything is set by environment variables with the prefix COURIER_ (or a file .env); the table
    is in deploy/OPERATIONS.md. The event log goes to standard output, one JSON object per line.
    """
    settings = Settings.load()
    telemetry.configure(log_format=settings.log_format, level=settings.log_level)
    try:
        exit_code = asyncio.run(service.serve(settings))
    except ConfigurationError as error:
        telemetry.log.error("start-refused", reason=str(error))
        raise
    raise typer.Exit(exit_code)
