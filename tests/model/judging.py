"""How a task ends or comes back: what a reading says of a write, and the retry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.state import Answer, At, Code, Open, Result, Task
from tests.model.statements import row_of, with_row, with_task

if TYPE_CHECKING:
    from tests.model.state import World
    from tests.model.statements import Model

SETTLED = 2
"""The age, in `read_timeout`, from which on a write is over."""


def concludes(world: World, index: int, task: Task, code: Code, added: int = 0) -> World:
    """Decide a result; it is stored next."""
    outcome = Result(code, added, min(3, world.made[task.command] + 1))
    deciding = Task(
        At.CONCLUDE,
        task.command,
        task.message,
        task.address,
        task.lock,
        task.seen,
        task.own,
        outcome=outcome,
    )
    return with_task(world, index, deciding)


def retries(world: World, index: int, task: Task) -> World:
    """Bring the command back later, or end it when its time is over and no intent is open."""
    if not task.knows and world.expired[task.command]:
        return concludes(world, index, task, Code.EXPIRED)
    back = Task(At.RETRY, task.command, task.message, seen=min(1, task.knows))
    return with_task(world, index, back)


def keeps(world: World, index: int, task: Task) -> World:
    """Keep the answer in one's own open row, and come back later."""
    row = row_of(world, index, task.command)
    if row is not None and row.state is Open.OPEN and row.intent == task.own:
        world = with_row(world, index, task.command, row._replace(answer=task.answer))
    return retries(world, index, task)


def judged(model: Model, world: World, index: int, task: Task) -> World:
    """Decide by the figures before and after the write."""
    added = model.total(world, task.address) - task.baseline
    answer = task.answer
    if added < 0 or (added > 0 and answer is Answer.REFUSED):
        return unknown(model, world, index, task)
    if added > 0 or answer is Answer.DONE:
        return concludes(world, index, task, Code.SUCCEEDED, added)
    if answer is Answer.REFUSED:
        return concludes(world, index, task, Code.REFUSED)
    if task.own or (task.age < SETTLED and model.rules.judge_waits):
        return keeps(world, index, task)
    return concludes(world, index, task, Code.FAILED)


def unknown(model: Model, world: World, index: int, task: Task) -> World:
    """End as `unknown`, but not before the write is over."""
    if task.age < SETTLED and model.rules.unknown_waits:
        return keeps(world, index, task)
    return concludes(world, index, task, Code.UNKNOWN)
