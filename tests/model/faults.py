"""What may go wrong around the couriers; each step takes one of the faults that are left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.state import At, Lock, Replica, Request, Task, World
from tests.model.statements import (
    Step,
    queued,
    redelivered,
    with_box,
    with_replica,
    with_task,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.statements import Model


def fault_steps(model: Model, world: World) -> Iterator[Step]:
    """List every fault that may happen now."""
    if not world.faults:
        return
    allowed = model.scenario.allowed
    spent = world._replace(faults=world.faults - 1)
    for index, replica in enumerate(world.replicas):
        yield from _of_replica(model, spent, index, replica)
    if "dropped" in allowed:
        yield from _dropped(spent)
    if "limit" in allowed:
        for message in sorted(set(world.queue)):
            if message.redelivered and not message.limit:
                left = list(world.queue)
                left.remove(message)
                after = queued(spent._replace(queue=tuple(left)), message._replace(limit=True))
                yield Step(
                    f"a message of command {'XY'[message.command]} has used up its deliveries",
                    True,
                    after,
                )
    if "clock" in allowed and not world.jumped:
        replicas = tuple(each._replace(stepped=True) for each in world.replicas)
        yield Step(
            "the wall clock is set 500 days ahead",
            True,
            spent._replace(jumped=True, replicas=replicas),
        )
    yield from _of_storage(model, spent)


def _of_replica(model: Model, spent: World, index: int, replica: Replica) -> Iterator[Step]:
    allowed, name, task = model.scenario.allowed, "AB"[index], replica.task
    if "crash" in allowed and (task is not None or replica.stepped):
        ended = redelivered(spent, task.message if task else None)
        restarted = Replica(
            replica.ledger,
            None,
            replica.inventory,
            trusted=not model.scenario.identities,
            looked=replica.looked,
        )
        yield Step(f"{name} crashes and starts again", True, with_replica(ended, index, restarted))
    if task is None:
        return
    if "reconnect" in allowed and task.message is not None:
        after = redelivered(spent, task.message)
        after = with_task(after, index, task._replace(message=None))
        yield Step(f"{name} loses its broker connection; its work goes on", True, after)
    if "lock" in allowed and task.lock is Lock.HELD:
        after = with_task(spent, index, task._replace(lock=Lock.LOST))
        yield Step(f"{name} loses its lock's session without noticing", True, after)


def _dropped(spent: World) -> Iterator[Step]:
    for number, box in enumerate(spent.boxes):
        for request in box.requests:
            if not request.answer:
                left = tuple(each for each in box.requests if each is not request)
                after = with_box(spent, number, box._replace(requests=left))
                yield Step("a write is lost on its way to the appliance", True, after)


def _of_storage(model: Model, spent: World) -> Iterator[Step]:
    scenario, rules = model.scenario, model.rules
    if "identity" in scenario.allowed and spent.identity >= 0:
        after = spent._replace(identity=-1, amnesia=True)
        yield Step("the ledger's identity is removed from the virtual host", True, after)
    if "restore" in scenario.allowed and any(any(rows) for rows in spent.rows):
        after = spent._replace(
            rows=tuple((None,) * len(rows) for rows in spent.rows), amnesia=True, claimed=0
        )
        for index, replica in enumerate(after.replicas):
            if replica.task is not None and replica.task.lock is Lock.HELD:
                after = with_task(after, index, replica.task._replace(lock=Lock.LOST))
        if rules.rollback_moves:
            after = aged(after, 0)
        yield Step("the ledger is restored to a state without the last rows", True, after)
    if "swap" in scenario.allowed and spent.routes == scenario.routes:
        for address, number in enumerate(spent.routes):
            other = (number + 1) % len(spent.boxes)
            routes = (*spent.routes[:address], other, *spent.routes[address + 1 :])
            yield Step(
                "the box behind the address is replaced", True, spent._replace(routes=routes)
            )


def aged(world: World, ledger: int) -> World:
    """Count every command that was sent by now as older than a ledger's knowledge."""
    met = {message.command for message in world.queue}
    met |= {each.task.command for each in world.replicas if each.task is not None}
    sent = tuple(
        was or command in met or command not in world.pending or world.told[command] is not None
        for command, was in enumerate(world.old[ledger])
    )
    after = world._replace(old=(*world.old[:ledger], sent, *world.old[ledger + 1 :]))
    for index, replica in enumerate(world.replicas):
        task = replica.task
        if task is not None and replica.ledger == ledger:
            after = with_task(after, index, task._replace(stale=_is_early(task)))
    return after


def _is_early(task: Task) -> bool:
    return At.LOOK < task.at <= At.INTEND and not task.knows


def without_answered(world: World, request: Request) -> bool:
    """Tell whether a task still waits for a request's answer."""
    return any(
        (task := replica.task) is not None
        and task.at is At.AWAIT
        and (task.command, task.own) == (request.command, request.intent)
        for replica in world.replicas
    )
