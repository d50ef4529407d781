"""A courier's steps from an outcome to the ack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.judging import retries
from tests.model.state import At, Code, Lock, Message, Open, Row, Task
from tests.model.statements import (
    Step,
    counted,
    looks_again,
    queued,
    redelivered,
    row_of,
    with_row,
    with_task,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.state import Result, World
    from tests.model.statements import Model


def _may(model: Model, world: World, fault: str) -> bool:
    return bool(world.faults) and fault in model.scenario.allowed


def withdraw(model: Model, world: World, index: int, task: Task) -> Iterator[Step]:
    """Take back an intent whose write was certainly not sent."""
    rules, row, after = model.rules, row_of(world, index, task.command), world
    is_own = row is not None and row.intent == task.own
    if row is not None and row.state is Open.OPEN and (is_own or not rules.withdraw_own):
        left = Row(Open.WITHDRAWN, row.intent) if rules.tombstones else None
        after = with_row(world, index, task.command, left)
        after = after._replace(doubt=counted(world.doubt, task.command, -1))
        if not is_own:
            after = after._replace(flag="an intent is closed by one who does not know it")
    back = task._replace(own=0, seen=0)
    yield Step("withdraws the intent", False, retries(after, index, back))
    if _may(model, world, "statement"):
        after = with_task(after._replace(faults=world.faults - 1), index, task)
        yield Step("withdraws the intent, the ledger's answer is lost", True, after)


def conclude(model: Model, world: World, index: int, task: Task) -> Iterator[Step]:
    """Store the result; the first one stays."""
    rules, row, outcome = model.rules, row_of(world, index, task.command), task.outcome
    if outcome is None:
        return
    if row is not None and row.state is Open.DONE and rules.first_result:
        after = with_task(world, index, _publishing(task, row.result))
        yield Step("finds a stored result instead of its own", False, after)
        return
    replica, is_new = world.replicas[index], row is None or row.state is Open.WITHDRAWN
    is_unsure = model.scenario.identities and (replica.looked > 0 or not replica.trusted)
    if rules.fence_identity and is_unsure and is_new and not task.knows:
        back = with_task(world, index, Task(At.RETRY, task.command, task.message))
        yield Step("may not conclude before it has looked at the identity", False, back)
        return
    knows = row is not None and row.state is Open.OPEN and row.intent == task.knows
    if rules.conclusion_knows and not knows and not (is_new and not task.knows):
        yield Step("may not conclude: looks again", False, looks_again(world, index, task))
        return
    done = Row(Open.DONE, row.intent if row is not None else 0, result=outcome)
    after = with_row(world, index, task.command, done)
    flag = _broken_by_conclusion(world, task, row)
    after = after._replace(made=counted(world.made, task.command), flag=flag)
    label = f"stores the result {outcome.code.name.lower()}"
    yield Step(label, False, with_task(after, index, _publishing(task, outcome)))
    if _may(model, world, "statement"):
        after = with_task(after._replace(faults=world.faults - 1), index, task)
        yield Step(f"{label}, the ledger's answer is lost", True, after)


def _publishing(task: Task, result: Result | None) -> Task:
    return Task(At.PUBLISH, task.command, task.message, outcome=result)


def _broken_by_conclusion(world: World, task: Task, row: Row | None) -> str:
    """Name the invariant that a result breaks by being stored."""
    if row is not None and row.state is Open.OPEN:
        if row.intent != task.knows:
            return "an intent is closed by one who does not know it"
        if not task.own and _is_being_written(world, task.command, row):
            return "an intent is closed while its writer holds the lock"
    is_unknown = task.outcome is not None and task.outcome.code is Code.UNKNOWN
    is_lost = world.amnesia or world.aged or world.jumped
    is_sent = world.sent[task.command] or world.doubt[task.command]
    if is_unknown and not is_lost and not is_sent:
        return "unknown is needless: provably nothing was sent"
    return ""


def _is_being_written(world: World, command: int, row: Row) -> bool:
    tasks = [replica.task for replica in world.replicas]
    return any(
        each is not None
        and each.command == command
        and each.own == row.intent
        and each.lock is Lock.HELD
        for each in tasks
    )


def publish(model: Model, world: World, index: int, task: Task) -> Iterator[Step]:
    """Publish the stored result."""
    if task.message is None or task.outcome is None:
        yield Step("ends: its delivery is gone", False, with_task(world, index, None))
        return
    told, outcome, flag = world.told[task.command], task.outcome, ""
    if told is not None and told != outcome and not world.amnesia and not world.aged:
        flag = "one event id has two bodies"
    first = outcome if told is None else told
    after = world._replace(
        told=(*world.told[: task.command], first, *world.told[task.command + 1 :]), flag=flag
    )
    label = f"publishes {outcome.code.name.lower()}"
    acking = Task(At.ACK, task.command, task.message)
    yield Step(label, False, with_task(after, index, acking))
    if _may(model, world, "confirm"):
        yield Step(f"{label}, the confirm is lost", True, after._replace(faults=world.faults - 1))


def retry(model: Model, world: World, index: int, task: Task) -> Iterator[Step]:
    """Publish the retry copy."""
    message = task.message
    if message is None:
        yield Step("ends: its delivery is gone", False, with_task(world, index, None))
        return
    after = queued(world, message._replace(redelivered=True, intent=bool(task.seen), limit=False))
    label = f"publishes a retry copy (courier-intent: {bool(task.seen)})".lower()
    acking = Task(At.ACK, task.command, message)
    yield Step(label, False, with_task(after, index, acking))
    if _may(model, world, "confirm"):
        yield Step(f"{label}, the confirm is lost", True, after._replace(faults=world.faults - 1))


def ack(model: Model, world: World, index: int, task: Task) -> Iterator[Step]:
    """Ack the delivery."""
    after = with_task(world, index, None)
    yield Step("acks", False, after)
    if task.message is not None and _may(model, world, "ack"):
        after = redelivered(after, Message(*task.message))
        yield Step("acks, the ack is lost", True, after._replace(faults=world.faults - 1))
