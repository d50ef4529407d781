"""What happens to a courier's clock; the courier runs under libfaketime for that."""

import asyncio
import signal
from typing import Final

from tests.campaign.arena import Arena
from tests.campaign.schedules import Planned
from tests.campaign.striking import Fault, Healed

_REPEATED: Final = 12


async def _clock_stepped(arena: Arena, planned: Planned, healed: Healed) -> None:
    """The clock jumps, and back again."""
    arena.keeper.set_clock(planned.variant)
    await asyncio.sleep(planned.seconds)
    arena.keeper.set_clock("+0")
    healed()


async def _clock_leapt(arena: Arena, planned: Planned, healed: Healed) -> None:
    """The clock is wrong by more than the retention, for a courier that runs or one that starts.

    The courier prunes meanwhile. Then some licence commands come once more: what was pruned by
    mistake would be written again.
    """
    keeper = arena.keeper
    offset, _, restarted = planned.variant.partition(" ")
    keeper.set_clock(offset)
    if restarted:
        await keeper.end(signal.SIGKILL)
        await keeper.start()
    await asyncio.sleep(planned.seconds)
    keeper.set_clock("+0")
    healed()
    ended = [each for each in arena.sent.values() if each.writes and arena.told(each.id)]
    for each in ended[-_REPEATED:]:
        await arena.publish(each)


CLOCK_FAULTS: Final[dict[str, Fault]] = {
    "clock-stepped": _clock_stepped,
    "clock-leapt": _clock_leapt,
}
"""Every kind of `kinds.CLOCK`, as it is done."""
