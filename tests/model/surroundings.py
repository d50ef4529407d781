"""What happens around the couriers without anything being wrong: appliances, time, deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.faults import aged, without_answered
from tests.model.rules import Prune
from tests.model.state import Answer, At, Lock, Message, Open, Row, Task
from tests.model.statements import (
    Step,
    queued,
    with_box,
    with_replica,
    with_row,
    with_task,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.state import Box, Replica, Request, World
    from tests.model.statements import Model

_OLD = 2


def surrounding_steps(model: Model, world: World) -> Iterator[Step]:
    """List what may happen around the couriers."""
    for index, replica in enumerate(world.replicas):
        yield from _deliveries(model, world, index, replica)
        yield from _of_replica(model, world, index, replica)
    for number, box in enumerate(world.boxes):
        for request in box.requests:
            if not request.answer:
                yield from _works(model, world, number, request)
    yield from _time(model, world)
    if world.pending:
        command, *left = world.pending
        after = queued(world._replace(pending=tuple(left)), Message(command))
        yield Step("a producer sends the command", False, after)


def _deliveries(model: Model, world: World, index: int, replica: Replica) -> Iterator[Step]:
    name, task = "AB"[index], replica.task
    scenario = model.scenario
    waits = scenario.identities and model.rules.adoption_waits and world.claimed < _OLD
    if not replica.trusted or (waits and world.identity == replica.ledger):
        return
    for message in sorted(set(world.queue)):
        if task is None:
            taken = Task(At.LOOK, message.command, message)
            label = f"{name} takes {_told(message)}"
        elif task.message is None and task.command == message.command and not message.limit:
            taken, label = task._replace(message=message), f"{name} joins {_told(message)}"
        else:
            continue
        left = list(world.queue)
        left.remove(message)
        yield Step(label, False, with_task(world._replace(queue=tuple(left)), index, taken))


def _told(message: Message) -> str:
    marks = [
        "redelivered" * message.redelivered,
        "courier-intent" * bool(message.intent),
        "deliveries used up" * message.limit,
    ]
    said = ", ".join(filter(None, marks))
    return f"a delivery of command {'XY'[message.command]}" + (f" ({said})" if said else "")


def _of_replica(model: Model, world: World, index: int, replica: Replica) -> Iterator[Step]:
    scenario, name, task = model.scenario, "AB"[index], replica.task
    if task is not None and task.lock is Lock.LOST:
        after = with_task(world, index, task._replace(lock=Lock.NONE))
        yield Step(f"{name} notices that its lock is lost", False, after)
    if replica.inventory + 1 < len(scenario.inventories):
        after = with_replica(world, index, replica._replace(inventory=replica.inventory + 1))
        yield Step(f"{name} reads the changed inventory", False, after)
    if scenario.identities:
        yield from _looks(model, world, index, replica)
    if world.jumped or world.aged:
        yield from _prunes(model, world, index, replica)


def _looks(model: Model, world: World, index: int, replica: Replica) -> Iterator[Step]:
    name = "AB"[index]
    if not model.rules.identity:
        if not replica.trusted:
            after = with_replica(world, index, replica._replace(trusted=True))
            yield Step(f"{name} starts", False, after)
        return
    if world.identity < 0:
        after = world._replace(identity=replica.ledger, claimed=0)
        after = with_replica(after, index, replica._replace(trusted=True, looked=0))
        yield Step(f"{name} claims the virtual host for its ledger", False, after)
        return
    trusted = world.identity == replica.ledger
    if (trusted, 0) != (replica.trusted, replica.looked):
        after = with_replica(world, index, replica._replace(trusted=trusted, looked=0))
        found = "its own" if trusted else "another"
        yield Step(f"{name} looks at the identity: {found}", False, after)


def _prunes(model: Model, world: World, index: int, replica: Replica) -> Iterator[Step]:
    prune = model.rules.prune
    fooled = prune is Prune.WALL or (prune is Prune.PROCESS and not replica.stepped)
    if not world.aged and not (world.jumped and fooled):
        return
    for command, row in enumerate(world.rows[replica.ledger]):
        if row is None or row.state is Open.OPEN:
            continue
        if row.result is not None and row.result.code.name == "UNKNOWN":
            continue
        after = with_row(world, index, command, None)
        if model.rules.pruned_moves:
            after = aged(after, replica.ledger)
        yield Step(f"{'AB'[index]} prunes command {'XY'[command]}", False, after)


def _works(model: Model, world: World, number: int, request: Request) -> Iterator[Step]:
    box = world.boxes[number]
    applied = list(box.applied)
    applied[request.command] = min(2, applied[request.command] + 1)
    done = box._replace(applied=tuple(applied))
    yield Step(
        f"the appliance writes {'XY'[request.command]}'s licence",
        False,
        _worked(world, number, done, request, Answer.DONE),
    )
    if world.faults and "refused" in model.scenario.allowed:
        spent = world._replace(faults=world.faults - 1)
        after = _worked(spent, number, box, request, Answer.REFUSED)
        yield Step("the appliance refuses the licence", True, after)


def _worked(world: World, number: int, box: Box, request: Request, answer: Answer) -> World:
    left = [each for each in box.requests if each is not request]
    if without_answered(world, request):
        left.append(request._replace(answer=answer, age=0))
    return with_box(world, number, box._replace(requests=tuple(sorted(left))))


def _time(model: Model, world: World) -> Iterator[Step]:
    if model.scenario.expires and not world.expired[0]:
        after = world._replace(expired=(True, *world.expired[1:]))
        yield Step("command X's time ends", False, after)
    if model.scenario.ages and not world.aged:
        yield Step("the retention time passes", False, world._replace(aged=True))
    late = any(each.age and not each.answer for box in world.boxes for each in box.requests)
    if not late and (after := _ticked(model, world)) != world:
        yield Step("read_timeout passes", False, after)


def _ticked(model: Model, world: World) -> World:
    """Let `read_timeout` pass: an appliance works on no request for longer than that."""
    if model.scenario.identities and world.claimed + 1 == _OLD and model.rules.adoption_moves:
        world = aged(world, world.identity)
    return world._replace(
        replicas=tuple(map(_older, world.replicas)),
        rows=tuple(tuple(map(_row_older, rows)) for rows in world.rows),
        boxes=tuple(
            box._replace(
                requests=tuple(
                    each if each.answer else each._replace(age=each.age + 1)
                    for each in box.requests
                )
            )
            for box in world.boxes
        ),
        claimed=min(_OLD, world.claimed + 1),
    )


def _older(replica: Replica) -> Replica:
    task = replica.task
    if task is not None and task.knows and task.at <= At.READ_BACK:
        replica = replica._replace(task=task._replace(age=min(_OLD, task.age + 1)))
    return (
        replica._replace(looked=min(_OLD, replica.looked + 1)) if replica.looked >= 0 else replica
    )


def _row_older(row: Row | None) -> Row | None:
    if row is None or row.state is not Open.OPEN:
        return row
    return row._replace(age=min(_OLD, row.age + 1))
