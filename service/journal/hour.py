"""The figures of the last hour, a minute each, in a place that does not grow."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SLOTS = 60
"""Minutes."""
_BOUNDS = (
    *(5, 10, 20, 35, 50, 75, 100, 150, 200, 350, 500, 750, 1000, 1500, 2000, 3500, 5000, 10_000),
    *(20_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 86_400_000),
)
"""Milliseconds: where a histogram's buckets end, the bound included."""


class Histogram:
    """How many durations lie in which bucket.

    Attributes:
        counts: of each bucket; the last one is for what is beyond all bounds.
        longest: milliseconds.
    """

    def __init__(self, parts: Iterable[Histogram] = ()) -> None:
        """Begin with what others have counted."""
        self.counts = [0] * (len(_BOUNDS) + 1)
        self.longest = 0
        for part in parts:
            self.counts = [a + b for a, b in zip(self.counts, part.counts, strict=True)]
            self.longest = max(self.longest, part.longest)

    def add(self, milliseconds: int) -> None:
        """Count a duration."""
        self.counts[bisect_left(_BOUNDS, milliseconds)] += 1
        self.longest = max(self.longest, milliseconds)

    def quantile(self, share: float) -> int | None:
        """Say below what so many of them are, as well as the buckets know.

        Args:
            share: 0.5 for the median.

        Returns:
            Milliseconds, or None if nothing was counted.
        """
        rank, below = share * sum(self.counts), 0
        for counted, begin, end in zip(
            self.counts, (0, *_BOUNDS), (*_BOUNDS, self.longest), strict=True
        ):
            if counted and below + counted >= rank:
                last = min(end, self.longest)
                return round(begin + (last - begin) * (rank - below) / counted)
            below += counted
        return None


@dataclass(slots=True)
class Minute:
    """What ended within one minute.

    Attributes:
        number: minutes since the epoch.
        ends: how many, by conclusion; `rejected` is one of them.
        durations: of the commands that finished.
        changed: the journal's version at the last change.
    """

    number: int
    ends: dict[str, int] = field(default_factory=dict)
    durations: Histogram = field(default_factory=Histogram)
    changed: int = 0


class Hour:
    """The last sixty minutes in which something ended."""

    def __init__(self) -> None:
        """Start empty."""
        self._slots: dict[int, Minute] = {}

    def count(self, at: int, end: str, duration: int | None, version: int) -> None:
        """Count an end.

        Args:
            at: when, in milliseconds since the epoch.
            end: the conclusion.
            duration: milliseconds, where it has one.
            version: the journal's.
        """
        number = at // 60_000
        slot = self._slots.get(number % SLOTS)
        if slot is None or slot.number != number:
            slot = self._slots[number % SLOTS] = Minute(number)
        slot.ends[end] = slot.ends.get(end, 0) + 1
        slot.changed = version
        if duration is not None:
            slot.durations.add(duration)

    def until(self, at: int) -> list[Minute]:
        """Give the minutes of the hour that ends now, those in which something ended."""
        return [each for each in self._slots.values() if each.number > at // 60_000 - SLOTS]
