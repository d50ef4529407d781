"""The bounds of each exploration: commands, replicas, ledgers, boxes, and the faults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

Fault = Literal[
    "crash",  # a replica ends; its deliveries come back
    "reconnect",  # the broker connection is lost; the work goes on
    "lock",  # the lock's session ends at the server
    "unreachable",  # the appliance cannot be reached
    "lost",  # an answer of the appliance is lost while it works on the request
    "dropped",  # a request is lost on its way to the appliance
    "refused",  # the appliance refuses the licence
    "statement",  # the ledger did a statement, its answer is lost, it is repeated
    "confirm",  # the broker's confirm of a publish is lost, it is repeated
    "ack",  # an ack is lost
    "limit",  # a message's deliveries are used up
    "clock",  # the wall clock is set ahead by more than the retention time
    "identity",  # the identity on the virtual host is removed, for another ledger to claim
    "restore",  # the ledger is restored from a backup, or a standby without the last rows
    "swap",  # the hardware behind an address is replaced by another box
]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One exploration.

    Attributes:
        apply: the write cannot be read back (`apply-voice-license`); else figures decide.
        queue: the commands whose messages wait at the start, one number per message.
        names: per command, the name of the appliance that it is for.
        inventories: versions of the inventory, each an address per name.
        routes: the box behind each address at the start.
        totals: per box, its figure before any licence; each licence adds 1.
        ledgers: per replica, its ledger.
        faults: how many faults at most.
        allowed: which.
        expires: the command's time may end.
        ages: the retention time may pass.
        identities: the virtual host's identity plays a part.
        pending: commands that a producer sends at any time.
        depth: steps that a quick exploration goes at most; None for all.
    """

    name: str
    apply: bool = False
    queue: tuple[int, ...] = (0, 0)
    names: tuple[int, ...] = (0,)
    inventories: tuple[tuple[int, ...], ...] = ((0,),)
    routes: tuple[int, ...] = (0,)
    totals: tuple[int, ...] = (0,)
    ledgers: tuple[int, ...] = (0, 0)
    faults: int = 1
    allowed: frozenset[Fault] = frozenset()
    expires: bool = False
    ages: bool = False
    identities: bool = False
    pending: tuple[int, ...] = ()
    depth: int | None = None

    @property
    def commands(self) -> int:
        """How many commands there are."""
        return len(self.names)


def _faults(*kinds: Fault) -> frozenset[Fault]:
    return frozenset(kinds)


_WRITING: Final = _faults("crash", "reconnect", "lock", "unreachable", "lost", "dropped", "refused")
_MESSAGING: Final = _faults("crash", "reconnect", "statement", "confirm", "ack", "limit")

SMS: Final = Scenario("sms", allowed=_WRITING, expires=True)
APPLY: Final = replace(SMS, name="apply", apply=True)
MESSAGING: Final = Scenario("messaging", allowed=_MESSAGING | {"lock"}, expires=True)
TWO_COMMANDS: Final = Scenario(
    "two-commands", queue=(0, 1), names=(0, 0), allowed=_WRITING | {"statement"}
)
TWO_APPLIES: Final = replace(TWO_COMMANDS, name="two-applies", apply=True)
URL: Final = Scenario(
    "url-change",
    inventories=((0,), (1,)),
    routes=(0, 1),
    totals=(0, 1),
    allowed=_faults("lost", "dropped", "crash"),
)
URL_SAME: Final = replace(URL, name="url-change-same-total", totals=(0, 0))
RENAME: Final = Scenario(
    "rename",
    queue=(0, 1),
    names=(0, 1),
    inventories=((0, 1), (1, 0)),
    routes=(0, 1),
    totals=(0, 0),
    allowed=_faults("lost", "dropped", "crash"),
)
ALIAS: Final = Scenario(
    "alias",
    queue=(0, 1),
    names=(0, 1),
    inventories=((0, 1),),
    routes=(0, 0),
    allowed=_faults("lost", "dropped", "crash"),
)
SWAP: Final = Scenario(
    "swap", routes=(0,), totals=(0, 1), allowed=_faults("lost", "crash", "swap"), faults=2
)
TWO_LEDGERS: Final = Scenario(
    "two-ledgers", ledgers=(0, 1), allowed=_faults("ack"), identities=True, apply=True
)
TWO_LEDGERS_LATER: Final = replace(TWO_LEDGERS, name="two-ledgers-sms", apply=False, expires=True)
ADOPTION: Final = Scenario(
    "adoption",
    ledgers=(0, 1),
    queue=(),
    pending=(0, 0),
    allowed=_faults("identity", "reconnect"),
    expires=True,
    identities=True,
    apply=True,
)
RESTORE: Final = Scenario("restore", apply=True, allowed=_faults("restore", "ack"), faults=2)
RESTORE_TWO: Final = Scenario(
    "restore-two", apply=True, queue=(0, 1), names=(0, 0), allowed=_faults("restore")
)
PRUNE: Final = Scenario(
    "prune", apply=True, queue=(0,), allowed=_faults("clock", "ack", "crash"), faults=3, ages=True
)
CLOCK: Final = replace(PRUNE, name="clock", ages=False)
PRUNE_TWO: Final = Scenario("prune-two", apply=True, allowed=_faults("clock"), ages=True)

WITHDRAWN: Final = Scenario("withdrawn", apply=True, allowed=_faults("unreachable"))
FENCE: Final = Scenario("fence", allowed=_faults("lock", "statement"), faults=2)
FENCE_APPLY: Final = replace(FENCE, name="fence-apply", apply=True)
LIMIT: Final = Scenario(
    "delivery-limit", apply=True, allowed=_faults("reconnect", "limit"), faults=2
)

SCENARIOS: Final = (
    SMS,
    APPLY,
    MESSAGING,
    TWO_COMMANDS,
    TWO_APPLIES,
    URL,
    URL_SAME,
    RENAME,
    ALIAS,
    SWAP,
    TWO_LEDGERS,
    ADOPTION,
    RESTORE,
    RESTORE_TWO,
    PRUNE,
    PRUNE_TWO,
    WITHDRAWN,
    FENCE,
    FENCE_APPLY,
    LIMIT,
)
