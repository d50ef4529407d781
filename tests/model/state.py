"""The world as nested tuples: small, hashable, and compared by value."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class At(IntEnum):
    """What a task does next."""

    LOOK = 0
    LOCK = 1
    INTEND = 2
    SEND = 3
    AWAIT = 4
    AFTER = 5
    READ_BACK = 6
    WITHDRAW = 7
    CONCLUDE = 8
    PUBLISH = 9
    RETRY = 10
    ACK = 11


class Lock(IntEnum):
    """A task's write lock: `LOST` is gone at the server, and the task has not noticed."""

    NONE = 0
    HELD = 1
    LOST = 2


class Answer(IntEnum):
    """What the appliance answered to a write."""

    NONE = 0
    DONE = 1
    REFUSED = 2
    LOST = 3


class Code(IntEnum):
    """A conclusion; `EXPIRED` is `failed` with the code `expired`."""

    SUCCEEDED = 1
    FAILED = 2
    EXPIRED = 3
    REFUSED = 4
    UNKNOWN = 5


class Open(IntEnum):
    """The state of a ledger row."""

    OPEN = 1
    WITHDRAWN = 2
    DONE = 3


class Result(NamedTuple):
    """A stored result; `body` numbers the results that were ever made of one command."""

    code: Code
    added: int
    body: int


class Message(NamedTuple):
    """A message in a queue, or held by a delivery.

    Attributes:
        intent: a retry copy says that its sender saw an open intent.
        limit: its deliveries are used up.
    """

    command: int
    redelivered: bool = False
    intent: bool = False
    limit: bool = False


class Row(NamedTuple):
    """What a ledger knows of one command; ages count in `read_timeout`, at most 2.

    Attributes:
        place: where it was recorded for, as the rules know a place.
        box: where the write truly goes; no rule may look at it.
    """

    state: Open
    intent: int = 0
    place: int = 0
    box: int = 0
    baseline: int = 0
    age: int = 0
    answer: Answer = Answer.NONE
    result: Result | None = None


class Task(NamedTuple):
    """One command on its way through one replica.

    Attributes:
        message: the delivery that waits for it; None while its connection is lost.
        seen: the open intent found at the look-up; 0 for none.
        own: the intent that this task recorded; 0 for none.
        age: of the intent, as this task believes it.
        stale: what the ledger is known to know has changed since the look-up.
    """

    at: At
    command: int
    message: Message | None
    address: int = 0
    lock: Lock = Lock.NONE
    seen: int = 0
    own: int = 0
    place: int = 0
    baseline: int = 0
    age: int = 0
    answer: Answer = Answer.NONE
    outcome: Result | None = None
    stale: bool = False

    @property
    def knows(self) -> int:
        """The intent that this task may close."""
        return self.own or self.seen


class Replica(NamedTuple):
    """One courier process.

    Attributes:
        inventory: the version of the inventory that it has read.
        trusted: its last look found its own ledger's identity on the virtual host.
        looked: how long ago that look was.
        stepped: the wall clock was set during this process's life.
    """

    ledger: int
    task: Task | None = None
    inventory: int = 0
    trusted: bool = True
    looked: int = 0
    stepped: bool = False


class Request(NamedTuple):
    """A write on its way at an appliance; with an answer, it has been worked on."""

    command: int
    intent: int
    age: int = 0
    answer: Answer = Answer.NONE


class Box(NamedTuple):
    """An appliance's own books."""

    applied: tuple[int, ...]
    requests: tuple[Request, ...] = ()


class World(NamedTuple):
    """Everything.

    Attributes:
        rows: per ledger, per command.
        routes: the box behind each address.
        old: per ledger, per command: its `time` is before what the ledger is known to know.
        identity: the ledger that the virtual host names; -1 for none.
        claimed: how long ago it was named.
        pending: commands that are not sent yet.
        expired, sent, doubt, made, told, rejected: per command; `doubt` counts intents that were
            recorded and not withdrawn.
        jumped: the wall clock is ahead by more than the retention time.
        aged: the retention time has truly passed.
        amnesia: a ledger was replaced or restored.
        faults: how many more may happen.
        flag: the invariant that the last step broke.
    """

    queue: tuple[Message, ...]
    replicas: tuple[Replica, ...]
    rows: tuple[tuple[Row | None, ...], ...]
    boxes: tuple[Box, ...]
    routes: tuple[int, ...]
    faults: int
    expired: tuple[bool, ...]
    sent: tuple[int, ...]
    doubt: tuple[int, ...]
    made: tuple[int, ...]
    told: tuple[Result | None, ...]
    rejected: tuple[bool, ...]
    old: tuple[tuple[bool, ...], ...]
    pending: tuple[int, ...] = ()
    identity: int = 0
    claimed: int = 2
    jumped: bool = False
    aged: bool = False
    amnesia: bool = False
    flag: str = ""
