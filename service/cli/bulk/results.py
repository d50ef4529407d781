"""The file beside a bulk file: one JSON object per line, appended and flushed as each answer comes.

Each has `row` (the line in the bulk file), `attempt`, `id`, `appliance`, `license` (its last four
characters; a licence file's name), `conclusion` (that of the event; `rejected`; null), `effect`,
`added_sms`, `error` (a code or reason), `finished_at`, and for queries `result` (what was read).

The last line of a row counts. A null conclusion was written before a row was sent under a new id:
whoever dies then must not take the old end for the new one. An id that its row does not have tells
that the file belongs to another bulk file.
"""

from __future__ import annotations

import fcntl
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self, TextIO

from service.cli.bulk.rows import BadRows
from service.messages.encode import read_finished
from service.messages.events import Finished
from service.messages.results import Conclusion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from service.cli.bulk.rows import Row
    from service.messages.wire import Json

REJECTED = "rejected"
_BEGINNING = '{"row": '
_ENDS = {*(each.value for each in Conclusion), REJECTED}
_QUERIES = ("query-sms-balance", "query-devices", "query-appliance-status")
_COMMON = ("command", "appliance", "conclusion", "attempts", "started_at", "finished_at", "error")


class Results:
    """What is known of each row.

    Attributes:
        path: where it is kept.
        rows: all of the bulk file.
        known: the last line of each row that has one, by the row's line.
    """

    def __init__(self, path: Path, rows: Sequence[Row], file: TextIO) -> None:
        """Use `opened`."""
        self.path = path
        self.rows = rows
        self.known: dict[int, dict[str, Json]] = {}
        self._file = file

    @classmethod
    @contextmanager
    def opened(cls, path: Path, rows: Sequence[Row]) -> Iterator[Self]:
        """Open the file, or make it, and read what is in it.

        Raises:
            BadRows: it belongs to another bulk file or another run, or cannot be used.
        """
        try:
            file = path.open("a+", encoding="utf-8", errors="replace")
        except OSError as error:
            raise BadRows(f"{path} cannot be written: {error.strerror}") from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BadRows(f"{path} is in use: the same file is being sent already") from None
            results = cls(path, rows, file)
            results._read()
            yield results

    def conclusion(self, row: Row) -> str | None:
        """Tell how a row ended; None if it has no end that we know."""
        told = self.known.get(row.line, {}).get("conclusion")
        return str(told) if told in _ENDS else None

    def pending(self, *, retry_failed: bool) -> list[tuple[Row, int]]:
        """List the rows that are to be sent, with the number of the attempt."""
        found = []
        for row in self.rows:
            attempt = self._attempt(row)
            end = self.conclusion(row)
            if end is None:
                found.append((row, attempt))
            elif retry_failed and end == Conclusion.FAILED:
                found.append((row, attempt + 1))
        return found

    def begin(self, row: Row, attempt: int) -> None:
        """Write down that a row is sent under a new id, before it is."""
        if attempt > 1 and (attempt != self._attempt(row) or self.conclusion(row) is not None):
            self._write(row, attempt, {"conclusion": None})

    def finish(self, row: Row, attempt: int, answer: bytes) -> str:
        """Write down how a row ended, and tell it.

        Raises:
            ValueError: the answer is none that we know.
        """
        told = read_finished(answer)
        if isinstance(told, Finished):
            data: dict[str, Json] = json.loads(answer)["data"]
            error = data["error"]
            end: dict[str, Json] = {
                "conclusion": data["conclusion"],
                "effect": data.get("effect"),
                "added_sms": data.get("added_sms"),
                "error": error["code"] if isinstance(error, dict) else None,
                "finished_at": data["finished_at"],
            }
            if row.draft.name in _QUERIES:
                end["result"] = {name: data[name] for name in data if name not in _COMMON}
        else:
            at = json.loads(answer).get("time")
            end = {"conclusion": REJECTED, "error": told.reason, "finished_at": at}
        self._write(row, attempt, end)
        return str(end["conclusion"])

    def _attempt(self, row: Row) -> int:
        told = self.known.get(row.line, {}).get("attempt")
        return told if isinstance(told, int) else 1

    def _write(self, row: Row, attempt: int, end: dict[str, Json]) -> None:
        line: dict[str, Json] = {
            "row": row.line,
            "attempt": attempt,
            "id": row.id_of(attempt),
            "appliance": row.appliance,
            "license": row.license,
            **dict.fromkeys(("conclusion", "effect", "added_sms", "error", "finished_at")),
            **end,
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        self.known[row.line] = line

    def _read(self) -> None:
        self._file.seek(0)
        text = self._file.read()
        whole, newline, torn = text.rpartition("\n")
        by_line = {row.line: row for row in self.rows}
        for number, line in enumerate(whole.splitlines(), 1):
            told = self._told(number, line)
            row = by_line.get(told["row"]) if isinstance(told["row"], int) else None
            attempt = told["attempt"]
            if row is None or not isinstance(attempt, int) or told["id"] != row.id_of(attempt):
                raise BadRows(
                    f"{self.path} belongs to another bulk file: its line {number} is not about a"
                    " row of this one. Rows, command, --source and what the command line adds must"
                    " be the same. Move it away to begin anew: rows that ended are then told again,"
                    " not done again"
                )
            self.known[row.line] = told
        if torn:
            # Whoever wrote it was killed in the middle of the line; anything else is not ours.
            # After a loss of power it may end in zeros: its length was on disk, its last bytes not.
            torn = torn.rstrip("\0")
            if not (torn.startswith(_BEGINNING) or _BEGINNING.startswith(torn)):
                raise BadRows(f"{self.path} is no result file")
            self._file.truncate(len((whole + newline).encode()))

    def _told(self, number: int, line: str) -> dict[str, Json]:
        try:
            told = json.loads(line)
        except ValueError:
            told = None
        if not isinstance(told, dict) or not {"row", "attempt", "id", "conclusion"} <= set(told):
            raise BadRows(f"{self.path} is no result file: see its line {number}")
        return told
