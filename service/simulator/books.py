"""The simulator's own record of what reached an appliance and what it did."""

from __future__ import annotations

import time
from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

JOURNAL_LENGTH: Final = 1000
"""Entries that the journal keeps; the oldest go first."""

WRITES: Final = frozenset({"activate", "upload", "apply"})
"""Operations that change what the appliance holds; none may overlap another on one appliance."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that the appliance took, as it arrived."""

    name: str
    size: int
    sha256: str


@dataclass(slots=True)
class Spent:
    """What a licence brought: ``amount`` in all, ``times`` it was accepted (used ones add 0)."""

    amount: int = 0
    times: int = 0


@dataclass(slots=True)
class Entry:
    """One line of the journal: what happened, and how it ended."""

    number: int
    seconds: float
    operation: str
    outcome: str
    faults: tuple[str, ...] = ()


@dataclass
class Books:
    """What one appliance saw and did, from its start on.

    A request counts from its last byte until its answer is ready; one whose client went away counts
    until the appliance is done with it, because the appliance does not know.

    Attributes:
        appliance: Its name.
        logins: Logins that opened a session (FortiVoice).
        refused_logins: Requests whose credentials were refused, at login or as HTTP Basic.
        lockouts: How often too many of them in a row locked everyone out.
        requests: Requests by operation, those that a fault cut short included.
        sessions_open: Sessions that are valid now.
        sessions_peak: The most that were valid at once.
        sessions_ended: Sessions that are over, by reason.
        posts: Activations that arrived, by licence, refused and cut short ones included.
        spent: Licences that the appliance accepted.
        uploads: Files that it took, in order.
        applied: How often each file was applied, by its SHA-256.
        in_flight: Requests that are being worked on now.
        in_flight_peak: The most at once.
        writes: Writes (``WRITES``) that are being worked on now.
        writes_peak: The most at once: 1 when no two ever overlapped.
        journal: The last ``JOURNAL_LENGTH`` events, oldest first.
    """

    appliance: str
    logins: int = 0
    refused_logins: int = 0
    lockouts: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    sessions_open: int = 0
    sessions_peak: int = 0
    sessions_ended: Counter[str] = field(default_factory=Counter)
    posts: Counter[str] = field(default_factory=Counter)
    spent: dict[str, Spent] = field(default_factory=dict)
    uploads: list[Upload] = field(default_factory=list)
    applied: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    in_flight_peak: int = 0
    writes: int = 0
    writes_peak: int = 0
    journal: deque[Entry] = field(default_factory=lambda: deque(maxlen=JOURNAL_LENGTH))
    _began: float = field(default_factory=time.monotonic, repr=False)
    _events: int = field(default=0, repr=False)

    @contextmanager
    def request(self, operation: str, faults: tuple[str, ...] = ()) -> Iterator[Entry]:
        """Count a request while it is worked on; yield its journal entry, to be completed."""
        write = operation in WRITES
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight_peak, self.in_flight)
        self.writes += write
        self.writes_peak = max(self.writes_peak, self.writes)
        try:
            yield self.note(operation, "in flight", faults)
        finally:
            self.in_flight -= 1
            self.writes -= write

    def note(self, operation: str, outcome: str, faults: tuple[str, ...] = ()) -> Entry:
        """Write a line into the journal and return it."""
        self._events += 1
        seconds = round(time.monotonic() - self._began, 6)
        entry = Entry(self._events, seconds, operation, outcome, faults)
        self.journal.append(entry)
        return entry

    def locked_out(self) -> None:
        """Count a lock-out that begins."""
        self.lockouts += 1
        self.note("lockout", "began")

    def session_opened(self) -> None:
        """Count a login that succeeded and its session."""
        self.logins += 1
        self.sessions_open += 1
        self.sessions_peak = max(self.sessions_peak, self.sessions_open)

    def session_ended(self, reason: str) -> None:
        """Count a session that is over."""
        self.sessions_open -= 1
        self.sessions_ended[reason] += 1
        self.note("session", reason)

    def licence_accepted(self, licence: str, amount: int) -> None:
        """Record a licence that was answered with success and the ``amount`` that it added."""
        spent = self.spent.setdefault(licence, Spent())
        spent.amount += amount
        spent.times += 1

    def as_dict(self) -> dict[str, object]:
        """Return everything as what JSON can hold."""
        return {
            "appliance": self.appliance,
            "logins": self.logins,
            "refused_logins": self.refused_logins,
            "lockouts": self.lockouts,
            "requests": dict(self.requests),
            "sessions_open": self.sessions_open,
            "sessions_peak": self.sessions_peak,
            "sessions_ended": dict(self.sessions_ended),
            "posts": dict(self.posts),
            "spent": {licence: asdict(spent) for licence, spent in self.spent.items()},
            "uploads": [asdict(upload) for upload in self.uploads],
            "applied": dict(self.applied),
            "in_flight": self.in_flight,
            "in_flight_peak": self.in_flight_peak,
            "writes": self.writes,
            "writes_peak": self.writes_peak,
            "journal": [asdict(entry) | {"faults": list(entry.faults)} for entry in self.journal],
        }
