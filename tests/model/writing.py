"""A courier's steps from the look-up to the appliance's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.judging import SETTLED, concludes, judged, keeps, retries, unknown
from tests.model.state import Answer, At, Code, Lock, Open, Request, Row
from tests.model.statements import (
    Step,
    counted,
    fresh_intent,
    is_blocked,
    is_locked,
    row_of,
    with_box,
    with_row,
    with_task,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.state import Message, Task, World
    from tests.model.statements import Model


def look(model: Model, world: World, index: int, task: Task) -> Iterator[Step]:
    """Look the command up; lease the appliance that its name points at now."""
    rules, row = model.rules, row_of(world, index, task.command)
    if row is not None and row.state is Open.DONE:
        task = task._replace(at=At.PUBLISH, outcome=row.result)
        yield Step("looks it up: it has a result", False, with_task(world, index, task))
        return
    message = task.message
    address = _address(model, world, index, task.command)
    if row is not None and row.state is Open.OPEN:
        task = task._replace(
            *(), at=At.LOCK, address=address, seen=row.intent, place=row.place,
            baseline=row.baseline, age=row.age, answer=row.answer,
        )  # fmt: skip
        if message is not None and message.limit and not rules.give_up_locks:
            end = concludes(world, index, task, Code.UNKNOWN)
            yield Step("looks it up: gives up an open intent", False, end)
            return
        yield Step(
            f"looks it up: intent {row.intent} is open", False, with_task(world, index, task)
        )
        return
    if message is not None and _may_be_lost(model, world, index, message, row):
        end = concludes(world, index, task, Code.UNKNOWN)
        yield Step("looks it up: a lost ledger may have known it", False, end)
    elif message is not None and message.limit:
        end = with_task(world, index, task._replace(at=At.ACK))
        flags = world.rejected
        flags = (*flags[: task.command], True, *flags[task.command + 1 :])
        yield Step("gives up: rejected", False, end._replace(rejected=flags))
    elif world.expired[task.command]:
        end = concludes(world, index, task, Code.EXPIRED)
        yield Step("looks it up: nothing is known, its time is over", False, end)
    else:
        task = task._replace(at=At.LOCK, address=address)
        yield Step("looks it up: nothing is known", False, with_task(world, index, task))


def _may_be_lost(model: Model, world: World, index: int, message: Message, row: Row | None) -> bool:
    rules = model.rules
    if rules.had_intent and message.intent and row is None:
        return True
    is_old = world.old[world.replicas[index].ledger][message.command]
    return rules.predates and is_old and (message.redelivered or rules.predates_fresh)


def _address(model: Model, world: World, index: int, command: int) -> int:
    versions = model.scenario.inventories
    return versions[world.replicas[index].inventory][model.scenario.names[command]]


def take_lock(model: Model, world: World, index: int, task: Task) -> Iterator[Step]:
    """Take the write lock, look again under it, read the baseline; or stop waiting for it."""
    if model.rules.lock and is_locked(model, world, index, task):
        if task.message is None or not task.message.limit:
            yield Step("waits in vain for the lock", False, retries(world, index, task))
        return
    row = row_of(world, index, task.command)
    is_open = row is not None and row.state is Open.OPEN
    if is_blocked(model, world, index, task) or is_open != bool(task.seen):
        lapsed = task._replace(seen=task.seen if is_open else 0)
        yield Step("finds another state under the lock", False, retries(world, index, lapsed))
        return
    task = task._replace(lock=Lock.HELD if model.rules.lock else Lock.NONE)
    if world.faults and "unreachable" in model.scenario.allowed and not task.seen:
        after = retries(world._replace(faults=world.faults - 1), index, task)
        yield Step("takes the lock, cannot reach the appliance", True, after)
    if task.seen:
        after = with_task(world, index, task._replace(at=At.READ_BACK))
        yield Step("takes the lock, the intent is still open", False, after)
        return
    task = task._replace(at=At.INTEND, baseline=model.total(world, task.address))
    task = task._replace(place=model.place(world, task.address))
    label = f"takes the lock, finds nothing open, reads the baseline {task.baseline}"
    yield Step(label, False, with_task(world, index, task))


def intend(model: Model, world: World, index: int, task: Task) -> Iterator[Step]:
    """Record the intent; a repeat whose first try was done finds its own row."""
    rules, row = model.rules, row_of(world, index, task.command)
    is_own = row is not None and bool(task.own) and row.intent == task.own
    has_lock = task.lock is Lock.HELD or not rules.lock or not rules.intend_locked
    if is_own and not has_lock:
        back = with_task(world, index, task._replace(at=At.WITHDRAW))
        yield Step("cannot repeat the INSERT: its lock's session has ended", False, back)
        return
    if row is not None and is_own and (row.state is Open.OPEN or not rules.repeat_open):
        task = task._replace(at=At.SEND, age=row.age if rules.age_from_row else 0)
        yield Step("repeats the INSERT: its row is there", False, with_task(world, index, task))
        return
    is_taken = row is not None and row.state is not Open.WITHDRAWN
    is_stale = task.stale and rules.intend_epoch
    if is_taken or is_stale or not has_lock or task.own or is_blocked(model, world, index, task):
        back = retries(world, index, task._replace(own=0))
        yield Step("cannot record an intent: another row is in the way", False, back)
        return
    own = fresh_intent(world, task.command)
    place = task.place if rules.place_read else model.place(world, task.address)
    row = Row(Open.OPEN, own, place, world.routes[task.address], task.baseline)
    after = with_row(world, index, task.command, row)
    after = after._replace(doubt=counted(world.doubt, task.command))
    task = task._replace(own=own, place=place, age=0, stale=False)
    yield Step(f"records intent {own}", False, with_task(after, index, task._replace(at=At.SEND)))
    if world.faults and "statement" in model.scenario.allowed:
        after = with_task(after._replace(faults=world.faults - 1), index, task)
        yield Step(f"records intent {own}, the ledger's answer is lost", True, after)


def send(model: Model, world: World, index: int, task: Task) -> Iterator[Step]:
    """Pass the fence and send the write, or withdraw the intent."""
    withdrawing = with_task(world, index, task._replace(at=At.WITHDRAW))
    if not _may_leave(model, world, index, task):
        yield Step("the fence stops the write", False, withdrawing)
        return
    if world.faults and "unreachable" in model.scenario.allowed:
        after = withdrawing._replace(faults=world.faults - 1)
        yield Step("cannot connect: certainly not sent", True, after)
    number = world.routes[task.address]
    box = world.boxes[number]
    requests = tuple(sorted((*box.requests, Request(task.command, task.own))))
    after = with_box(world, number, box._replace(requests=requests))
    after = with_task(after, index, task._replace(at=At.AWAIT))
    after = after._replace(
        sent=counted(world.sent, task.command), flag=_broken_by_write(world, index, task)
    )
    yield Step("sends the write", False, after)


def _may_leave(model: Model, world: World, index: int, task: Task) -> bool:
    rules, replica = model.rules, world.replicas[index]
    if rules.lock and rules.fence_lock and task.lock is Lock.NONE:
        return False
    if rules.fence_age and task.age > 0:
        return False
    if not model.scenario.identities or not rules.identity:
        return not (rules.adoption_waits and world.claimed < SETTLED)
    if rules.adoption_waits and world.claimed < SETTLED and world.identity == replica.ledger:
        return False
    return replica.trusted and not (rules.fence_identity and replica.looked > 0)


def _broken_by_write(world: World, index: int, task: Task) -> str:
    """Name the invariant that a write breaks by leaving now."""
    number, command = world.routes[task.address], task.command
    if world.sent[command]:
        return "the write of one command is sent twice"
    row = row_of(world, index, command)
    if world.told[command] or (row is not None and row.state is Open.DONE):
        return "a write leaves after its command has a result"
    if any(each.command != command and not each.answer for each in world.boxes[number].requests):
        return "two commands' writes are under way on one box"
    for rows in world.rows:
        for other, each in enumerate(rows):
            if other != command and each and each.state is Open.OPEN and each.box == number:
                return "a write leaves while another command's intent is open on the box"
    return ""


def wait(model: Model, world: World, index: int, task: Task) -> Iterator[Step]:
    """Wait for the appliance's answer."""
    number = world.routes[task.address]
    for number, box in enumerate(world.boxes):
        for request in box.requests:
            if (request.command, request.intent) != (task.command, task.own):
                continue
            if request.answer is not Answer.NONE:
                left = tuple(each for each in box.requests if each is not request)
                after = with_box(world, number, box._replace(requests=left))
                yield _answered(model, after, index, task, request.answer)
            if world.faults and "lost" in model.scenario.allowed:
                after = world._replace(faults=world.faults - 1)
                if request.answer is not Answer.NONE:
                    left = tuple(each for each in box.requests if each is not request)
                    after = with_box(after, number, box._replace(requests=left))
                yield _answered(model, after, index, task, Answer.LOST)._replace(is_fault=True)
            return
    yield _answered(model, world, index, task, Answer.LOST)


def _answered(model: Model, world: World, index: int, task: Task, answer: Answer) -> Step:
    label = f"gets the answer: {answer.name.lower()}"
    task = task._replace(answer=answer)
    if not model.scenario.apply:
        return Step(label, False, with_task(world, index, task._replace(at=At.AFTER)))
    if answer is Answer.LOST:
        return Step(label, False, unknown(model, world, index, task))
    code = Code.SUCCEEDED if answer is Answer.DONE else Code.REFUSED
    return Step(
        label, False, concludes(world, index, task, code, 1 if answer is Answer.DONE else 0)
    )


def read_figures(model: Model, world: World, index: int, task: Task) -> Iterator[Step]:
    """Judge a write by the figures after it, one's own or one that an earlier run announced."""
    elsewhere = task.place != model.place(world, task.address)
    if model.scenario.apply or (model.rules.same_place and elsewhere):
        yield Step("cannot read it back", False, unknown(model, world, index, task))
    else:
        yield Step("reads the figures", False, judged(model, world, index, task))
    if world.faults and "unreachable" in model.scenario.allowed:
        after = keeps(world._replace(faults=world.faults - 1), index, task)
        yield Step("cannot reach the appliance for the figures", True, after)
