"""What happens to a courier's clock; the courier runs under libfaketime for that."""

import asyncio
import signal
from typing import Final

from tests.campaign.arena import Arena
from tests.campaign.hasty import INTERVAL
from tests.campaign.inventories import Table, read, write
from tests.campaign.schedules import Planned
from tests.campaign.striking import Fault, Healed

_REPEATED: Final = 20


async def _clock_stepped(arena: Arena, planned: Planned, healed: Healed) -> None:
    """The clock jumps, and back again."""
    arena.keeper.set_clock(planned.variant)
    await asyncio.sleep(planned.seconds)
    arena.keeper.set_clock("+0")
    healed()


async def _clock_leapt(arena: Arena, planned: Planned, healed: Healed) -> None:
    """The clock is wrong by more than the retention, for a courier that runs or one that starts.

    All couriers prune meanwhile, and after it. Then the licence commands that ended meanwhile come
    once more: one that was pruned by mistake would be written again.
    """
    keeper = arena.keeper
    offset, _, restarted = planned.variant.partition(" ")
    before = {each.id for each in arena.sent.values() if arena.told(each.id)}
    tables = read(keeper.inventory)
    # By the wrong clock the simulator's certificates are not valid; an appliance's may be.
    write(keeper.inventory, {name: _trusting(table) for name, table in tables.items()})
    keeper.reload()
    keeper.set_clock(offset)
    if restarted:
        await keeper.end(signal.SIGKILL)
        await keeper.start()
    await asyncio.sleep(planned.seconds)
    keeper.set_clock("+0")
    write(keeper.inventory, tables)
    keeper.reload()
    healed()
    ended = [
        each
        for each in arena.sent.values()
        if each.writes and each.id not in before and arena.told(each.id)
    ]
    await asyncio.sleep(2 * INTERVAL)
    for each in ended[:_REPEATED]:
        await arena.publish(each)


def _trusting(table: Table) -> Table:
    return {key: value for key, value in table.items() if key != "ca_file"} | {"verify_tls": False}


CLOCK_FAULTS: Final[dict[str, Fault]] = {
    "clock-stepped": _clock_stepped,
    "clock-leapt": _clock_leapt,
}
"""Every kind of `kinds.CLOCK`, as it is done."""
