"""What the event log told of commands lately, kept small and at hand for the page.

It listens to the lines (`telemetry.heard_by`), so that it cannot tell another story than the log.
What it holds does not grow with the number of commands: those that run or wait, the last 200 that
ended, at most 40 lines of each one's story, and 60 one-minute slots of figures. Only this process's
commands are in it, since its start.

A command is known by its id and type here, since the lines do not tell its source: two that differ
in nothing else are shown as one.

- `followed`: one command.
- `hour`: the figures.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from service.errors import Reason
from service.journal.followed import REJECTED, Followed, State, number, text
from service.journal.hour import Histogram, Hour, Minute
from service.messages.wire import now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from service.journal.followed import Key

KEPT = 200
"""Commands that ended and are kept; the newest."""
_RUNNING = 500
_WAITING = 300
"""Commands under way that are kept; the newest. How many wait in all, the queues tell."""
_GONE = 1000
"""Commands that were forgotten, remembered for those who must take them off a list."""


@dataclass(frozen=True)
class Look:
    """What is new since an earlier look.

    Attributes:
        version: to be named at the next look.
        whole: it is not what is new, but everything there is.
        commands: those that changed, the latest change first.
        gone: the numbers of those that are not kept any more.
        minutes: those that changed, of the last hour.
        hour: the durations of all of the last hour.
    """

    version: int
    whole: bool
    commands: list[Followed]
    gone: list[int]
    minutes: list[Minute]
    hour: Histogram


class Journal:
    """Follows the commands of this process.

    Args:
        clock: tells which hour is the last one.

    Attributes:
        version: goes up with every change.
    """

    def __init__(self, clock: Callable[[], datetime] = now) -> None:
        """Start empty; `hear` is to be given to `telemetry.heard_by`."""
        self._clock = clock
        self.version = 0
        # Lines may come from other threads than the one that looks.
        self._lock = threading.Lock()
        self._numbers = 0
        self._running: dict[Key, Followed] = {}
        self._waiting: dict[Key, Followed] = {}
        self._ended: deque[Followed] = deque()
        self._last: dict[Key, Followed] = {}
        self._by_change: dict[int, Followed] = {}
        self._gone: deque[tuple[int, int]] = deque(maxlen=_GONE)
        self._forgotten = 0
        self._hour = Hour()
        self._steps: dict[str, Callable[[Followed, Mapping[str, object], int], None]] = {
            "command-received": self._received,
            "command-delayed": self._delayed,
            "command-finished": self._finished,
            "command-repeated": self._repeated,
            "command-rejected": self._rejected,
            "result-told": self._told,
        }
        self._first = self._steps.keys() - {"result-told"}

    def hear(self, told: Mapping[str, object]) -> None:
        """Take a line of the event log."""
        slug = str(told["event"])
        if "command_id" not in told and slug != "command-rejected":
            return
        at = round(datetime.fromisoformat(str(told["timestamp"])).timestamp() * 1000)
        with self._lock:
            one = self._whose(slug, told, at)
            if one is None:
                return
            self.version += 1
            one.changed = self.version
            one.note(at, told)
            self._by_change.pop(one.number, None)
            self._by_change[one.number] = one
            step = self._steps.get(slug)
            if step is not None:
                step(one, told, at)
                self._forget_the_oldest()

    def look(self, since: int | None = None) -> Look:
        """Tell what changed since an earlier look, or everything if that is too long ago.

        Args:
            since: the earlier look's version; None for everything.
        """
        at = round(self._clock().timestamp() * 1000)
        with self._lock:
            whole = since is None or not self._forgotten <= since <= self.version
            after = 0 if whole or since is None else since
            changed = []
            for one in reversed(self._by_change.values()):
                if one.changed <= after:
                    break
                changed.append(one)
            minutes = self._hour.until(at)
            return Look(
                self.version,
                whole,
                changed,
                [] if whole else [number for version, number in self._gone if version > after],
                [each for each in minutes if each.changed > after],
                Histogram(each.durations for each in minutes),
            )

    def find(self, number: int) -> Followed | None:
        """Find a command by the journal's number; None if it is not kept any more."""
        return self._by_change.get(number)

    def _whose(self, slug: str, told: Mapping[str, object], at: int) -> Followed | None:
        """Find the command that a line is about; None if it is about none that is kept."""
        key = (text(told, "command_id"), text(told, "command_type"))
        under_way = self._running.get(key) or self._waiting.get(key)
        is_conflict = slug == "command-rejected" and told.get("reason") == Reason.ID_CONFLICT
        if is_conflict and under_way is not None and under_way.deliveries > 1:
            # Another message with its id: that one is rejected, and not the one that runs.
            under_way.deliveries -= 1
            under_way = None
        if under_way is not None or slug not in self._first:
            return under_way or self._last.get(key)
        self._numbers += 1
        return Followed(self._numbers, *key, text(told, "appliance"), at)

    def _received(self, one: Followed, told: Mapping[str, object], _: int) -> None:
        self._waiting.pop(one.key, None)
        self._running[one.key] = one
        one.deliveries = one.deliveries + 1 if one.state is State.RUNNING else 1
        one.state, one.until = State.RUNNING, None
        one.attempts = number(told, "attempt")
        one.correlation_id = text(told, "correlation_id")

    def _delayed(self, one: Followed, told: Mapping[str, object], at: int) -> None:
        self._running.pop(one.key, None)
        self._waiting[one.key] = one
        one.state, one.until = State.WAITING, at + 1000 * (number(told, "retry_in") or 0)
        one.error, one.attempts = text(told, "error_code"), number(told, "attempt")

    def _finished(self, one: Followed, told: Mapping[str, object], at: int) -> None:
        one.error, one.attempts = text(told, "error_code"), number(told, "attempt")
        one.duration = number(told, "duration_ms")
        self._end(one, text(told, "conclusion"), at)
        self._hour.count(at, one.conclusion, one.duration, self.version)

    def _repeated(self, one: Followed, told: Mapping[str, object], at: int) -> None:
        one.repeated, one.error, one.attempts = True, "", None
        self._end(one, text(told, "conclusion"), at)

    def _rejected(self, one: Followed, told: Mapping[str, object], at: int) -> None:
        one.error, one.attempts = text(told, "reason"), None
        self._end(one, REJECTED, at)
        self._hour.count(at, REJECTED, None, self.version)

    def _told(self, one: Followed, _: Mapping[str, object], at: int) -> None:
        """See to one that came in the moment in which another of its deliveries ended it."""
        last = self._last.get(one.key)
        if one.state is not State.ENDED and last is not None:
            one.repeated = True
            self._end(one, last.conclusion, at)

    def _end(self, one: Followed, conclusion: str, at: int) -> None:
        for under_way in (self._running, self._waiting):
            if under_way.get(one.key) is one:
                del under_way[one.key]
        one.state, one.conclusion, one.ended, one.until = State.ENDED, conclusion, at, None
        self._ended.append(one)
        self._last[one.key] = one

    def _forget_the_oldest(self) -> None:
        for under_way, most in ((self._running, _RUNNING), (self._waiting, _WAITING)):
            if len(under_way) > most:
                self._forget(under_way.pop(next(iter(under_way))))
        if len(self._ended) > KEPT:
            oldest = self._ended.popleft()
            if self._last.get(oldest.key) is oldest:
                del self._last[oldest.key]
            self._forget(oldest)

    def _forget(self, one: Followed) -> None:
        del self._by_change[one.number]
        if len(self._gone) == _GONE:
            self._forgotten = self._gone[0][0]
        self._gone.append((self.version, one.number))
