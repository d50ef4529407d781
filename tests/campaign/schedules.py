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
from tests.campaign.kinds import (
    ALL_KINDS,
    BESIDE_NODES,
    CHEAP,
    COMMANDS,
    DECK,
    IN_A_FILE,
    NODE_DECK,
    NODES,
    SHARED_DECK,
    SMS,
    VOICE,
)
from tests.support.workflow import command

Json = dict[str, Any]

_REPEATED: Final = 0.05
_DUPLICATED: Final = 0.15
_AT_ONCE: Final = 0.5
_LATEST: Final = 4.0
"""Seconds after which a duplicate comes: those of a retry included."""
_EXPIRING: Final = 0.1
_SHORTEST, _LONGEST = 2.0, 8.0
_TIMED: Final = 0.5
_STREAMED: Final = 0.5
_FASTEST: Final = 1.0
_SLOWEST: Final = 2.0
_SMALLEST: Final = 0.05
_MOST_FAULTS: Final = 3


@dataclass(frozen=True)
class Planned:
    """A fault to come.

    Attributes:
        kind: a name of `kinds.ALL_KINDS`.
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
        expires_in: seconds after its sending at which its time is over; None if it does not say.
    """

    at: float
    wish: Wish
    timed: bool
    expires_in: float | None = None


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
    without = {*without, *(IN_A_FILE if replicas > 1 else ())}
    deck = [each for each in cards if each not in without]
    first = only or deck[seed % len(deck)]
    kinds = [first]
    if not ALL_KINDS[first].alone and only is None:
        # Most often one more: two at once is where surprises are.
        beside = BESIDE_NODES if cluster else CHEAP
        if replicas > 1:
            beside += ("database-killed", "database-sessions-ended", "service-killed")
            beside += ("database-slow", "database-stalled")
        cheap = [each for each in beside if each not in without]
        kinds += dice.choices(cheap, k=dice.choices(range(_MOST_FAULTS), (3, 5, 2))[0])
    length = dice.uniform(_FASTEST, _SLOWEST)
    struck = [_fault(dice, kind, length) for kind in kinds]
    if cluster and struck[0].variant in NODES:
        # Each node in its turn: this is drawn too seldom to be left to the dice.
        struck[0] = replace(struck[0], variant=NODES[seed // len(deck) % len(NODES)])
    faults = sorted(struck, key=lambda each: each.at)
    repeated = 0.0 if ALL_KINDS[first].alone else _REPEATED
    sendings = list(_sendings(dice, seed, commands, length, repeated))
    # Further dice: what is drawn here changes nothing of what was drawn before.
    further = random.Random(f"further {seed}")  # noqa: S311  # dice, no secret
    sendings = _some_expiring(further, sendings)
    if replicas > 1:
        sendings = sorted([*sendings, *_duplicates(further, sendings)], key=lambda each: each.at)
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


def _some_expiring(dice: random.Random, sendings: list[Sending]) -> list[Sending]:
    """Give some commands little time; a copy says what the first one says."""
    ends = {
        each.wish.id: round(dice.uniform(_SHORTEST, _LONGEST), 3)
        for each in sendings
        if dice.random() < _EXPIRING
    }
    return [replace(each, expires_in=ends.get(each.wish.id)) for each in sendings]


def _duplicates(dice: random.Random, sendings: list[Sending]) -> Iterator[Sending]:
    """Send some commands twice: several couriers have one at once, or one after the other."""
    for each in sendings:
        if dice.random() < _DUPLICATED:
            later = 0.0 if dice.random() < _AT_ONCE else dice.uniform(0.0, _LATEST)
            yield replace(each, at=round(each.at + later, 3))


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
