"""The kinds of faults, as data: how long each lasts, in which ways, and to what it happens.

How each is made is in `faults`, `inventories`, `nodes`, `rivals` and `shared`.
"""

from dataclasses import dataclass
from typing import Final

SMS: Final = ("fac-1", "fac-2", "fac-3")
VOICE: Final = ("fvc-1", "fvc-2")
QUIET: Final = "fac-3"
"""The appliance that always works: there it shows whether the courier does."""
COMMANDS: Final = (
    "query-sms-balance",
    "activate-sms-license",
    "query-devices",
    "apply-voice-license",
    "query-appliance-status",
)
QUEUES: Final = tuple(f"courier.{name}" for name in COMMANDS)
SWAPS: Final = ("fac-1 fac-2", "fvc-1 fvc-2")
"""Names of the inventory that may change their appliances."""
READ_TIMEOUTS: Final = {"fac-1": 1.5, "fac-2": 4.0, "fac-3": 1.5, "fvc-1": 1.5, "fvc-2": 4.0}
"""Seconds, in the inventory: of each kind one is longer than every retry delay."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault, as schedules know it.

    Attributes:
        cards: how often it is in the deck; every card is drawn as often as any other.
        seconds: how long it may last, at least and at most.
        variants: the ways in which it happens.
        on: what it happens to; of two faults on one thing the second waits for the first.
        alone: nothing else goes wrong in its schedule, and no command is sent twice: a repeat
            cannot be known for what it is when the ledger was lost.
    """

    cards: int = 1
    seconds: tuple[float, float] = (0.0, 0.0)
    variants: tuple[str, ...] = ("",)
    on: str = "appliance"
    alone: bool = False


KINDS: Final[dict[str, Kind]] = {
    "service-killed": Kind(1, (0.0, 1.0), on="service"),
    "service-frozen": Kind(1, (7.0, 8.0), on="service"),
    "broker-killed": Kind(1, (0.0, 1.0), on="broker"),
    # The courier gives a silent broker up after (heartbeat + 1) * 3 seconds.
    "broker-frozen": Kind(1, (9.5, 11.0), on="broker"),
    "connections-closed": Kind(
        1, (0.0, 0.0), ("all", "consuming", "publishing", "quarantine"), on="broker"
    ),
    "memory-alarm": Kind(1, (1.0, 5.0), on="broker"),
    "broker-killed-in-alarm": Kind(1, (1.0, 3.0), on="broker"),
    "queue-deleted": Kind(1, (0.0, 0.0), QUEUES, on="broker"),
    "consumer-cancelled": Kind(
        1,
        (0.0, 0.0),
        tuple(
            f"{how} {queue}"
            for how in ("told", "channel-closed", "silently")
            for queue in (*QUEUES, "courier.quarantine")
        ),
        on="broker",
    ),
    "link-slow": Kind(1, (2.0, 5.0), on="link"),
    "link-half-open": Kind(1, (3.0, 10.0), ("to-broker", "to-courier", "both"), on="link"),
    "link-cut": Kind(1, (0.2, 3.0), on="link"),
    "ledger-locked": Kind(1, (0.5, 6.0), on="service"),
    "ledger-full": Kind(1, (0.5, 4.0), on="service"),
    "ledger-corrupt": Kind(1, (0.0, 0.0), ("header", "pages"), on="service", alone=True),
    "clock-stepped": Kind(1, (0.5, 2.0), ("+3600", "-3600", "+7", "-7"), on="service"),
    "answers-lost": Kind(1, (1.0, 3.0), (*SMS[:2], *VOICE)),
    "appliance-resets": Kind(1, (1.0, 3.0), (*SMS[:2], *VOICE)),
    "appliance-unavailable": Kind(1, (1.0, 3.0), (*SMS[:2], *VOICE)),
    "appliance-off": Kind(1, (0.5, 3.0), (*SMS[:2], *VOICE)),
    "sessions-expired": Kind(1, (0.5, 2.0), VOICE),
    "appliance-slow": Kind(1, (3.0, 5.0), (*SMS[:2], *VOICE)),
    "inventory-swapped": Kind(1, (1.0, 4.0), SWAPS, on="inventory"),
    "inventory-renamed": Kind(1, (1.0, 4.0), (*SMS[:2], *VOICE), on="inventory"),
    # Beyond what the ledger is asked to keep, which is 400 days.
    "clock-leapt": Kind(
        1,
        (1.0, 3.0),
        tuple(f"{by}{how}" for by in ("+43200000", "-43200000") for how in ("", " restarted")),
        on="service",
    ),
    # A start takes a second or two.
    "rival-file": Kind(1, (4.0, 6.0), on="rival"),
}
"""Every kind of fault by its name."""

NODES: Final = ("leading", "connected", "another")
"""Which node of a cluster: that of most queues' leaders, the courier's, or neither of them."""
NODE_KINDS: Final[dict[str, Kind]] = {
    "node-killed": Kind(1, (0.0, 3.0), NODES, on="broker"),
    "node-stopped": Kind(1, (0.0, 3.0), NODES, on="broker"),
    # Longer than it takes the other nodes, and then the courier, to give it up.
    "node-frozen": Kind(1, (13.0, 16.0), NODES, on="broker"),
    "node-partitioned": Kind(1, (9.0, 13.0), NODES, on="broker"),
}
"""What happens to one node of a cluster."""
SHARED_KINDS: Final[dict[str, Kind]] = {
    # Longer than the broker waits for a heartbeat, and than a write is read back for.
    "service-unlocked": Kind(3, (7.0, 10.0), on="service"),
    "database-killed": Kind(2, (0.0, 2.0), on="ledger"),
    # A statement is given up after ten seconds.
    "database-frozen": Kind(2, (2.0, 14.0), on="ledger"),
    "database-sessions-ended": Kind(2, (0.0, 1.5), on="ledger"),
    # Milliseconds that each answer takes.
    "database-slow": Kind(2, (3.0, 6.0), ("20", "80", "200"), on="database-link"),
    "database-stalled": Kind(2, (2.0, 6.0), on="database-link"),
    "rival-database": Kind(2, (4.0, 6.0), on="rival"),
}
"""What happens to several couriers with one ledger."""
ALL_KINDS: Final = KINDS | NODE_KINDS | SHARED_KINDS
IN_A_FILE: Final = frozenset({"ledger-locked", "ledger-full", "ledger-corrupt"})
SHARED_DECK: Final = (
    *(name for name, kind in SHARED_KINDS.items() for _ in range(kind.cards)),
    *("service-killed", "service-killed", "service-frozen", "service-frozen"),
    *(name for name in KINDS if name not in IN_A_FILE),
)
NODE_DECK: Final = tuple(NODE_KINDS)
BESIDE_NODES: Final = (
    *("node-killed", "node-stopped", "connections-closed", "service-killed", "service-killed"),
    *("ledger-locked", "answers-lost", "appliance-resets", "appliance-off", "sessions-expired"),
)
"""What also happens in schedules of a cluster."""

DECK: Final = tuple(name for name, kind in KINDS.items() for _ in range(kind.cards))
"""The first fault of a schedule comes from here, in this order: none is drawn too seldom."""
CHEAP: Final = tuple(name for name in DECK if KINDS[name].seconds[1] < 7 and not KINDS[name].alone)
"""Further faults come from here: what takes ten seconds does so once in a schedule."""
CLOCK: Final = frozenset({"clock-stepped", "clock-leapt"})
"""What needs a courier whose clock can be set."""


def alias(name: str) -> str:
    """Name an appliance as the inventory does while it is renamed."""
    return f"renamed-{name}"
