"""What waits for SQLite at the same time is one transaction, and one's failure is no one else's."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from service.ledger.sqlite_batches import Batches

INSERT: Final = "INSERT INTO things VALUES (?)"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    found = sqlite3.connect(
        tmp_path / "things.db", isolation_level=None, check_same_thread=False, timeout=0
    )
    found.execute("PRAGMA journal_mode = WAL")
    found.execute("CREATE TABLE things (name TEXT PRIMARY KEY)")
    with closing(found):
        yield found


@pytest.fixture
async def batches(connection: sqlite3.Connection) -> AsyncIterator[Batches]:
    made = Batches(connection)
    yield made
    await made.close()


def names(path: Path) -> list[str]:
    """What somebody else sees in the file."""
    with closing(sqlite3.connect(path / "things.db")) as other:
        return [name for (name,) in other.execute("SELECT name FROM things ORDER BY name")]


async def test_what_waits_together_is_one_transaction(
    batches: Batches, connection: sqlite3.Connection, tmp_path: Path
) -> None:
    """One flush for all of them; whoever is told finds it on disk."""
    said: list[str] = []
    connection.set_trace_callback(said.append)
    await asyncio.gather(*(batches.run(INSERT, (f"{number:02}",)) for number in range(50)))
    assert ["BEGIN IMMEDIATE", "COMMIT"] == [said[0], said[-1]]
    assert 1 == said.count("COMMIT")
    assert [f"{number:02}" for number in range(50)] == names(tmp_path)


async def test_nobody_is_told_before_it_is_on_disk(batches: Batches, tmp_path: Path) -> None:
    """Not even the first of a batch."""
    seen: list[list[str]] = []

    async def insert(name: str) -> None:
        await batches.run(INSERT, (name,))
        seen.append(names(tmp_path))

    await asyncio.gather(insert("a"), insert("b"))
    assert [["a", "b"], ["a", "b"]] == seen


@pytest.mark.parametrize(
    ("sql", "row", "kind"),
    [
        (INSERT, ("a",), sqlite3.IntegrityError),
        ("INSERT INTO nowhere VALUES (?)", ("b",), sqlite3.OperationalError),
        (INSERT, ("\ud800",), UnicodeEncodeError),
        (INSERT, (2**63,), OverflowError),
        (INSERT, (object(),), sqlite3.ProgrammingError),
        (INSERT, lambda: (1 / 0,), ZeroDivisionError),
    ],
    ids=["it is there", "no table", "no text", "no integer", "no value", "no row"],
)
async def test_one_that_fails_fails_alone(
    sql: str,
    row: Any,  # noqa: ANN401  also what its type forbids
    kind: type[Exception],
    batches: Batches,
    tmp_path: Path,
) -> None:
    """Those that were run with it are not the worse for it, whatever it died of."""
    await batches.run(INSERT, ("a",))
    found = await asyncio.gather(
        *(batches.run(INSERT, ("c",)), batches.run(sql, row), batches.run(INSERT, ("d",))),
        return_exceptions=True,
    )
    assert [list, kind, list] == [type(each) for each in found]
    assert ["a", "c", "d"] == names(tmp_path)


async def test_a_file_that_is_locked_is_told_to_all_at_once(
    batches: Batches, connection: sqlite3.Connection, tmp_path: Path
) -> None:
    """They do not wait for the lock one after the other."""
    said: list[str] = []
    connection.set_trace_callback(said.append)
    with closing(sqlite3.connect(tmp_path / "things.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        found = await asyncio.gather(
            *(batches.run(INSERT, (name,)) for name in "abc"), return_exceptions=True
        )
        other.execute("ROLLBACK")
    assert [sqlite3.OperationalError] * 3 == [type(each) for each in found]
    assert ["BEGIN IMMEDIATE"] == said


async def test_values_are_made_when_they_are_needed(batches: Batches) -> None:
    """An instant that is recorded is no older for having been waited for."""
    made: list[str] = []

    def row() -> tuple[str]:
        made.append("now")
        return ("a",)

    waiting = asyncio.create_task(batches.run(INSERT, row))
    await asyncio.sleep(0)
    assert not made
    await waiting
    assert ["now"] == made
