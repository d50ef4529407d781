"""Shows how a bulk comes on, and at its end what came of it and what to do."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from service.cli.bulk.results import REJECTED
from service.messages.results import Conclusion, Effect

if TYPE_CHECKING:
    from types import TracebackType

    from service.cli.bulk.results import Results
    from service.cli.bulk.rows import Row

UNANSWERED = "no answer yet"
_WIDE = 200
_ADVICE = {
    Conclusion.SUCCEEDED.value: "nothing to do",
    Conclusion.REFUSED.value: "the appliance or the inventory said no; repeating will not help",
    Conclusion.FAILED.value: "nothing was changed; --retry-failed sends them again, with new ids",
    REJECTED: "no valid command for this service; see `courier parked list`",
    Conclusion.UNKNOWN.value: "do not send them again: look at the appliance, then"
    " `courier ledger resolve ID --source {source}`",
    UNANSWERED: "may be carried out all the same; run the same command again, later: same ids",
}
"""Every conclusion with what to do, in the order in which they are shown."""


class Progress:
    """A bar on a terminal, one line per row elsewhere."""

    def __init__(self, rows: int) -> None:
        """Begin with nothing done."""
        self._bar: Bar | None = None
        if sys.stderr.isatty():
            columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            told = TextColumn("{task.fields[told]}")
            self._bar = Bar(*columns, told, console=Console(stderr=True))
            self._task = self._bar.add_task("", total=rows, told="")
        self._told: dict[int, str] = {}

    def __enter__(self) -> Self:
        """Show it."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Leave it as it stands."""
        if self._bar is not None:
            self._bar.stop()

    def show(self, row: Row, conclusion: str | None) -> None:
        """Tell how a row ended, or that its time is over."""
        word = conclusion or UNANSWERED
        self._told[row.line] = word
        if self._bar is not None:
            counts = Counter(self._told.values())
            told = ", ".join(f"{counts[word]} {word}" for word in _ADVICE if counts[word])
            self._bar.update(self._task, completed=len(self._told), told=told)
        else:
            sys.stdout.write(f"{_line(row)}  {word}\n")
            sys.stdout.flush()


def conclude(results: Results, source: str) -> int:
    """Print the summary; give the exit code."""
    ends = [(row, results.conclusion(row) or UNANSWERED) for row in results.rows]
    counts = Counter(end for _, end in ends)
    table = Table("conclusion", "rows", "what to do", box=None)
    for end, advice in _ADVICE.items():
        if counts[end]:
            table.add_row(end, str(counts[end]), Text(_said(end, advice, results, source)))
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)
    for row, end in ends:
        if end != Conclusion.SUCCEEDED:
            told = results.known.get(row.line, {})
            why = f" ({told['error']})" if told.get("error") else ""
            command_id = told.get("id") or row.id_of(1)
            sys.stdout.write(f"{_line(row)}  {end}{why}  id {command_id}\n")
    if counts[Conclusion.UNKNOWN] or counts[UNANSWERED]:
        return 3
    return 0 if counts[Conclusion.SUCCEEDED] == len(ends) else 1


def _said(end: str, advice: str, results: Results, source: str) -> str:
    if end != Conclusion.SUCCEEDED:
        return advice.replace("{source}", source)
    effects = Counter(told.get("effect") for told in results.known.values())
    used = effects[Effect.UNCHANGED.value]
    return f"{advice}; {used} of them had been used before" if used else advice


def _line(row: Row) -> str:
    return " ".join(each for each in (f"line {row.line}", row.appliance, row.license) if each)
