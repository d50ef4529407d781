"""The demonstration itself: a workflow, the courier and two appliances, from start to end."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr
from rich.console import Console

from service.demo.broker import running_broker
from service.demo.places import environment_file, show_places, variables
from service.demo.report import print_log, report
from service.demo.running import running_service
from service.demo.workflow import ANSWER_TIMEOUT, send, steps
from service.settings import PREFIX, Settings
from service.simulator import Simulator

if TYPE_CHECKING:
    from service.demo.running import RunningService


async def show(
    *, given: str | None, may_install: bool, stay: bool = False, environment: Path | None = None
) -> bool:
    """Run the demonstration.

    Args:
        given: a broker to use; else one is brought.
        may_install: whether Debian's package may be installed for that.
        stay: keep everything running after the report, until the task is cancelled.
        environment: the file that then tells programs where everything is; else one of its own.

    Returns:
        Whether everything went as it should.

    Raises:
        BrokerUnavailable: there is no broker and none could be brought.
        OSError: the file cannot be written.
    """
    console = Console(width=None if sys.stdout.isatty() else 120)
    async with (
        running_broker(given=given, say=console.print, may_install=may_install) as broker,
        Simulator(control_port=0 if stay else None) as simulator,
    ):
        with tempfile.TemporaryDirectory(prefix="courier-demo-") as directory:
            home = Path(directory)
            settings = {
                f"{PREFIX}BROKER_URL": broker.url,
                f"{PREFIX}APPLIANCES_FILE": str(simulator.write_files(home)),
                f"{PREFIX}LEDGER_URL": f"sqlite:///{home}/courier.db",
                f"{PREFIX}HTTP_PORT": "0",
                f"{PREFIX}LOG_FORMAT": "json",
            }
            console.print("Appliances: simulated FortiAuthenticator and FortiVoice over HTTPS")
            async with running_service(settings) as service:
                went_well = await _tell(console, broker.url, service, simulator)
                if stay and went_well is not None:
                    file = environment or home / "environment"
                    with environment_file(file, variables(settings, broker, service.http)):
                        show_places(console, broker, service, simulator, file)
                        await _until_told(service)
        stopped_well = service.exit_code == 0
        if not stopped_well:
            console.print(f"[red]The service ended with exit code {service.exit_code}[/]")
        return bool(went_well) and stopped_well


async def _tell(
    console: Console, broker_url: str, service: RunningService, simulator: Simulator
) -> bool | None:
    """Send every message and report; None if that could not be brought to its end."""
    if not await service.wait_ready():
        console.print("[red]The service did not start:[/]")
        print_log(console, service.lines)
        return None
    console.print("Service: ready\n")
    try:
        answers = await send(Settings.load(broker_url=SecretStr(broker_url)), steps())
    except TimeoutError:
        console.print(f"[red]No answer within {ANSWER_TIMEOUT:g} s. The log:[/]")
        print_log(console, service.lines)
        return None
    return report(console, answers, service.lines, simulator)


async def _until_told(service: RunningService) -> None:
    """Wait until the service ends by itself, or Ctrl-C or SIGTERM ends the demonstration."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  for the type checker: this is a coroutine
    try:
        await service.ended()
    except asyncio.CancelledError:
        # Both signals cancel this task. Here that interrupts nothing: it is the way to end.
        task.uncancel()
