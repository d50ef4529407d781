"""What was found: a question, what is asked, what each round said, whether it holds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from tests.benchmarks.ground import Cost

Cell = str | int | float


@dataclass(frozen=True)
class Check:
    """One figure that is asked for, and what the rounds found.

    Attributes:
        limit: the least, or the most, that the median may be; None where nothing is asked.
        unit: behind the figures; empty for a ratio.
    """

    what: str
    values: list[float]
    limit: float | None = None
    bound: Literal["≥", "≤", "="] = "≥"
    unit: str = ""

    @property
    def middle(self) -> float:
        return median(self.values)

    @property
    def is_asked(self) -> bool:
        return self.limit is not None

    @property
    def holds(self) -> bool:
        if self.limit is None:
            return True
        if self.bound == "=":
            return all(value == self.limit for value in self.values)
        return self.middle >= self.limit if self.bound == "≥" else self.middle <= self.limit


@dataclass(frozen=True)
class Table:
    """Figures behind the checks."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]


@dataclass(frozen=True)
class Row:
    """A question and its answer.

    Attributes:
        method: how it was found, in a sentence.
        note: what must be said beside the figures.
        series: for the chart: points, by what they are of.
    """

    key: str
    title: str
    method: str
    checks: list[Check]
    tables: list[Table] = field(default_factory=list)
    note: str = ""
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    @property
    def is_asked(self) -> bool:
        return any(check.is_asked for check in self.checks)

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)


def quantile(values: list[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def middle(values: list[float], digits: int = 1) -> str:
    """A median and its spread."""
    low, high = min(values), max(values)
    return f"{median(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def cost_table(title: str, costs: dict[str, list[Cost]]) -> Table:
    """What each worker did and used, over the rounds."""
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            middle([each.rate for each in found]),
            middle([each.cpu_ms for each in found], 2),
            *(
                f"{median([each.cores[group] for each in found]):.2f}"
                for group in ("worker", "broker", "appliances", "load")
            ),
            f"{median([each.megabytes for each in found]):.0f}",
        )
        for name, found in costs.items()
    ]
    columns = ("worker", "commands/s", "CPU ms/command", "its cores")
    return Table(title, (*columns, "broker's", "appliances'", "load's", "memory, MB"), rows)
