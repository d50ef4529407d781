"""The crash matrix: the courier dies at every point of every command's way, and starts again.

A first run of each scenario finds the points that it passes; each of them, in its first three
passings, is a case; but what belongs to no command, as at start and stop, is one only once. In a
case everything is new: virtual host, appliances, ledger. The courier must die there by SIGKILL,
then `courier serve` brings everything to its end, and the judge looks at the events, the
appliances' books and the queues.
"""

import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from uuid import uuid4

import aio_pika

from service.topology import declare
from tests.campaign.checker import Verdict, Wish, judge, judge_queues
from tests.campaign.mortal import NOBODY
from tests.campaign.scenarios import SCENARIOS, Scenario
from tests.support.rabbit import Rabbit
from tests.support.stand import COURIER, Appliances, Service, Stand, standing
from tests.support.wait import until
from tests.support.workflow import Properties, Workflow, working

PASSINGS: Final = 3
"""Passings of a point that are cases of their own."""
SETTINGS: Final = {"RETRY_DELAYS": "1", "LOG_LEVEL": "INFO", "DRAIN_TIMEOUT": "5"}
READ_TIMEOUT: Final = 0.75
"""Seconds; what is not done after twice of it counts as not done."""
_PATIENCE: Final = 30.0
_BETWEEN: Final = 0.05
_STILL: Final = 3
"""How often in a row the queues must be empty: a dead-lettered copy is in none for a moment."""


@dataclass(frozen=True)
class Case:
    """A death.

    Attributes:
        scenario: what is going on; a name of `SCENARIOS`.
        point: where the courier dies.
        occurrence: at which passing, from 1.
    """

    scenario: str
    point: str
    occurrence: int

    def __str__(self) -> str:
        return f"{self.scenario}: {self.point}#{self.occurrence}"


@dataclass(frozen=True)
class CrashResult:
    """What came of a case.

    Attributes:
        verdict: what the judge says.
        ready_after: seconds from the start of the second process until it was ready.
        recovered_after: seconds from there until every command had its end; None if it was told
            before the first process died.
        tracebacks: lines of the event logs with a traceback.
        trouble: why the case could not be carried out as it is meant, if it could not.
    """

    case: Case
    verdict: Verdict = field(default_factory=Verdict)
    ready_after: float | None = None
    recovered_after: float | None = None
    tracebacks: tuple[str, ...] = ()
    trouble: str | None = None

    @property
    def failures(self) -> tuple[str, ...]:
        """Everything that must not be, a sentence each."""
        told = (self.trouble,) if self.trouble else ()
        return told + self.verdict.contradictions + self.tracebacks

    @property
    def ok(self) -> bool:
        return not self.failures


def mortal(
    journal: Path, *, die_at: str | None = None, whenever: str | None = None
) -> tuple[str, ...]:
    """The program that dies; see `tests.campaign.mortal`."""
    chosen = (("--die-at", die_at), ("--whenever", whenever))
    options = [word for option in chosen if option[1] for word in option if word]
    program = (sys.executable, "-m", "tests.campaign.mortal", "--journal", str(journal))
    return (*program, *options)


@dataclass
class Journal:
    """What a mortal courier passed."""

    path: Path

    def lines(self) -> list[tuple[str, str]]:
        """Points and command ids, in order; nothing if it did not come that far."""
        text = self.path.read_text() if self.path.exists() else ""
        return [(point, command_id) for point, command_id in map(str.split, text.splitlines())]

    def points(self) -> Counter[str]:
        return Counter(point for point, _ in self.lines())

    def interrupted(self, command_id: str) -> bool:
        """Whether a write was announced, and what came of it was not stored."""
        passed = {point for point, whose in self.lines() if whose == command_id}
        return "intent-recorded.after" in passed and "outcome-stored.after" not in passed


async def waiting(workflow: Workflow) -> dict[str, int]:
    """Count the messages on their way, by queue; those that a courier has at hand are not seen."""
    names = [
        *("courier.activate-sms-license", "courier.query-sms-balance"),
        *("courier.apply-voice-license", "courier.query-devices"),
        *("courier.unknown-command", "courier.quarantine", "courier.retry.1s"),
    ]
    channel = await workflow.channel.get_underlay_channel()
    found = [await channel.queue_declare(name, passive=True) for name in names]
    return {str(each.queue): each.message_count or 0 for each in found}


async def emptied(workflow: Workflow, *, unless: Callable[[], object] = lambda: False) -> None:
    """Wait until nothing is on its way any more, unless something else happens."""
    still = 0
    async with asyncio.timeout(_PATIENCE):
        while still < _STILL and not unless():
            await asyncio.sleep(_BETWEEN)
            still = 0 if any((await waiting(workflow)).values()) else still + 1


async def parked(workflow: Workflow) -> list[bytes]:
    """Take everything out of the parked queue: the bodies."""
    bodies = []
    while (message := await workflow.parked()) is not None:
        bodies.append(message.body)
    return bodies


async def discover(
    rabbit: Rabbit, directory: Path, scenarios: Iterable[str] = tuple(SCENARIOS)
) -> list[Case]:
    """Run the scenarios without dying; name all the cases that there are.

    Raises:
        AssertionError: one of them does not end as it should even so.
    """
    cases: list[Case] = []
    seen: set[str] = set()
    for name in scenarios:
        async with _staged(SCENARIOS[name], rabbit, directory) as stage:
            service = await stage.start(mortal(stage.journal.path))
            await stage.end_of(service)
            verdict, tracebacks = await stage.judged(), stage.tracebacks()
        assert verdict.ok, f"{name}: {verdict.contradictions}"
        assert not tracebacks, f"{name}: {tracebacks}"
        cases += [
            Case(name, point, number)
            for point, passings in stage.journal.points().items()
            if point not in seen
            for number in range(1, min(passings, PASSINGS) + 1)
        ]
        seen |= {point for point, command_id in stage.journal.lines() if command_id == NOBODY}
    return cases


async def run(case: Case, rabbit: Rabbit, directory: Path) -> CrashResult:
    """Let the courier die once, start it again, and judge."""
    result = CrashResult(case)
    try:
        async with _staged(SCENARIOS[case.scenario], rabbit, directory) as stage:
            result = await _died_and_recovered(case, stage)
    except (AssertionError, TimeoutError, OSError) as error:
        return replace(result, trouble=f"{type(error).__name__}: {error}")
    return result


async def _died_and_recovered(case: Case, stage: "_Stage") -> CrashResult:
    first = await stage.start(
        mortal(stage.journal.path, die_at=f"{case.point}#{case.occurrence}"), ready=False
    )
    exit_code = await stage.end_of(first)
    if exit_code != -signal.SIGKILL:
        return CrashResult(case, trouble=f"{case.point} was not reached; exit code {exit_code}")
    told_before = stage.all_told()
    began = time.monotonic()
    second = await stage.start()
    ready_after = time.monotonic() - began
    recovered_after = None
    with suppress(AssertionError, TimeoutError):  # what does not end is the judge's to tell
        if not told_before:
            await until(stage.all_told, patience=_PATIENCE)
            recovered_after = time.monotonic() - began
        await stage.end_of(second)
    exit_code = await second.end()
    trouble = f"the second courier's exit code is {exit_code}" if exit_code else None
    verdict = await stage.judged()
    return CrashResult(case, verdict, ready_after, recovered_after, stage.tracebacks(), trouble)


@dataclass
class _Stage:
    """Where a scenario is played."""

    scenario: Scenario
    stand: Stand
    appliances: Appliances
    workflow: Workflow
    journal: Journal
    services: list[Service] = field(default_factory=list)

    async def start(self, program: tuple[str, ...] = COURIER, *, ready: bool = True) -> Service:
        """Start a courier; the usual one, unless it is said which."""
        service = await self.stand.service(ready=ready, program=program, **SETTINGS)
        self.services.append(service)
        return service

    async def send(self) -> None:
        for wish in self.scenario.wishes:
            reply_to = await self.workflow.reply_to() if wish.id in self.scenario.asks else None
            properties: Properties = {"reply_to": reply_to} if reply_to else {}
            await self.workflow.put(wish.body, wish.type, **properties)

    def all_told(self) -> bool:
        """Whether every command has an end, and a reply where one was asked for."""
        ends = {each.event.get("causationid") for each in self.workflow.heard}
        asked = len(self.scenario.asks)
        return ends >= {wish.id for wish in self.scenario.wishes} and (
            len(self.workflow.replies) >= asked
        )

    async def end_of(self, service: Service) -> int:
        """Let everything come to its end, or the service to its own; return its exit code."""

        def is_over() -> bool:
            return service.process.returncode is not None

        await until(lambda: is_over() or self.all_told(), patience=_PATIENCE)
        await emptied(self.workflow, unless=is_over)
        return await service.end()

    async def judged(self) -> Verdict:
        """Hold everything against everything, when no courier is there any more."""
        wishes, heard = self.scenario.wishes, self.workflow.heard
        books = {name: await self.appliances.books(name) for name in ("fac-1", "fvc-1")}
        verdict = judge(wishes, heard, books, undecidable=self._undecidable)
        left = await waiting(self.workflow)
        verdict += judge_queues(wishes, heard, left, await parked(self.workflow))
        return verdict + self._as_it_should()

    def tracebacks(self) -> tuple[str, ...]:
        lines = (line for service in self.services for line in service.lines)
        return tuple(line for line in lines if "Traceback" in line)

    def _undecidable(self, wish: Wish) -> str | None:
        """An apply cannot be read back, whether its answer was lost or its courier."""
        if "apply" not in wish.type:
            return None
        if self.scenario.loses_answer:
            return "the answer to the apply was lost"
        if self.journal.interrupted(wish.id):
            return "the courier died between the intent and the outcome"
        return None

    def _as_it_should(self) -> Verdict:
        """A death may keep a write from being sent; it changes nothing else about how it ends."""
        false = []
        for wish in self.scenario.wishes:
            ends = {*self.scenario.ends}
            if self.journal.interrupted(wish.id):
                ends |= {"unknown"} if self._undecidable(wish) else {"failed"}
            told = {
                each.data.get("conclusion", "rejected")
                for each in self.workflow.answers(wish.id)
                if ".page." not in each.event["type"]
            }
            if not told <= ends:
                false.append(f"{wish.id}: {', '.join(sorted(told - ends))} instead of {ends}")
        return Verdict(false=tuple(false))


@asynccontextmanager
async def _staged(scenario: Scenario, rabbit: Rabbit, directory: Path) -> AsyncIterator[_Stage]:
    """Set the stage: everything is declared, the appliances misbehave, the commands are sent."""
    vhost = f"crash-{uuid4().hex[:12]}"
    rabbit.create_vhost(vhost)
    try:
        url = rabbit.url_of(vhost)
        async with standing(url, directory / vhost) as stand:
            await declare_all(url)
            appliances = await stand.appliances()
            text = appliances.inventory.read_text()
            patience = f"read_timeout = {READ_TIMEOUT}"
            appliances.inventory.write_text(text.replace("read_timeout = 1.5", patience))
            for name, switches in scenario.switches:
                await appliances.order("PATCH", f"/switches/{name}", switches)
            for name, rule in scenario.faults:
                await appliances.fault(name, **rule)
            async with working(url) as workflow:
                journal = Journal(directory / vhost / "journal")
                stage = _Stage(scenario, stand, appliances, workflow, journal)
                await stage.send()
                yield stage
    finally:
        rabbit.delete_vhost(vhost)


async def declare_all(url: str) -> None:
    """What the first start of a courier does."""
    async with await aio_pika.connect_robust(url) as connection:
        await declare(connection, [1])
