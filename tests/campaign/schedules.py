"""Draws schedules: which commands are sent when, and what goes wrong meanwhile; the seed decides.

Everything here is pure: the same seed makes the same schedule, to the last number. What a fault
does to whom is said in `faults`.
"""

import base64
import hashlib
import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.campaign.checker import Wish
from tests.support.workflow import command

Json = dict[str, Any]

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
_REPEATED: Final = 0.05
_TIMED: Final = 0.5
_STREAMED: Final = 0.5
_FASTEST: Final = 1.0
_SLOWEST: Final = 2.0
_SMALLEST: Final = 0.05
_MOST_FAULTS: Final = 3


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
}
"""What happens to several couriers with one ledger."""
ALL_KINDS: Final = KINDS | NODE_KINDS | SHARED_KINDS
_IN_A_FILE: Final = frozenset({"ledger-locked", "ledger-full", "ledger-corrupt"})
SHARED_DECK: Final = (
    *(name for name, kind in SHARED_KINDS.items() for _ in range(kind.cards)),
    *("service-killed", "service-killed", "service-frozen", "service-frozen"),
    *(name for name in KINDS if name not in _IN_A_FILE),
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


@dataclass(frozen=True)
class Planned:
    """A fault to come.

    Attributes:
        kind: a name of `KINDS`.
        at: seconds after the schedule's beginning.
        seconds: how long it lasts.
        variant: one of the kind's.
        dice: for whatever else the fault has to choose.
    """

    kind: str
    at: float
    seconds: float
    variant: str
    dice: int

    @property
    def on(self) -> str:
        """What it happens to; an appliance is a thing of its own."""
        on = ALL_KINDS[self.kind].on
        return self.variant if on == "appliance" else on


@dataclass(frozen=True)
class Sending:
    """A command to come, or one more copy of it.

    Attributes:
        timed: it says when it was sent, which a command may, but need not.
    """

    at: float
    wish: Wish
    timed: bool


@dataclass(frozen=True)
class Schedule:
    """Everything that will happen, each list in the order of time."""

    seed: int
    sendings: tuple[Sending, ...]
    faults: tuple[Planned, ...]

    @property
    def wishes(self) -> list[Wish]:
        """Every command once."""
        return list({each.wish.id: each.wish for each in self.sendings}.values())


def draw(
    seed: int,
    commands: int,
    *,
    only: str | None = None,
    without: Collection[str] = (),
    cluster: bool = False,
    replicas: int = 1,
) -> Schedule:
    """Draw a schedule.

    Args:
        seed: decides everything; the schedules of any `len(DECK)` seeds in a row begin with every
            card of the deck once.
        commands: how many are sent, repeats included.
        only: the one kind of fault that there shall be.
        without: kinds that cannot be had here.
        cluster: begin with what happens to a node of one.
        replicas: with more than one, begin with what happens to them and their ledger.
    """
    dice = random.Random(seed)  # noqa: S311  # dice, no secret
    cards = NODE_DECK if cluster else DECK if replicas == 1 else SHARED_DECK
    without = {*without, *(_IN_A_FILE if replicas > 1 else ())}
    deck = [each for each in cards if each not in without]
    first = only or deck[seed % len(deck)]
    kinds = [first]
    if not ALL_KINDS[first].alone and only is None:
        # Most often one more: two at once is where surprises are.
        beside = BESIDE_NODES if cluster else CHEAP
        if replicas > 1:
            beside += ("database-killed", "database-sessions-ended", "service-killed")
        cheap = [each for each in beside if each not in without]
        kinds += dice.choices(cheap, k=dice.choices(range(_MOST_FAULTS), (3, 5, 2))[0])
    length = dice.uniform(_FASTEST, _SLOWEST)
    struck = [_fault(dice, kind, length) for kind in kinds]
    if cluster and struck[0].variant in NODES:
        # Each node in its turn: this is drawn too seldom to be left to the dice.
        struck[0] = replace(struck[0], variant=NODES[seed // len(deck) % len(NODES)])
    faults = sorted(struck, key=lambda each: each.at)
    repeated = 0.0 if ALL_KINDS[first].alone else _REPEATED
    sendings = _sendings(dice, seed, commands, length, repeated)
    return Schedule(seed, tuple(sendings), tuple(faults))


def _fault(dice: random.Random, name: str, length: float) -> Planned:
    kind = ALL_KINDS[name]
    return Planned(
        name,
        round(dice.uniform(_SMALLEST, length), 3),
        round(dice.uniform(*kind.seconds), 3),
        dice.choice(kind.variants),
        dice.randrange(2**32),
    )


def _sendings(
    dice: random.Random, seed: int, commands: int, length: float, repeated: float
) -> Iterator[Sending]:
    made: list[Wish] = []
    for number, at in enumerate(sorted(dice.uniform(0, length) for _ in range(commands))):
        if made and dice.random() < repeated:
            wish = dice.choice(made)
        else:
            made.append(wish := _wish(dice, seed, number))
        yield Sending(round(at, 3), wish, dice.random() < _TIMED)


def _wish(dice: random.Random, seed: int, number: int) -> Wish:
    kind = dice.choices(COMMANDS, (28, 30, 20, 16, 6))[0]
    on = dice.choice(SMS if "sms" in kind else VOICE)
    more = {"stream": True} if kind == "query-devices" and dice.random() < _STREAMED else {}
    return wish(kind, on, f"{seed}-{number}", **more)


def wish(kind: str, on: str, name: str, **more: object) -> Wish:
    """Make a command; its licence, or file, is its name's own.

    Args:
        kind: which command.
        on: the appliance.
        name: of this very command; it becomes the id.
        more: further fields of `data`.
    """
    data: Json = {"appliance": on, **more}
    key = None
    if kind == "activate-sms-license":
        # Never one that begins with zeros, which the appliance would refuse.
        digits = hashlib.sha256(name.encode()).hexdigest().upper()[:16]
        key = data["license"] = "-".join(["CAMP", *(digits[at : at + 4] for at in range(0, 16, 4))])
    elif kind == "apply-voice-license":
        # Nothing of it stands in anything that may be told, such as the command's id.
        content = hashlib.sha512(name.encode()).digest()
        key = hashlib.sha256(content).hexdigest()
        encoded = base64.b64encode(content).decode()
        data["file"] = {"name": f"{name}.lic", "content": encoded}
    return Wish(command(kind, data, id=f"campaign-{name}"), key)
