"""What happens to a courier's clock; the courier runs under libfaketime for that."""

import asyncio
import signal
from contextlib import suppress
from typing import Final

from tests.campaign.arena import Arena
from tests.campaign.hasty import INTERVAL
from tests.campaign.history import Wish
from tests.campaign.inventories import Table, read, write
from tests.campaign.kinds import SMS, VOICE
from tests.campaign.schedules import Planned, wish
from tests.campaign.striking import Fault, Healed

_SENT: Final = 15


async def _clock_stepped(arena: Arena, planned: Planned, healed: Healed) -> None:
    """The clock jumps, and back again."""
    arena.keeper.set_clock(planned.variant)
    await asyncio.sleep(planned.seconds)
    arena.keeper.set_clock("+0")
    healed()


async def _clock_leapt(arena: Arena, planned: Planned, healed: Healed) -> None:
    """The clock is wrong by more than the retention, for a courier that runs or one that starts.

    All couriers prune meanwhile, and after it. Then the licence commands that were sent meanwhile
    come once more: one that was pruned by mistake would be written again.
    """
    keeper = arena.keeper
    offset, _, restarted = planned.variant.partition(" ")
    tables = read(keeper.inventory)
    # By the wrong clock the simulator's certificates are not valid; an appliance's may be.
    write(keeper.inventory, {name: _trusting(table) for name, table in tables.items()})
    keeper.reload()
    keeper.set_clock(offset)
    if restarted:
        await keeper.end(signal.SIGKILL)
        await keeper.start()
        await keeper.ready()
    sent = [await _sent(arena, number) for number in range(_SENT)]
    await asyncio.sleep(planned.seconds)
    keeper.set_clock("+0")
    write(keeper.inventory, tables)
    keeper.reload()
    healed()
    # What does not end is the judge's to find.
    with suppress(AssertionError, TimeoutError):
        for each in sent:
            await arena.ended(each.id)
    await asyncio.sleep(2 * INTERVAL)
    for each in sent:
        await arena.publish(each)


async def _sent(arena: Arena, number: int) -> Wish:
    """Send a licence command to the appliances in turn."""
    on = (*SMS, *VOICE)[number % len((*SMS, *VOICE))]
    kind = "activate-sms-license" if on in SMS else "apply-voice-license"
    made = wish(kind, on, f"leap-{arena.vhost}-{len(arena.sent)}")
    await arena.publish(made)
    return arena.sent[made.id]


def _trusting(table: Table) -> Table:
    return {key: value for key, value in table.items() if key != "ca_file"} | {"verify_tls": False}


CLOCK_FAULTS: Final[dict[str, Fault]] = {
    "clock-stepped": _clock_stepped,
    "clock-leapt": _clock_leapt,
}
"""Every kind of `kinds.CLOCK`, as it is done."""
