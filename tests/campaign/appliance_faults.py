"""What happens to an appliance, through the control page of the simulator."""

import asyncio
import time
from typing import Final

from tests.campaign.arena import Arena
from tests.campaign.kinds import READ_TIMEOUTS, VOICE
from tests.campaign.schedules import Planned
from tests.campaign.striking import Fault, Healed

_BEFORE, _AFTER = 0.6, 0.7
"""Shares of `read_timeout` by which a slow appliance works, and answers, later.

It has done its work within `read_timeout` of the request: what takes longer than twice that counts
as not done, by an assumption of the courier that no client can do without.
"""


def _misbehaving(*rules: dict[str, object]) -> Fault:
    """An appliance that follows some rules for a while."""

    async def misbehave(arena: Arena, planned: Planned, healed: Healed) -> None:
        for number, rule in enumerate(rules):
            seeded = {"seed": planned.dice % 2**31 + number} if "probability" in rule else {}
            await arena.appliances.fault(planned.on, **rule, **seeded)
        await asyncio.sleep(planned.seconds)
        await arena.appliances.order("DELETE", f"/faults/{planned.on}")
        healed()

    return misbehave


_LOST: Final = {"action": "reset", "when": "after", "probability": 0.7}


async def _answers_lost(arena: Arena, planned: Planned, healed: Healed) -> None:
    """A write is done, and the connection ends before its answer."""
    operations = ("apply",) if planned.on in VOICE else ("activate",)
    await _misbehaving(*({"operation": each, **_LOST} for each in operations))(
        arena, planned, healed
    )


async def _appliance_off(arena: Arena, planned: Planned, healed: Healed) -> None:
    """It is switched off and on again."""
    await arena.appliances.order("POST", f"/{planned.on}/stop")
    await asyncio.sleep(planned.seconds)
    await arena.appliances.order("POST", f"/{planned.on}/start")
    healed()


async def _sessions_expired(arena: Arena, planned: Planned, healed: Healed) -> None:
    """All sessions end, again and again."""
    until_then = time.monotonic() + planned.seconds
    while time.monotonic() < until_then:
        await arena.appliances.order("POST", f"/{planned.on}/expire-sessions")
        await asyncio.sleep(0.2)
    healed()


async def _appliance_slow(arena: Arena, planned: Planned, healed: Healed) -> None:
    """A write takes most of `read_timeout`, and some answers come when nobody waits any more."""
    patience = READ_TIMEOUTS[planned.on]
    operation = "apply" if planned.on in VOICE else "activate"
    slow: dict[str, object] = {"operation": operation, "action": "delay"}
    await _misbehaving(
        slow | {"when": "before", "seconds": _BEFORE * patience},
        slow | {"when": "after", "seconds": _AFTER * patience, "probability": 0.4},
    )(arena, planned, healed)


APPLIANCE_FAULTS: Final[dict[str, Fault]] = {
    "answers-lost": _answers_lost,
    "appliance-resets": _misbehaving({"operation": "*", "action": "reset", "probability": 0.4}),
    "appliance-unavailable": _misbehaving({"operation": "*", "action": "answer", "status": 503}),
    "appliance-off": _appliance_off,
    "sessions-expired": _sessions_expired,
    "appliance-slow": _appliance_slow,
}
"""Every kind of fault of one appliance, as it is done."""
