"""Statements for SQLite: in one thread, and in one transaction whatever waits at the same time.

A flush to disk takes as long for fifty commands as for one, and so does the way to another thread
and back. Nobody is told before the transaction that has his statement is on disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Value: TypeAlias = str | bytes | float | None
Row: TypeAlias = tuple[Value, ...]
_Rows: TypeAlias = list[sqlite3.Row]
_Run: TypeAlias = "asyncio.Future[list[_Rows | Exception]]"

HANGS = 10.0
"""Seconds after which a storage that has not answered is said to hang."""
_TOGETHER = 500
"""Statements in one transaction, at most."""


@dataclass(frozen=True, eq=False)
class _Statement:
    """What waits to be run.

    Attributes:
        row: its values, or what makes them in the moment in which it is run.
        done: its rows.
    """

    sql: str
    row: Row | Callable[[], Row] = field(repr=False)
    done: asyncio.Future[_Rows] = field(repr=False)

    @property
    def writes(self) -> bool:
        return not self.sql.lstrip().startswith("SELECT")

    def run(self, connection: sqlite3.Connection) -> _Rows:
        values = self.row() if callable(self.row) else self.row
        return connection.execute(self.sql, values).fetchall()


class Batches:
    """A connection that is used from the event loop.

    Args:
        connection: opened with `check_same_thread=False`, each statement its own transaction.

    Attributes:
        on_hang: called when a storage does not answer: such a one raises nothing.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Begin with nothing waiting."""
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._waiting: list[_Statement] = []
        self._running: _Run | None = None
        self.on_hang: Callable[[], None] = _let_it

    async def run(self, sql: str, row: Row | Callable[[], Row]) -> _Rows:
        """Run one statement; when this returns, what it did is on disk.

        Raises:
            sqlite3.Error: it was not run; what else was waiting has nothing to do with it.
            ValueError, OverflowError: SQLite cannot store a value of its row; the same holds.
        """
        loop = asyncio.get_running_loop()
        statement = _Statement(sql, row, loop.create_future())
        self._waiting.append(statement)
        if self._running is None and len(self._waiting) == 1:
            loop.call_soon(self._next)  # whoever else is about to ask comes along
        return await statement.done

    async def close(self) -> None:
        """Close the connection, after what is being run."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown(wait=False)

    def _next(self) -> None:
        batch, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
        loop = asyncio.get_running_loop()
        self._running = loop.run_in_executor(self._thread, self._together, batch)
        alarm = loop.call_later(HANGS, self.on_hang)
        self._running.add_done_callback(lambda done: self._tell(batch, done, alarm))

    def _tell(self, batch: Sequence[_Statement], run: _Run, alarm: asyncio.TimerHandle) -> None:
        alarm.cancel()
        self._running = None
        if self._waiting:
            self._next()
        error = run.exception()
        results = [error] * len(batch) if error else run.result()
        for statement, result in zip(batch, results, strict=True):
            if statement.done.done():
                continue  # nobody waits for it any more
            if isinstance(result, BaseException):
                statement.done.set_exception(result)
            else:
                statement.done.set_result(result)

    def _together(self, batch: Sequence[_Statement]) -> list[_Rows | Exception]:
        """Run them in one transaction; if that fails, each in its own."""
        if len(batch) > 1 and any(statement.writes for statement in batch):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                return [error] * len(batch)
            try:
                with self._connection:
                    return [self._attempt(each, sqlite3.IntegrityError) for each in batch]
            except sqlite3.Error:
                pass  # whose fault it is shows when each is on its own
        return [self._attempt(each, sqlite3.Error) for each in batch]

    def _attempt(self, statement: _Statement, expected: type[sqlite3.Error]) -> _Rows | Exception:
        try:
            return statement.run(self._connection)
        except expected as error:
            return error
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001  a row that cannot be made, or bound: none was run
            return error


def _let_it() -> None:
    """Wait on."""
