"""What a schedule's faults excuse: an `unknown`, and a command that was not carried out.

Nothing excuses a result that the books contradict.
"""

from typing import Final

from tests.campaign.checker import Undecidable, Wish
from tests.campaign.kinds import ALL_KINDS, CLOCK, alias
from tests.campaign.schedules import Planned, Schedule
from tests.support.workflow import Heard

_INTERRUPTS: Final = (
    *("service-killed", "service-frozen", "ledger-corrupt", "clock-stepped", "clock-leapt"),
    # Another courier goes on with a write whose lock was lost.
    *("service-unlocked", "database-killed", "database-frozen", "database-sessions-ended"),
)
"""What lets the courier miss an answer that was there."""


def _led_astray(wish: Wish, schedule: Schedule) -> str | None:
    """Say which change of the inventory took the appliance from a command."""
    for each in schedule.faults:
        if each.kind == "inventory-swapped" and wish.appliance in each.variant.split():
            return f"{each.kind}: another appliance answers to its name"
        if each.kind == "inventory-renamed" and wish.appliance in _names(each):
            return f"{each.kind}: no appliance answers to its name"
    return None


def _is_renamed(wish: Wish, schedule: Schedule) -> bool:
    return any(
        each.kind == "inventory-renamed" and wish.appliance in _names(each)
        for each in schedule.faults
    )


def _names(planned: Planned) -> set[str]:
    return {planned.variant, alias(planned.variant)}


def excuses(schedule: Schedule) -> Undecidable:
    """Say what keeps the courier from knowing what became of a licence command."""
    kinds = {each.kind for each in schedule.faults}
    on = {
        each.variant: each.kind
        for each in schedule.faults
        if ALL_KINDS[each.kind].on == "appliance"
    }

    def excuse(wish: Wish) -> str | None:
        if "ledger-corrupt" in kinds:
            return "ledger-corrupt: what it knew is gone"
        if why := _led_astray(wish, schedule):
            return why
        if clocks := sorted(kinds & CLOCK):
            return f"{clocks[0]}: by a wrong clock it may be older than what the ledger knows"
        if not wish.type.startswith("courier.apply-voice-license."):
            return None  # its balance can be read
        cause = on.get(wish.appliance) or next((one for one in _INTERRUPTS if one in kinds), None)
        return f"{cause}: nobody can read back what an apply did" if cause else None

    return excuse


def not_done(wish: Wish, told: Heard, schedule: Schedule) -> list[str]:
    """Look whether a command may have ended without having been carried out."""
    if told.data["conclusion"] in {"succeeded", "unknown"}:
        return []
    why, code = f"{wish.id}: {told.data['conclusion']}", told.data["error"]["code"]
    kinds = {each.kind for each in schedule.faults}
    if code == "unknown-appliance":
        if not _is_renamed(wish, schedule):
            return [f"{why}, {code}, and the inventory has it"]
    elif "expirytime" not in wish.document and not kinds & CLOCK:
        if code == "expired":
            return [f"{why}, expired, and its time was not over"]
        if wish.key is None:
            return [f"{why}, {code}: a query goes on until it succeeds"]
        touched = {*_INTERRUPTS} & kinds
        touched |= {each.kind for each in schedule.faults if each.on == wish.appliance}
        if not touched and not _led_astray(wish, schedule):
            return [f"{why}, {code}, and nothing kept it from succeeding"]
    return []
