"""The demonstration itself: one workflow, seven messages, two appliances, and what the log says."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import tempfile
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.client import Client, Draft
from service.demo.broker import running_broker
from service.eventlog.showing import line_spans
from service.settings import PREFIX, Settings
from service.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from service.messages.wire import Json

    Answer = dict[str, Any]

START_TIMEOUT = 30.0
ANSWER_TIMEOUT = 20.0
STOP_TIMEOUT = 30.0
_FAC, _FVC = "fac-1", "fvc-1"
_KNOWN = frozenset({"command_id", "command_type", "correlation_id"})
"""Fields that are the same on all lines that are shown together."""


@dataclass(frozen=True)
class Step:
    """One message of the demonstration and how it should end."""

    why: str
    draft: Draft
    expected: str


@dataclass(frozen=True)
class Line:
    """One line of the service's event log."""

    fields: dict[str, Json]

    @property
    def event(self) -> str:
        """The slug."""
        return str(self.fields["event"])


class RunningService:
    """The service as a process of its own, and what it has told so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Begin to read its event log."""
        self._process = process
        self.exit_code: int | None = None
        self.lines: list[Line] = []
        self.ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  opened with a pipe
        async for raw in self._process.stdout:
            line = Line(json.loads(raw))
            self.lines.append(line)
            if line.event == "service-ready":
                self.ready.set()

    async def wait_ready(self) -> bool:
        """Wait until it consumes, or ends before that."""
        ready = asyncio.create_task(self.ready.wait())
        await asyncio.wait(
            [ready, self._reading], timeout=START_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
        )
        ready.cancel()
        return self.ready.is_set()

    async def stop(self) -> None:
        """Stop it as a supervisor would."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading
        self.exit_code = self._process.returncode


async def show(*, given: str | None, may_install: bool) -> bool:
    """Run the demonstration.

    Args:
        given: a broker to use; else one is brought.
        may_install: whether Debian's package may be installed for that.

    Returns:
        Whether everything went as it should.

    Raises:
        BrokerUnavailable: there is no broker and none could be brought.
    """
    console = Console(width=None if sys.stdout.isatty() else 120)
    async with (
        running_broker(given=given, say=console.print, may_install=may_install) as broker,
        Simulator() as simulator,
    ):
        with tempfile.TemporaryDirectory(prefix="courier-demo-") as directory:
            home = Path(directory)
            inventory = simulator.write_files(home)
            environment = {
                f"{PREFIX}BROKER_URL": broker.url,
                f"{PREFIX}APPLIANCES_FILE": str(inventory),
                f"{PREFIX}LEDGER_URL": f"sqlite:///{home}/courier.db",
                f"{PREFIX}HTTP_PORT": "0",
                f"{PREFIX}LOG_FORMAT": "json",
            }
            console.print("Appliances: simulated FortiAuthenticator and FortiVoice over HTTPS")
            settings = Settings.load(broker_url=SecretStr(broker.url))
            async with _service(environment) as service:
                if not await service.wait_ready():
                    console.print("[red]The service did not start:[/]")
                    _print_log(console, service.lines)
                    return False
                console.print("Service: ready\n")
                try:
                    answers = await _send(settings, _steps())
                except TimeoutError:
                    console.print(f"[red]No answer within {ANSWER_TIMEOUT:g} s. The log:[/]")
                    _print_log(console, service.lines)
                    return False
        stopped_well = service.exit_code == 0
        if not stopped_well:
            console.print(f"[red]The service ended with exit code {service.exit_code}[/]")
        return _report(console, answers, service.lines, simulator) and stopped_well


def _steps() -> list[Step]:
    """List the messages: each command once, and one licence a second time."""
    run = uuid.uuid4().hex[:8]
    licence = "-".join(uuid.uuid4().hex[:4].upper() for _ in range(5))
    activation: dict[str, Json] = {"appliance": _FAC, "license": licence}
    file: dict[str, Json] = {
        "name": "call_center.lic",
        "content": base64.b64encode(b"a licence file, as far as anybody can tell\n").decode(),
    }

    def draft(number: int, name: str, data: dict[str, Json]) -> Draft:
        return Draft(name, data, id=f"demo-{run}-{number}", source="/courier/demo")

    balance: dict[str, Json] = {"appliance": _FAC}
    return [
        Step("how many SMS are left?", draft(1, "query-sms-balance", balance), "succeeded"),
        Step(
            "what would this licence do?",
            draft(2, "activate-sms-license", {**activation, "dry_run": True}),
            "succeeded",
        ),
        Step("activate it", draft(3, "activate-sms-license", activation), "succeeded"),
        Step("the same message again", draft(3, "activate-sms-license", activation), "succeeded"),
        Step(
            "apply a voice licence",
            draft(4, "apply-voice-license", {"appliance": _FVC, "file": file}),
            "succeeded",
        ),
        Step(
            "which phones are there?", draft(5, "query-devices", {"appliance": _FVC}), "succeeded"
        ),
        Step(
            "an appliance that nobody has",
            draft(6, "query-devices", {"appliance": "fvc-nowhere"}),
            "refused",
        ),
    ]


async def _send(settings: Settings, steps: Sequence[Step]) -> list[tuple[Step, Answer]]:
    """Send them one after the other, as a workflow does, and wait for each answer."""
    answers = []
    async with Client.opened(settings) as client:
        for step in steps:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                body = await client.send(step.draft, wait=True)
            answers.append((step, json.loads(body or b"{}")))
    return answers


def _report(
    console: Console,
    answers: Sequence[tuple[Step, Answer]],
    lines: Sequence[Line],
    simulator: Simulator,
) -> bool:
    """Show what came of it, and say whether it is what should have come of it."""
    table = Table("what", box=None)
    for column in ("command", "appliance", "conclusion"):
        table.add_column(column, no_wrap=True)
    table.add_column("what the result says")
    for step, answer in answers:
        conclusion = answer["data"]["conclusion"]
        colour = "green" if conclusion == step.expected else "red"
        table.add_row(
            step.why,
            step.draft.name,
            str(step.draft.data["appliance"]),
            f"[{colour}]{conclusion}[/]",
            _summary(answer["data"]),
        )
    console.print(table)

    sessions = Table("appliance", "sessions opened", "requests answered", box=None)
    opened = dict.fromkeys(simulator.appliances, 0)
    for line in lines:
        if line.event == "session-opened":
            opened[str(line.fields["appliance"])] += 1
    for name, appliance in simulator.appliances.items():
        sessions.add_row(name, str(opened[name]), str(sum(appliance.books.requests.values())))
    console.print("\nSessions")
    console.print(sessions)

    activation = answers[2][0].draft.id
    console.print(f"\nThe event log of the activation, {activation}, sent twice")
    _print_log(console, [line for line in lines if line.fields.get("command_id") == activation])

    spent = simulator.appliances[_FAC].books.spent.values()
    findings = {
        "every command ended as it should": all(
            answer["data"]["conclusion"] == step.expected for step, answer in answers
        ),
        "the licence was sent and spent once": [entry.times for entry in spent] == [1],
        "one session per appliance": set(opened.values()) == {1},
        "the repeated command was told the same event": all(
            answers[2][1][name] == answers[3][1][name] for name in ("id", "data")
        ),
    }
    console.print()
    for sentence, holds in findings.items():
        console.print(f"{'[green]yes[/]' if holds else '[red]NO [/]'} {sentence}")
    return all(findings.values())


def _summary(data: dict[str, Any]) -> str:
    """Say the one thing of a result that a person looks for."""
    if data["error"]:
        return f"{data['error']['code']}: {data['error']['message']}"
    if "devices" in data:
        return f"{len(data['devices'])} of {data['total']} phones"
    if "total_sms" in data:
        return f"{data['available_sms']} of {data['total_sms']} SMS available"
    if "added_sms" in data:
        figures = (data["before"], data["after"])
        totals = " -> ".join(str(figure["total_sms"]) for figure in figures if figure)
        return f"{data['effect']}, {data['added_sms']} SMS added (total {totals})"
    return f"{data['effect']} by {data['device']['model']} {data['device']['serial']}"


def _print_log(console: Console, lines: Sequence[Line]) -> None:
    """Show lines of the event log as `courier log` does."""
    for line in lines:
        for spans in line_spans(line.fields, hidden=_KNOWN):
            console.print(Text.assemble("  ", *spans), soft_wrap=True)


@asynccontextmanager
async def _service(environment: dict[str, str]) -> AsyncIterator[RunningService]:
    """Run the service for as long as the context lasts; a Ctrl-C reaches it through us only."""
    others = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "serve"),
        env=others | environment,
        stdout=asyncio.subprocess.PIPE,
        limit=2**22,
        start_new_session=True,
    )
    service = RunningService(process)
    try:
        yield service
    finally:
        await asyncio.shield(asyncio.create_task(service.stop()))
