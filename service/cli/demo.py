"""`courier demo`: everything on one machine, ends by itself unless it is told to stay."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from service.demo.broker import BrokerUnavailable
from service.demo.story import show
from service.errors import ConfigurationError
from service.settings import PREFIX


def demo(
    install: Annotated[
        bool, typer.Option(help="Install Debian's RabbitMQ package if there is no other way.")
    ] = True,
    stay: Annotated[
        bool, typer.Option("--stay", help="Keep everything running afterwards, until Ctrl-C.")
    ] = False,
    env: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --stay: where to write the variables to source, broker's password included;"
            " removed at the end. Default: a file that is named.",
        ),
    ] = None,
) -> None:
    """Bring a broker and simulated appliances, run the service, send every command, show it all.

    The broker is COURIER_BROKER_URL if that is set, else Docker's, else a private RabbitMQ node on
    this machine. Exit code 0 when every command ended as it should.
    """
    if env is not None and not stay:
        raise typer.BadParameter("belongs to --stay", param_hint="--env")
    if env is not None and env.exists():
        raise typer.BadParameter(f"{env} is there already", param_hint="--env")
    try:
        well = asyncio.run(_interruptible(install=install, stay=stay, environment=env))
    except BrokerUnavailable as error:
        sys.stderr.write(f"courier: {error}\n")
        raise typer.Exit(1) from None
    except OSError as error:
        raise ConfigurationError(f"the demonstration cannot go on: {error}") from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write("courier: interrupted; everything that was started is stopped\n")
        raise typer.Exit(130) from None
    raise typer.Exit(0 if well else 1)


async def _interruptible(*, install: bool, stay: bool, environment: Path | None) -> bool:
    """Let SIGTERM stop what was started, as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  for the type checker: this is a coroutine
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await show(
        given=os.environ.get(f"{PREFIX}BROKER_URL"),
        may_install=install,
        stay=stay,
        environment=environment,
    )
