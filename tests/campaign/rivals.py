"""A second courier beside the others whose `COURIER_LEDGER_URL` was forgotten, or is another one.

Two ledgers on one virtual host would write a licence twice. Such a courier must not run a command;
the judge sees by the books whether it did.
"""

import asyncio
import random
import signal
import time
from typing import Final

from tests.campaign.arena import Arena
from tests.campaign.history import Wish
from tests.campaign.keeper import Keeper
from tests.campaign.schedules import Planned
from tests.campaign.striking import Healed, Missed

_AT_ONCE: Final = 2
_RECENT: Final = 20
_BETWEEN: Final = 0.3


async def rival_file(arena: Arena, planned: Planned, healed: Healed) -> None:
    """Without the setting the ledger is a file in the working directory."""
    await _beside(arena, planned, healed, "sqlite:///{directory}/courier.db")


async def rival_database(arena: Arena, planned: Planned, healed: Healed) -> None:
    """The ledger is another database."""
    assert arena.database is not None, "there is one courier"
    await _beside(arena, planned, healed, await arena.database.another())


async def _beside(arena: Arena, planned: Planned, healed: Healed, ledger: str) -> None:
    """Start a courier with a ledger of its own, and end it after a while.

    Raises:
        Missed: it became ready, while the others were.
    """
    directory = arena.directory / f"rival-{time.monotonic_ns()}"
    directory.mkdir()
    rival = Keeper(
        arena.environment | {"COURIER_LEDGER_URL": ledger.format(directory=directory)},
        directory,
        arena.took,
        inventory=arena.keeper.inventory,
    )
    await rival.start(supervised=False)
    dice = random.Random(planned.dice)  # noqa: S311  # dice, no secret
    process, ends = rival.process, time.monotonic() + planned.seconds
    while process.process.returncode is None and time.monotonic() < ends:
        for each in _licence_commands(arena, dice):
            await arena.publish(each)
        await asyncio.sleep(_BETWEEN)
    was_ready = bool(process.events("service-ready"))
    await process.end(signal.SIGTERM)
    healed()
    if was_ready:
        raise Missed(f"a courier with another ledger ({planned.kind}) became ready")


def _licence_commands(arena: Arena, dice: random.Random) -> list[Wish]:
    """Choose some that were sent, to be sent once more: one of them may come to the rival."""
    sent = [each for each in arena.sent.values() if each.writes][-_RECENT:]
    return dice.sample(sent, min(_AT_ONCE, len(sent)))
