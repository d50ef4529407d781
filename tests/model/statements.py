"""The ledger's statements, and the small changes of the world that every step is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.model.state import At, Lock, Message, Open, Row, Task, World

if TYPE_CHECKING:
    from tests.model.rules import Rules
    from tests.model.scenarios import Scenario
    from tests.model.state import Box, Replica


class Step(NamedTuple):
    """One step: what happens, whether it is a fault, and the world after it."""

    label: str
    is_fault: bool
    world: World


class Model(NamedTuple):
    """The rules in one scenario."""

    rules: Rules
    scenario: Scenario

    def place(self, world: World, address: int) -> int:
        """Return what the rules know of a place: the serial, or else the origin."""
        return world.routes[address] if self.rules.serial else address

    def box(self, world: World, address: int) -> Box:
        """Return the box that answers at an address."""
        return world.boxes[world.routes[address]]

    def total(self, world: World, address: int) -> int:
        """Read the figure of the box at an address: a used licence adds nothing."""
        number = world.routes[address]
        return self.scenario.totals[number] + sum(map(bool, world.boxes[number].applied))


def put(items: tuple[object, ...], index: int, value: object) -> tuple[object, ...]:
    """Replace one item of a tuple."""
    return (*items[:index], value, *items[index + 1 :])


def with_task(world: World, index: int, task: Task | None) -> World:
    """Give a replica another task."""
    replica = world.replicas[index]._replace(task=task)
    return world._replace(replicas=_put_replica(world, index, replica))


def _put_replica(world: World, index: int, replica: Replica) -> tuple[Replica, ...]:
    items = world.replicas
    return (*items[:index], replica, *items[index + 1 :])


def with_replica(world: World, index: int, replica: Replica) -> World:
    """Change a replica."""
    return world._replace(replicas=_put_replica(world, index, replica))


def row_of(world: World, index: int, command: int) -> Row | None:
    """Return what a replica's ledger knows of a command."""
    return world.rows[world.replicas[index].ledger][command]


def with_row(world: World, index: int, command: int, row: Row | None) -> World:
    """Change what a replica's ledger knows of a command."""
    number = world.replicas[index].ledger
    rows = world.rows[number]
    changed = (*rows[:command], row, *rows[command + 1 :])
    return world._replace(rows=(*world.rows[:number], changed, *world.rows[number + 1 :]))


def with_box(world: World, number: int, box: Box) -> World:
    """Change a box."""
    return world._replace(boxes=(*world.boxes[:number], box, *world.boxes[number + 1 :]))


def counted(counts: tuple[int, ...], command: int, by: int = 1) -> tuple[int, ...]:
    """Count for one command, up to three."""
    value = min(3, max(0, counts[command] + by))
    return (*counts[:command], value, *counts[command + 1 :])


def queued(world: World, message: Message) -> World:
    """Put a message into its queue."""
    return world._replace(queue=tuple(sorted((*world.queue, message))))


def redelivered(world: World, message: Message | None) -> World:
    """Bring a message back that was not acked."""
    return world if message is None else queued(world, message._replace(redelivered=True))


def fresh_intent(world: World, command: int) -> int:
    """Choose an intent id that nothing in the world refers to: a UUID, made small."""
    used = {row.intent for rows in world.rows if (row := rows[command]) is not None}
    for replica in world.replicas:
        if (task := replica.task) is not None and task.command == command:
            used |= {task.seen, task.own}
    for box in world.boxes:
        used |= {each.intent for each in box.requests if each.command == command}
    return next(number for number in range(1, 99) if number not in used)


def is_locked(model: Model, world: World, index: int, task: Task) -> bool:
    """Tell whether another replica holds a lock that a task needs."""
    mine = world.replicas[index].ledger
    names, place = model.scenario.names, model.place(world, task.address)
    for number, replica in enumerate(world.replicas):
        other = replica.task
        if number == index or other is None or other.lock is not Lock.HELD:
            continue
        if replica.ledger != mine:
            continue
        same_place = model.place(world, other.address) == place
        if names[other.command] == names[task.command] or (model.rules.lock_place and same_place):
            return True
    return False


def is_blocked(model: Model, world: World, index: int, task: Task) -> bool:
    """Tell whether another command's open intent is in the way."""
    rules, names = model.rules, model.scenario.names
    place = model.place(world, task.address)
    for command, row in enumerate(world.rows[world.replicas[index].ledger]):
        if command == task.command or row is None or row.state is not Open.OPEN:
            continue
        if rules.open_name and names[command] == names[task.command]:
            return True
        if rules.open_place and row.place == place:
            return True
    return False


def looks_again(world: World, index: int, task: Task) -> World:
    """Send a task back to its look-up with what it knows; its lock is released."""
    message = task.message
    if message is not None and task.knows:
        message = message._replace(intent=True)
    return with_task(world, index, Task(At.LOOK, task.command, message))
