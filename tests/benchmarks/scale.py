"""How much is measured: as much as figures need that can be relied on, or a first look."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Scale:
    """The sizes of a run.

    Attributes:
        rounds: how often everything is repeated, interleaved.
        commands: in a drain.
        samples: commands that are sent one by one.
        queries: for each appliance whose logins are counted.
        devices: in the lists that are streamed, the last one for the row.
        grown: commands after which the cost is looked at again.
        ledgers: rows that a ledger begins with.
        fleets: appliances that there are.
        seconds: of an open loop.
        idle: seconds before idle memory is read.
        starts: of the service, to ready.
    """

    rounds: int = 5
    commands: int = 1000
    samples: int = 500
    queries: int = 1000
    devices: tuple[int, ...] = (10_000, 100_000)
    grown: tuple[int, ...] = (1_000, 10_000, 100_000)
    ledgers: tuple[int, ...] = (100, 10_000, 1_000_000)
    fleets: tuple[int, ...] = (1, 10, 100, 1_000)
    seconds: float = 30.0
    idle: float = 10.0
    starts: int = 7


FULL: Final = Scale()
QUICK: Final = Scale(
    rounds=1,
    commands=500,
    samples=100,
    queries=50,
    devices=(2_000, 10_000),
    grown=(100, 300, 1_000),
    ledgers=(100, 10_000),
    fleets=(1, 10, 50),
    seconds=5.0,
    idle=2.0,
    starts=2,
)
