"""Where each guard is needed: the scenario in which its absence alone breaks an invariant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.model import scenarios

if TYPE_CHECKING:
    from tests.model.scenarios import Scenario

NEEDED_IN: Final[dict[str, Scenario]] = {
    "conclusion_knows": scenarios.APPLY,
    "withdraw_own": scenarios.FENCE,
    "tombstones": scenarios.APPLY,
    "lock": scenarios.TWO_COMMANDS,
    "lock_place": scenarios.ALIAS,
    "open_place": scenarios.ALIAS,
    "serial": scenarios.ALIAS,
    "same_place": scenarios.URL,
    "place_read": scenarios.SWAP,
    "fence_age": scenarios.APPLY,
    "age_from_row": scenarios.FENCE,
    "judge_waits": scenarios.SMS,
    "unknown_waits": scenarios.TWO_APPLIES,
    "give_up_locks": scenarios.LIMIT,
    "intend_locked": scenarios.TWO_COMMANDS,
    "predates": scenarios.PRUNE_TWO,
    "predates_fresh": scenarios.PRUNE_TWO,
    "prune": scenarios.PRUNE,
    "pruned_moves": scenarios.PRUNE_TWO,
    "intend_epoch": scenarios.RESTORE,
    "rollback_moves": scenarios.RESTORE,
    "identity": scenarios.TWO_LEDGERS,
    "adoption_moves": scenarios.ADOPTION,
    "adoption_waits": scenarios.ADOPTION,
    "fence_identity": scenarios.ADOPTION,
}
"""The guards that nothing else stands in for."""

SECOND_LINES: Final[dict[str, tuple[str, Scenario]]] = {
    "first_result": ("conclusion_knows", scenarios.APPLY),
    "repeat_open": ("intend_locked", scenarios.FENCE_APPLY),
    "open_name": ("open_place", scenarios.TWO_COMMANDS),
    "fence_lock": ("fence_age", scenarios.APPLY),
    "had_intent": ("rollback_moves", scenarios.RESTORE),
}
"""Guards for which another one stands in; the scenario shows what happens without both."""
