"""The rules of the service as data: one guard per field, so that each can be dropped alone."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any


class Prune(Enum):
    """The clock that decides what the ledger may prune."""

    WALL = "the wall clock alone"
    PROCESS = "the wall clock and the process's uptime agree"
    OBSERVED = "the time that the ledger has observed, accumulated over processes"


@dataclass(frozen=True, slots=True)
class Rules:
    """The guards. True is the safer value.

    Attributes:
        first_result: a stored result is never replaced.
        conclusion_knows: a conclusion closes only the intent whose id its author knows.
        withdraw_own: a withdrawal takes back only the writer's own intent.
        tombstones: a withdrawn intent leaves a row.
        repeat_open: a repeated INSERT succeeds only while its own row is open.
        lock: one replica at a time writes on an appliance.
        lock_place: the lock holds per place (origin or serial) as well as per name.
        open_name: one open intent per name.
        open_place: one open intent per place as well.
        serial: a place is the box's serial, not the origin.
        same_place: an intent from another place is not read back here.
        fence_lock: a write leaves only while the lock is believed to be held.
        fence_age: a write leaves only within `read_timeout` of its intent.
        age_from_row: the writer's age of an intent is that of the row.
        judge_waits: "nothing changed" is concluded only after twice `read_timeout`.
        unknown_waits: an intent is closed as `unknown` only after twice `read_timeout`.
        give_up_locks: a command at its delivery limit is concluded under the lock, and not before
            twice `read_timeout`.
        had_intent: a retry copy whose intent the ledger never knew is `unknown`.
        predates: a redelivered command older than the ledger's knowledge is `unknown`.
        predates_fresh: the same for a command that was never delivered before.
        prune: the clock that pruning goes by.
        pruned_moves: what was pruned counts as older than the ledger's knowledge.
        identity: a courier looks whether its ledger is the virtual host's before it consumes.
        adoption_moves: what was sent before a ledger that replaced another began to consume counts
            as older than it.
        adoption_waits: a ledger that replaced another does not consume for twice `read_timeout`.
        fence_identity: a write leaves, and a result without an intent is stored, only within
            `read_timeout` of the last look at the identity.
        intend_locked: an intent is recorded on the session that holds the lock.
        place_read: an intent's place is that of the session in which the baseline was read.
        intend_epoch: an INSERT fails if what the ledger is known to know has changed since the
            look-up.
        rollback_moves: what was sent before a ledger was restored counts as older than it.
    """

    first_result: bool = True
    conclusion_knows: bool = True
    withdraw_own: bool = True
    tombstones: bool = True
    repeat_open: bool = True
    lock: bool = True
    lock_place: bool = True
    open_name: bool = True
    open_place: bool = True
    serial: bool = True
    same_place: bool = True
    fence_lock: bool = True
    fence_age: bool = True
    age_from_row: bool = True
    judge_waits: bool = True
    unknown_waits: bool = True
    give_up_locks: bool = True
    had_intent: bool = True
    predates: bool = True
    predates_fresh: bool = True
    prune: Prune = Prune.OBSERVED
    pruned_moves: bool = True
    identity: bool = True
    adoption_moves: bool = True
    adoption_waits: bool = True
    fence_identity: bool = True
    intend_locked: bool = True
    place_read: bool = True
    intend_epoch: bool = True
    rollback_moves: bool = True


MENDED = Rules()
"""The mended rules, the holes closed that this model found in them."""

LANDED = Rules(
    conclusion_knows=False,
    tombstones=False,
    repeat_open=False,
    lock_place=False,
    open_place=False,
    serial=False,
    same_place=False,
    age_from_row=False,
    unknown_waits=False,
    give_up_locks=False,
    predates_fresh=False,
    prune=Prune.WALL,
    pruned_moves=False,
    identity=False,
    adoption_moves=False,
    adoption_waits=False,
    fence_identity=False,
    intend_locked=False,
    place_read=False,
    intend_epoch=False,
    rollback_moves=False,
)
"""The code as it was when the breaches were found."""

MISSING = {
    "serial": "two addresses of one appliance count as two: the FortiAuthenticator names no serial",
    "place_read": "an appliance that is replaced behind its address is not noticed",
    "unknown_waits": "an apply whose answer is lost ends `unknown` at once; only an interrupted one"
    " waits",
    "predates_fresh": "a producer's clock is not believed for a command that was never delivered",
    "prune": "a clock that is wrong from the boot on, for more than an hour, is believed",
    "adoption_waits": "instead, a hold is believed for less long than it lasts (`LEASE`)",
    "intend_epoch": "see rollback_moves",
    "rollback_moves": "a ledger that was restored from a backup is not told from what it was",
}
"""The guards of `MENDED` that the service does not have, and why or instead of what."""


def without(rules: Rules, guard: str) -> Rules:
    """Drop one guard: false, or the next weaker value."""
    if guard == "prune":
        return replace(rules, prune=Prune.PROCESS)
    guards: dict[str, Any] = {guard: False}
    return replace(rules, **guards)


def _service() -> Rules:
    rules = MENDED
    for guard in MISSING:
        rules = without(rules, guard)
    return rules


SERVICE = _service()
"""The rules of the service as they are."""
GUARDS = tuple(field.name for field in fields(Rules))
"""The names of all guards."""
