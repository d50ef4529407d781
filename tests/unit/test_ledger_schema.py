"""The ledger's file: old ones are upgraded where they are, and damaged ones are told."""

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from service.errors import ConfigurationError
from service.ledger import Entry, IntentChanged, IntentOpen, Told
from service.ledger.sqlite import SqliteLedger
from service.ledger.sqlite_care import SqliteCare
from service.ledger.sqlite_schema import SCHEMA_VERSION, connect, prepare
from service.messages.wire import format_instant
from tests.support.wait import until
from tests.unit.fakes import Open
from tests.unit.ledgers import (
    BEFORE,
    FIRST,
    ORIGIN,
    SECOND,
    fill,
    intent_of,
    told,
    written,
)
from tests.unit.making import command
from tests.unit.old_ledgers import BIRTH, ELSEWHERE, OLD, SETTLED, old_file, old_intent

ADVICE: Final = r"^COURIER_LEDGER_URL: .* cannot be used: .*Move it away.*end unknown"
COLUMNS: Final = 'SELECT name, type, "notnull", pk FROM pragma_table_info(?)'


def version_of(path: Path) -> int:
    with written(path) as reader:
        (version,) = reader.execute("PRAGMA user_version").fetchone()
        return int(version)


def content_of(path: Path) -> bytes:
    return path.read_bytes()


@pytest.mark.parametrize("version", OLD)
async def test_an_older_file_is_upgraded_where_it_is(
    version: int, reopen: Open, path: Path
) -> None:
    """Nothing that it knew is lost: birth, broker, the open intent, the ends; twice is once."""
    at = old_file(path, version)
    for _ in range(2):
        ledger = await reopen()
        expected = Entry(FIRST.digest, old_intent(version, at), None)
        assert expected == await ledger.find(FIRST.key)
        for ended, conclusion in ((ELSEWHERE, "succeeded"), (SECOND, "unknown")):
            entry = await ledger.find(ended.key)
            assert entry is not None
            assert Told(conclusion, b"{}", at) == entry.told
        assert BIRTH == format_instant(ledger.created_at)
        with pytest.raises(ConfigurationError, match="belongs to rabbit@a /"):
            await ledger.check_owner("rabbit@b /")
        await ledger.close()
    assert SCHEMA_VERSION == version_of(path)


async def test_a_resolution_and_a_trace_outlive_an_upgrade(reopen: Open, path: Path) -> None:
    """Files of version 3 have them."""
    old_file(path, 3)
    await (await reopen()).close()
    with SqliteCare.opened(path) as care:
        first, second = care.find(FIRST.key), care.find(SECOND.key)
    assert first is not None
    assert second is not None
    assert ("order-7", True) == (first.correlation_id, bool(first.traceparent))
    assert SETTLED == second.settlement


async def test_an_upgraded_ledger_gets_one_identity(reopen: Open, path: Path) -> None:
    """It stays from then on; nothing counts as pruned."""
    old_file(path, 3)
    identities = set()
    for _ in range(2):
        ledger = await reopen()
        identities.add(ledger.identity)
        assert ledger.pruned_before is None
        await ledger.close()
    assert 1 == len(identities)
    assert all(identities)


@pytest.mark.parametrize("version", OLD)
async def test_in_an_upgraded_file_everything_can_be_done(
    version: int, reopen: Open, path: Path
) -> None:
    """The intent that the earlier courier left open keeps others out until it is settled."""
    old_file(path, version)
    ledger = await reopen()
    third = command(id="c-4")
    with pytest.raises(IntentOpen):
        await ledger.intend(third, BEFORE, ORIGIN)
    open_one = await intent_of(ledger, FIRST)
    assert {FIRST.key} == await ledger.open_intents("fac-1", ORIGIN)
    await ledger.keep_answer(FIRST, open_one, b"{}")
    with pytest.raises(IntentChanged):
        await ledger.conclude(FIRST, told(), None)
    end = told()
    assert end == await ledger.conclude(FIRST, end, open_one)
    intent = await ledger.intend(third, BEFORE, ORIGIN)
    await ledger.withdraw(third, intent)
    assert Entry(third.digest, None, None) == await ledger.find(third.key)


@pytest.mark.parametrize("version", OLD)
async def test_an_upgraded_file_is_like_a_new_one(
    version: int, reopen: Open, path: Path, tmp_path: Path
) -> None:
    """The same columns and the same indexes, whichever way it came to them."""
    old_file(path, version)
    await (await reopen()).close()
    await (await SqliteLedger.open(tmp_path / "new.db")).close()
    shapes = []
    for each in (path, tmp_path / "new.db"):
        with written(each) as reader:
            columns = [set(reader.execute(COLUMNS, (table,))) for table in ("about", "commands")]
            indexes = reader.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index'")
            shapes.append((columns, set(indexes)))
    assert shapes[0] == shapes[1]


def steps_of(path: Path, unit: int = 100) -> int:
    """How many steps of SQLite's machine it takes to start, in hundreds if nothing else is said."""
    count = 0

    def counted() -> int:
        nonlocal count
        count += 1
        return 0

    with closing(connect(path)) as connection:
        connection.set_progress_handler(counted, unit)
        prepare(connection, path)
    return count


DYING: Final = """
import os, signal, sys
from pathlib import Path
from service.ledger.sqlite_schema import connect, prepare
path, left = Path(sys.argv[1]), int(sys.argv[2])
def step():
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
connection = connect(path)
connection.execute("PRAGMA cache_size = 1")  # what is written is in the file early
connection.set_progress_handler(step, 10)
prepare(connection, path)
"""
"""Upgrades a file and dies after so many steps of SQLite's machine, counted in tens."""


@pytest.mark.parametrize("version", OLD)
async def test_who_dies_in_an_upgrade_leaves_what_was_there(
    version: int, path: Path, tmp_path: Path
) -> None:
    """Killed at any step, the file is the old one, whole; and the next start upgrades it."""
    old_file(path, version)
    fill(path, 3000)
    shutil.copy(path, tmp_path / "whole.db")
    whole = steps_of(tmp_path / "whole.db", 10)
    before = set()
    for percent in (1, 5, 20, 50, 80, 95):
        copy, steps = tmp_path / f"{percent}.db", whole * percent // 100
        shutil.copy(path, copy)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", DYING, str(copy), str(steps)
        )
        assert -signal.SIGKILL == await process.wait()
        before.add(version_of(copy))
        with closing(connect(copy)) as connection:
            assert BIRTH == format_instant(prepare(connection, copy).created_at)
            assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
            (entries,) = connection.execute("SELECT count(*) FROM commands").fetchone()
            assert (3003, SCHEMA_VERSION) == (entries, version_of(copy))
    assert {version} == before


async def test_a_start_takes_no_longer_with_a_large_file(reopen: Open, path: Path) -> None:
    """What is looked at does not grow with what was recorded."""
    await (await reopen()).close()
    small = steps_of(path)
    fill(path, 20_000)
    assert steps_of(path) <= small + 1


async def test_a_newer_file_is_refused(reopen: Open, path: Path) -> None:
    """An older courier does not touch what it cannot understand, and frees it again."""
    await (await reopen()).close()
    with written(path) as writer:
        writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    content = content_of(path)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="written by a newer courier"):
            await reopen()
    assert content == content_of(path)


async def test_another_programs_database_is_refused(reopen: Open, path: Path) -> None:
    """Nothing is made in it."""
    with written(path) as writer:
        writer.execute("CREATE TABLE customers (name TEXT)")
    content = content_of(path)
    with pytest.raises(ConfigurationError, match="another program's database"):
        await reopen()
    assert content == content_of(path)


def no_database(path: Path) -> None:
    path.write_bytes(b"this is no database at all, but long enough" * 99)


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def one_page_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def header_gone(path: Path) -> None:
    overwrite(path, 0, 100)


def root_gone(path: Path) -> None:
    """The page in which the table begins, wherever the file has it."""
    with written(path) as reader:
        (page,) = reader.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'commands'"
        ).fetchone()
    overwrite(path, (page - 1) * 4096, 4096)


def index_gone(path: Path) -> None:
    with written(path) as writer:
        writer.execute("DROP INDEX one_open_intent")


def birth_gone(path: Path) -> None:
    with written(path) as writer:
        writer.execute("DELETE FROM about")


def overwrite(path: Path, begin: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(b"\xa5" * length)


@pytest.mark.parametrize(
    "damage",
    [
        no_database,
        cut_in_half,
        one_page_short,
        header_gone,
        root_gone,
        index_gone,
        birth_gone,
    ],
)
async def test_a_damaged_file_is_told_with_what_to_do(
    damage: Callable[[Path], None], reopen: Open, path: Path
) -> None:
    """The setting, the file and the way out are named; nothing is changed, the lock is let go."""
    await (await reopen()).close()
    fill(path, 50)
    damage(path)
    content = content_of(path)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=ADVICE):
            await reopen()
    assert content == content_of(path)


async def test_damage_that_shows_later_is_waited_for(reopen: Open, path: Path) -> None:
    """As for any storage that fails: nothing is run or told, and the service is not ready."""
    await (await reopen()).close()
    fill(path, 500)
    ledger = await reopen()
    overwrite(path, 20 * 4096, len(content_of(path)) - 40 * 4096)
    waiting = asyncio.create_task(ledger.find(("/portal", "old-250")))
    await until(lambda: ledger.idle_reason == "ledger-unavailable")
    assert not waiting.done()
    waiting.cancel()


def test_a_file_that_is_no_ledger_is_not_left_open(path: Path) -> None:
    """The connection is closed when its first statement fails, not when its memory is freed."""
    path.write_bytes(b"no ledger" * 100)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        connect(path)
    assert path not in {each.resolve() for each in Path("/proc/self/fd").iterdir()}
    assert "file is not a database" == str(caught.value)  # its traceback has the connection
