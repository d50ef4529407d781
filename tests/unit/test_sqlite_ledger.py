"""What only a ledger in a file must do: one owner, and a storage that may fail or hang."""

import asyncio
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from service.errors import ConfigurationError
from service.ledger.sqlite import SqliteLedger
from tests.support.clock import Clock
from tests.support.wait import until
from tests.unit.fakes import Open
from tests.unit.ledgers import BEFORE, FIRST, ORIGIN, told
from tests.unit.making import LICENSE

ANSWER: Final = b'{"kind": "failed"}'


async def test_a_ledger_is_new_until_a_courier_has_run_commands_on_it(reopen: Open) -> None:
    """To the one that opened it then it is new for as long as that runs."""
    ledger = await reopen()
    await ledger.belong_to("rabbit@a /")
    assert ledger.is_new
    await ledger.close()
    assert not (await reopen()).is_new


async def test_what_is_written_survives_a_sudden_end(sqlite: SqliteLedger, path: Path) -> None:
    """Each write is on disk when the call returns: nobody need close the file."""
    intent = await sqlite.intend(FIRST, BEFORE, ORIGIN)
    await sqlite.keep_answer(FIRST, intent, ANSWER)
    with closing(sqlite3.connect(path)) as reader:
        rows = reader.execute("SELECT id, before, answer FROM commands").fetchall()
        assert [("c-1", BEFORE, ANSWER)] == rows
        assert ("wal",) == reader.execute("PRAGMA journal_mode").fetchone()


async def test_a_file_has_one_owner(reopen: Open) -> None:
    """A second courier is refused and told what to use; when the first is gone it may follow."""
    first = await reopen()
    with pytest.raises(ConfigurationError, match=r"^COURIER_LEDGER_URL: .*use PostgreSQL$"):
        await reopen()
    await first.close()
    await reopen()


@pytest.mark.parametrize("place", ["missing/courier.db", "."])
async def test_a_place_where_no_file_can_be_is_a_clear_error(place: str, tmp_path: Path) -> None:
    """A folder that is missing, and one that stands where the file should, are told alike."""
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"^COURIER_LEDGER_URL: .* cannot be used"):
            await (await SqliteLedger.open(tmp_path / place)).close()


def looked_at(path: Path) -> tuple[bytes, int]:
    """Content and permissions."""
    return path.read_bytes(), stat.S_IMODE(path.stat().st_mode)


async def test_the_file_holds_no_licence(reopen: Open, path: Path) -> None:
    """The ledger keeps a digest, never the licence, and is its owner's alone."""
    ledger = await reopen()
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    await ledger.keep_answer(FIRST, intent, ANSWER)
    await ledger.conclude(FIRST, told(), intent)
    await ledger.close()
    content, mode = looked_at(path)
    assert LICENSE.encode() not in content
    assert 0 == mode & 0o077


async def test_a_storage_that_fails_is_waited_for(sqlite: SqliteLedger, path: Path) -> None:
    """Nothing may be run or told without it: the call ends when the storage is back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("ALTER TABLE commands RENAME TO gone")
        waiting = asyncio.create_task(sqlite.intend(FIRST, BEFORE, ORIGIN))
        await until(lambda: sqlite.idle_reason == "ledger-unavailable")
        assert not waiting.done()
        other.execute("ALTER TABLE gone RENAME TO commands")
    assert BEFORE == (await waiting).before
    assert sqlite.idle_reason is None


async def test_a_storage_that_hangs_is_told_though_it_raises_nothing(
    clock: Clock, sqlite: SqliteLedger, path: Path
) -> None:
    """Whoever waits for it makes the service not ready, until it answers."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        waiting = asyncio.create_task(sqlite.intend(FIRST, BEFORE, ORIGIN))
        for _ in range(2):
            await asyncio.sleep(0)
        assert sqlite.idle_reason is None
        clock.forward(10.1)
        await until(lambda: sqlite.idle_reason == "ledger-unavailable")
        other.execute("ROLLBACK")
    await waiting
    assert sqlite.idle_reason is None
