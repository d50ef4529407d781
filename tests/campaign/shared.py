"""What happens to several couriers that share a ledger, and to that."""

import asyncio
import time
from typing import Final

from tests.campaign.arena import Arena
from tests.campaign.rivals import rival_database
from tests.campaign.schedules import Planned
from tests.campaign.striking import Fault, Healed


async def _service_unlocked(arena: Arena, planned: Planned, healed: Healed) -> None:
    """SIGSTOP, and all locks in the ledger are lost: another one may go on with what it did."""
    assert arena.database is not None, "there is one courier"
    keeper = arena.courier(planned.dice)
    with keeper.frozen():
        await arena.database.end_sessions()
        await asyncio.sleep(planned.seconds)
    healed()
    await keeper.well()


async def _database_killed(arena: Arena, planned: Planned, healed: Healed) -> None:
    """SIGKILL to each of its processes, and a new start."""
    assert arena.database is not None, "there is one courier"
    await arena.database.kill(planned.seconds)
    healed()


async def _database_frozen(arena: Arena, planned: Planned, healed: Healed) -> None:
    """SIGSTOP: it takes connections, and nothing answers."""
    assert arena.database is not None, "there is one courier"
    await arena.database.freeze(planned.seconds)
    healed()


async def _sessions_ended(arena: Arena, planned: Planned, healed: Healed) -> None:
    """Every connection to the ledger ends, again and again."""
    assert arena.database is not None, "there is one courier"
    until_then = time.monotonic() + planned.seconds
    while time.monotonic() < until_then:
        await arena.database.end_sessions()
        await asyncio.sleep(0.3)
    healed()


async def _database_slow(arena: Arena, planned: Planned, healed: Healed) -> None:
    """Every answer takes some milliseconds."""
    assert arena.database is not None, "there is one courier"
    # The link delays each way.
    arena.database.link.slow(latency=int(planned.variant) / 2000, rate=0)
    await asyncio.sleep(planned.seconds)
    arena.database.link.heal()
    healed()


async def _database_stalled(arena: Arena, planned: Planned, healed: Healed) -> None:
    """Nothing arrives for some seconds, in either direction; then all of it does."""
    assert arena.database is not None, "there is one courier"
    arena.database.link.stall()
    await asyncio.sleep(planned.seconds)
    arena.database.link.heal()
    healed()


SHARED_FAULTS: Final[dict[str, Fault]] = {
    "service-unlocked": _service_unlocked,
    "database-killed": _database_killed,
    "database-frozen": _database_frozen,
    "database-sessions-ended": _sessions_ended,
    "database-slow": _database_slow,
    "database-stalled": _database_stalled,
    "rival-database": rival_database,
}
"""Every kind of `kinds.SHARED_KINDS`, as it is done."""
