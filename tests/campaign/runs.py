"""Runs one schedule in an arena and says what came of it."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from tests.campaign.arena import Arena
from tests.campaign.checker import Verdict, Wish, judge, judge_queues
from tests.campaign.excuses import excuses, not_done
from tests.campaign.faults import FAULTS, LIMITS, probe_for
from tests.campaign.inventories import led_to
from tests.campaign.keeper import WATCHDOG, Told
from tests.campaign.kinds import ALL_KINDS, CLOCK
from tests.campaign.nodes import NODE_FAULTS
from tests.campaign.schedules import Planned, Schedule
from tests.campaign.shared import SHARED_FAULTS
from tests.campaign.striking import Missed
from tests.support.eventlog import defects
from tests.support.workflow import Heard, schema_of

Json = dict[str, Any]

PATIENCE: Final = 75.0
"""Seconds that a schedule may take, twice that on a cluster, whose nodes take their time to come
back; what has not ended then counts as lost."""
_TICK: Final = 0.1
_STARVED: Final = 1.0
"""Seconds; with a heartbeat of two the broker gives up whoever is silent for some four."""
_TOUCHES_CONNECTIONS: Final = {"broker", "link", "service"}


@dataclass
class Struck:
    """A fault as it happened; instants are seconds from the schedule's beginning.

    Attributes:
        recovered_after: seconds from its healing to the result of a command sent then.
        alone: nothing else was wrong, or recovering, meanwhile: so that figure is its own.
        probe: that command's id.
        mended: when a node of a cluster was one of them again, which is long after the recovery.
    """

    kind: str
    variant: str
    began: float
    healed: float | None = None
    recovered_after: float | None = None
    alone: bool = False
    probe: str | None = None
    mended: float = 0.0

    @property
    def over(self) -> float:
        """When all was well again."""
        if self.healed is None or self.recovered_after is None:
            return float("inf")
        return max(self.healed + self.recovered_after, self.mended)


@dataclass
class Run:
    """What came of a schedule.

    Attributes:
        commands: different ones, those that show the recovery included.
        messages: how many were published for them.
        starved: seconds for which the machine had no time for this very process, at most; the
            couriers' heartbeats stay out when it has none for them.
        during: what went wrong while a command was under way that ended `unknown`, by its id.
        problems: whatever else must not be: tracebacks, missed limits, faults that were none.
        evidence: for whoever looks into it: the event log about the commands concerned.
    """

    seed: int
    seconds: float = 0.0
    commands: int = 0
    messages: int = 0
    faults: list[Struck] = field(default_factory=list)
    conclusions: Counter[str] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)
    starved: float = 0.0
    during: dict[str, list[str]] = field(default_factory=dict)
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    problems: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        return [*self.verdict.contradictions, *self.problems]


async def run(arena: Arena, schedule: Schedule, *, limits: Mapping[str, float] = LIMITS) -> Run:
    """Let a schedule happen, wait until everything is well again, and judge.

    Args:
        arena: where.
        schedule: what.
        limits: seconds by kind of fault, within which it must be over.
    """
    result = Run(schedule.seed)
    before = set(arena.sent), sum(arena.sends.values()), arena.exits
    if any(each.kind in CLOCK for each in schedule.faults):
        await arena.with_clock()
    arena.told_by_couriers()
    patience = PATIENCE if arena.cluster is None else 2 * PATIENCE
    began, result.began_at = time.monotonic(), datetime.now(UTC)
    watching = asyncio.create_task(_watch_the_time(result))
    try:
        async with asyncio.timeout(patience), asyncio.TaskGroup() as group:
            group.create_task(_send(arena, schedule, began))
            for planned in schedule.faults:
                group.create_task(_strike(arena, planned, began, result))
        async with asyncio.timeout(patience):
            for wish in schedule.wishes:
                await arena.ended(wish.id, patience=patience)
    except* (AssertionError, TimeoutError, OSError, Missed) as errors:
        result.problems += [f"{type(each).__name__}: {each}" for each in _leaves(errors)]
    left = await arena.left()
    watching.cancel()
    result.seconds = time.monotonic() - began
    result.commands = len(arena.sent) - len(before[0])
    result.messages = sum(arena.sends.values()) - before[1]
    sent = [wish for name, wish in arena.sent.items() if name not in before[0]]
    told = arena.told_by_couriers()
    await _judge(arena, schedule, sent, left, result)
    _look_through(told, result, arena.exits - before[2])
    measure(result, limits)
    if result.failures:
        result.evidence = _evidence(result, sent, told)
    return result


async def _watch_the_time(result: Run) -> None:
    """Measure how late this process is woken."""
    while True:
        asked = time.monotonic()
        await asyncio.sleep(_TICK)
        result.starved = max(result.starved, time.monotonic() - asked - _TICK)


async def _send(arena: Arena, schedule: Schedule, began: float) -> None:
    for sending in schedule.sendings:
        await _at(began, sending.at)
        await arena.publish(sending.wish, timed=sending.timed, expires_in=sending.expires_in)


async def _strike(arena: Arena, planned: Planned, began: float, result: Run) -> None:
    await _at(began, planned.at)
    async with arena.locks[planned.on]:
        struck = Struck(planned.kind, planned.variant, time.monotonic() - began)
        result.faults.append(struck)
        probing: list[asyncio.Task[tuple[Wish, float]]] = []

        def healed() -> None:
            struck.healed = time.monotonic() - began
            probing.append(asyncio.create_task(arena.probe(*probe_for(planned))))

        try:
            await (FAULTS | NODE_FAULTS | SHARED_FAULTS)[planned.kind](arena, planned, healed)
            if planned.kind in NODE_FAULTS:
                struck.mended = time.monotonic() - began
        finally:
            if probing:
                asked, struck.recovered_after = await probing[0]
                struck.probe = asked.id


async def _at(began: float, seconds: float) -> None:
    await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))


async def _judge(
    arena: Arena, schedule: Schedule, sent: list[Wish], left: dict[str, int], result: Run
) -> None:
    """Hold what was told against the books, as far as this schedule goes."""
    lost = any(each.kind == "ledger-corrupt" for each in schedule.faults)
    heard = [each for wish in sent for each in _first_told(arena.told(wish.id), lost=lost)]
    strange = list(arena.told("None"))
    books = _of_these(await arena.books(), sent, arena.sent.values())
    result.verdict = judge(
        sent,
        [*heard, *strange],
        books,
        undecidable=excuses(schedule),
        boxes=lambda name: {name}.union(*(led_to(name, each) for each in schedule.faults)),
        ledger_lost=lost,
    )
    result.verdict += judge_queues((), (), left, ())
    if parked := arena.parked():
        result.problems.append(f"{parked} messages are parked, and none was malformed")
    for wish in sent:
        told = arena.told(wish.id)
        result.problems += [fault for each in told if (fault := _against_contract(each))]
        if told and told[0].event["type"].endswith("finished.v1"):
            result.conclusions[told[0].data["conclusion"]] += 1
            result.problems += not_done(wish, told[0], schedule)
            if told[0].data["conclusion"] == "unknown":
                result.during[wish.id] = _struck_during(result, told[0])


def _struck_during(result: Run, told: Heard) -> list[str]:
    """Name the faults between a command's first receipt and its result, by the courier's clock."""
    began, ended = (
        (datetime.fromisoformat(told.data[when]) - result.began_at).total_seconds()
        for when in ("started_at", "finished_at")
    )
    return [
        f"{each.kind} {each.variant}".strip()
        for each in result.faults
        if each.kind in CLOCK or (each.began < ended + 1 and each.over > began - 1)
    ]


def _first_told(told: list[Heard], *, lost: bool) -> list[Heard]:
    """Leave out what a courier without its ledger says of a command that had ended before."""
    return [
        each
        for number, each in enumerate(told)
        if not (lost and number and each.event["data"].get("conclusion") == "unknown")
    ]


def _against_contract(told: Heard) -> str | None:
    """Say what an event's contract has against it."""
    error = best_match(_contract(told.event["type"]).iter_errors(told.event))
    return f"{told.event['causationid']}: {error.json_path}: {error.message}" if error else None


@cache
def _contract(event_type: str) -> Draft202012Validator:
    return schema_of(event_type)


def _of_these(books: dict[str, Json], sent: Iterable[Wish], all_sent: Iterable[Wish]) -> Json:
    """Cut the licences of earlier schedules out of the books."""
    earlier = {wish.key for wish in all_sent} - {wish.key for wish in sent}
    return {
        name: book
        | {
            page: {key: each for key, each in book[page].items() if key not in earlier}
            for page in ("posts", "spent", "applied")
        }
        for name, book in books.items()
    }


def _look_through(told: Told, result: Run, ended: Counter[int]) -> None:
    """Find in the event log, and in how the courier ended, what must not be there."""
    result.problems += [f"in the event log: {line[:3000]}" for line in told.tracebacks]
    result.problems += _against_log_contract(told)
    result.problems += told.outages()
    most = sum(ALL_KINDS[each.kind].on in _TOUCHES_CONNECTIONS for each in result.faults)
    for connection, count in told.count("broker-connection-lost").items():
        if count > most and result.starved < _STARVED:
            result.problems.append(f"{connection} was lost {count} times, in {most} outages")
    for code, times in ended.items():
        silently = any(each.variant.startswith("silently") for each in result.faults)
        told_to = silently and code == WATCHDOG
        if not told_to:
            result.problems.append(f"the courier ended itself with {code}, {times} times")


def _against_log_contract(told: Told) -> list[str]:
    """Say what the event log's contract has against its lines, once for each."""
    found: dict[str, str] = {}
    for line in told.lines:
        for defect in defects(line):
            found.setdefault(defect, str(line))
    return [f"in the event log: {defect[:200]} ({line[:300]})" for defect, line in found.items()]


def measure(result: Run, limits: Mapping[str, float]) -> None:
    """See which recoveries were a fault's own, and hold those against the limits."""
    for struck in result.faults:
        if struck.healed is None or struck.recovered_after is None:
            continue
        others = [each for each in result.faults if each is not struck]
        struck.alone = not any(
            each.began < struck.over and each.over > struck.healed for each in others
        )
        limit = limits.get(struck.kind)
        if struck.alone and limit is not None and struck.recovered_after > limit:
            result.problems.append(
                f"{struck.kind}: {struck.probe} was answered {struck.recovered_after:.2f} s after"
                f" the healing, and the limit is {limit:g} s"
            )


def _evidence(result: Run, sent: list[Wish], told: Told) -> list[str]:
    concerned = [wish.id for wish in sent if any(wish.id in each for each in result.failures)]
    return list(told.about(concerned))


def _leaves(errors: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for each in errors.exceptions:
        found += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found
