"""What must hold in every state; what a single step breaks is in `World.flag`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.state import Code

if TYPE_CHECKING:
    from tests.model.state import Result, World
    from tests.model.statements import Model

_UNCHANGED = {Code.FAILED, Code.EXPIRED, Code.REFUSED}


def broken(model: Model, world: World) -> str:
    """Name a broken invariant, or return an empty text."""
    if world.flag:
        return world.flag
    for command, result in enumerate(world.told):
        if result is not None and (found := _contradicted(model, world, command, result)):
            return found
    return ""


def _contradicted(model: Model, world: World, command: int, result: Result) -> str:
    """Compare a published result with the appliances' books."""
    written = sum(box.applied[command] for box in world.boxes)
    if written and result.code in _UNCHANGED:
        return f"false {result.code.name.lower()}: the licence is on the books"
    if result.code is Code.SUCCEEDED and not written:
        return "false succeeded: the licence is on no books"
    if result.code is Code.SUCCEEDED and not model.scenario.apply and result.added != 1:
        return f"false figures: added {result.added} instead of 1"
    return ""


def has_ended(world: World) -> bool:
    """Tell whether every command has its result, and nothing is left to do."""
    if world.queue or world.pending or any(each.task for each in world.replicas):
        return False
    return all(told or no for told, no in zip(world.told, world.rejected, strict=True))
