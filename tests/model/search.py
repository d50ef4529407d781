"""Breadth-first search over every order of steps, with the shortest trace to what breaks."""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.model import ending, writing
from tests.model.faults import fault_steps
from tests.model.invariants import broken, has_ended
from tests.model.state import At, Box, Message, Open, Replica, World
from tests.model.statements import Model, Step
from tests.model.surroundings import surrounding_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.model.rules import Rules
    from tests.model.scenarios import Scenario
    from tests.model.state import Row, Task

    Does = Callable[[Model, World, int, Task], Iterator[Step]]

_DOES: Final[dict[At, Does]] = {
    At.LOOK: writing.look,
    At.LOCK: writing.take_lock,
    At.INTEND: writing.intend,
    At.SEND: writing.send,
    At.AWAIT: writing.wait,
    At.AFTER: writing.read_figures,
    At.READ_BACK: writing.read_figures,
    At.WITHDRAW: ending.withdraw,
    At.CONCLUDE: ending.conclude,
    At.PUBLISH: ending.publish,
    At.RETRY: ending.retry,
    At.ACK: ending.ack,
}


@dataclass(frozen=True, slots=True)
class Found:
    """What an exploration found.

    Attributes:
        broken: the invariant that does not hold; empty if all do.
        trace: the shortest way there, one line per step.
        states, transitions: how many there were.
        depth: the steps of the longest shortest way.
        is_whole: everything within the bounds was seen.
        seconds: how long it took.
    """

    broken: str
    trace: tuple[str, ...]
    states: int
    transitions: int
    depth: int
    is_whole: bool
    seconds: float


@dataclass(slots=True)
class _Seen:
    """The states in order of discovery, and how each was found."""

    numbers: dict[World, int] = field(default_factory=dict)
    worlds: list[World] = field(default_factory=list)
    parents: array[int] = field(default_factory=lambda: array("l"))
    sources: array[int] = field(default_factory=lambda: array("l"))
    targets: array[int] = field(default_factory=lambda: array("l"))

    transitions: int = 0

    def add(self, world: World, parent: int) -> int:
        """Number a state; return its number, new or not."""
        number = self.numbers.setdefault(world, len(self.worlds))
        if number == len(self.worlds):
            self.worlds.append(world)
            self.parents.append(parent)
        return number


def start(model: Model) -> World:
    """Make the world that a scenario begins with."""
    scenario = model.scenario
    count, looked = scenario.commands, 0 if scenario.identities else -1
    return World(
        queue=tuple(Message(command) for command in scenario.queue),
        replicas=tuple(
            Replica(ledger, trusted=not scenario.identities, looked=looked)
            for ledger in scenario.ledgers
        ),
        rows=((None,) * count,) * (max(scenario.ledgers) + 1),
        boxes=tuple(Box((0,) * count) for _ in scenario.totals),
        routes=scenario.routes,
        faults=scenario.faults,
        expired=(False,) * count,
        sent=(0,) * count,
        doubt=(0,) * count,
        made=(0,) * count,
        told=(None,) * count,
        rejected=(False,) * count,
        old=((False,) * count,) * (max(scenario.ledgers) + 1),
        pending=scenario.pending,
    )


def steps(model: Model, world: World) -> Iterator[Step]:
    """List every step that may come next."""
    for index, replica in enumerate(world.replicas):
        task = replica.task
        if task is not None:
            name, command = "AB"[index], "XY"[task.command]
            for label, is_fault, after in _DOES[task.at](model, world, index, task):
                yield Step(f"{name} ({command}) {label}", is_fault, after)
    yield from surrounding_steps(model, world)
    yield from fault_steps(model, world)


def canonical(world: World) -> World:
    """Return one world for all that differ in nothing that matters."""
    rows = tuple(
        tuple(_without_intent(world, command, row) for command, row in enumerate(each))
        for each in world.rows
    )
    if rows != world.rows:
        world = world._replace(rows=rows)
    first, second = world.replicas
    if first.ledger == second.ledger and hash(second) < hash(first):
        world = world._replace(replicas=(second, first))
    return world


def _without_intent(world: World, command: int, row: Row | None) -> Row | None:
    """Forget the intent of a finished row that no task may ask for."""
    if row is None or row.state is not Open.DONE or not row.intent:
        return row
    for replica in world.replicas:
        task = replica.task
        if task is not None and task.command == command and task.own == row.intent:
            return row
    return row._replace(intent=0)


def explore(
    rules: Rules,
    scenario: Scenario,
    *,
    depth: int | None = None,
    endings: bool = True,
    wanted: str = "",
) -> Found:
    """Explore every order of steps within a scenario's bounds.

    Args:
        rules: the guards.
        scenario: the bounds.
        depth: steps at most; None for all.
        endings: also look for states from which no end can be reached without a fault.
        wanted: stop at an invariant of this name only, and pass over all others.
    """
    began = time.perf_counter()
    model, seen = Model(rules, scenario), _Seen()
    seen.add(canonical(start(model)), -1)
    level, border = 0, 0
    while border < len(seen.worlds) and (depth is None or level < depth):
        level, first, border = level + 1, border, len(seen.worlds)
        for number in range(first, border):
            if found := _expand(model, seen, number, wanted, endings=endings):
                return _found(*found, seen, level, began)
    is_whole = border == len(seen.worlds)
    if endings and is_whole and (stuck := _stuck(seen)) is not None:
        trace = _trace(model, seen, stuck)
        return _found("from here no end can be reached", trace, seen, level, began)
    return _found("", (), seen, level, began, is_whole=is_whole)


def _expand(
    model: Model, seen: _Seen, number: int, wanted: str, *, endings: bool
) -> tuple[str, tuple[str, ...]] | None:
    """Add what comes after one state; return what breaks and how, if anything does."""
    for _, is_fault, after in steps(model, seen.worlds[number]):
        seen.transitions += 1
        found = broken(model, after)
        if found and found.startswith(wanted):
            return found, _trace(model, seen, number, canonical(after._replace(flag="")))
        target = seen.add(canonical(after._replace(flag="") if found else after), number)
        if endings and not is_fault:
            seen.sources.append(number)
            seen.targets.append(target)
    return None


def _found(
    why: str,
    trace: tuple[str, ...],
    seen: _Seen,
    level: int,
    began: float,
    *,
    is_whole: bool = False,
) -> Found:
    seconds = time.perf_counter() - began
    return Found(why, trace, len(seen.worlds), seen.transitions, level, is_whole, seconds)


def _stuck(seen: _Seen) -> int | None:
    """Return the first state from which no end can be reached by steps that are no faults."""
    before: list[list[int]] = [[] for _ in seen.worlds]
    for source, target in zip(seen.sources, seen.targets, strict=True):
        before[target].append(source)
    reaching = [number for number, world in enumerate(seen.worlds) if has_ended(world)]
    reached = bytearray(len(seen.worlds))
    for number in reaching:
        reached[number] = 1
    while reaching:
        for source in before[reaching.pop()]:
            if not reached[source]:
                reached[source] = 1
                reaching.append(source)
    stuck = reached.find(0)
    return None if stuck < 0 else stuck


def _trace(model: Model, seen: _Seen, number: int, last: World | None = None) -> tuple[str, ...]:
    """Replay the way to a state: canonical states may have swapped the replicas."""
    way = [] if last is None else [last]
    while number > 0:
        way.append(seen.worlds[number])
        number = seen.parents[number]
    world, lines = start(model), []
    for wanted in reversed(way):
        label, _, world = next(
            step
            for step in steps(model, world)
            if canonical(step.world._replace(flag="")) == wanted
        )
        world = world._replace(flag="")
        lines.append(label)
    return tuple(lines)
