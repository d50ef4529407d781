"""A ledger's file in a person's hands: it keeps nobody waiting, and is looked for by indexes."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from service.errors import ConfigurationError
from service.ledger import Care, Settlement, Wanted
from service.ledger.opening import if_there, opened
from service.ledger.sqlite import SqliteLedger
from service.ledger.sqlite_care import SqliteCare
from service.ledger.sqlite_schema import SCHEMA_VERSION, connect
from service.messages.wire import now
from tests.unit.ledgers import BEFORE, FIRST, ORIGIN, SECOND, fill, told, written
from tests.unit.making import command
from tests.unit.old_ledgers import OLD, old_file

TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DAY: Final = timedelta(days=1)

pytestmark = pytest.mark.usefixtures("sqlite")  # a service has the file open all the time


def found(verdict: str = "applied", note: str = "It is there.") -> Settlement:
    return Settlement(verdict, note, "anna", now())


def ids(path: Path, wanted: Wanted | None = None) -> list[str]:
    with opened(path) as care:
        return [record.id for record in care.entries(wanted or Wanted())]


async def test_a_look_keeps_nobody_waiting(sqlite: SqliteLedger, path: Path) -> None:
    """A tool reads while the service writes, and the service writes while a tool reads."""
    with written(path) as writer, opened(path) as care:
        writer.execute("BEGIN IMMEDIATE")
        assert [] == care.entries(Wanted())
        writer.execute("ROLLBACK")
        with closing(connect(path, read_only=True)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM commands").fetchall()
            await asyncio.wait_for(sqlite.intend(FIRST, BEFORE, ORIGIN), 2)
        assert ["c-1"] == [record.id for record in care.entries(Wanted())]


async def test_a_look_changes_nothing(sqlite: SqliteLedger, path: Path) -> None:
    """Who opened the file to read can settle nothing in it; it is not called damaged for that."""
    await sqlite.conclude(FIRST, told("unknown"), None)
    with pytest.raises(ConfigurationError, match="readonly") as caught, opened(path) as care:
        care.settle(FIRST.key, found())
    assert "Move it away" not in str(caught.value)


async def test_where_there_is_no_ledger_none_is_opened(sqlite: SqliteLedger, path: Path) -> None:
    """No file, or one that the service has only just made; a ledger tells when it began."""
    empty = path.with_name("empty.db")
    empty.touch()
    for other in (empty, path.with_name("nowhere.db")):
        with if_there(other) as care:
            assert care is None
    with if_there(path) as care:
        assert care is not None
        assert sqlite.created_at == care.created_at
    assert b"" == empty.read_bytes()


def nothing(path: Path) -> None:
    assert not path.exists()


def not_filled(path: Path) -> None:
    path.touch()


def newer(path: Path) -> None:
    with written(path) as writer:
        writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


def damaged(path: Path) -> None:
    path.write_bytes(b"no database" * 999)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (nothing, "no ledger to be seen"),
        (not_filled, "no ledger to be seen"),
        *(
            (partial(old_file, version=version), "older courier; start `courier serve` once")
            for version in OLD
        ),
        (newer, "written by a newer courier"),
        (damaged, "Move it away"),
    ],
)
def test_what_cannot_be_looked_at_is_one_clear_error(
    make: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    """What is missing, older, newer or damaged is told by the setting's name, and left as it is."""
    path = tmp_path / "other.db"
    make(path)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(ConfigurationError, match=f"^COURIER_LEDGER_URL: .*{words}"):
        ids(path)
    assert before == (path.read_bytes() if path.exists() else None)


async def test_what_somebody_must_still_look_at_is_never_forgotten(
    sqlite: SqliteLedger, path: Path
) -> None:
    """No open intent and no unsettled unknown, however old; a settled one is like any other."""
    await sqlite.intend(FIRST, BEFORE, ORIGIN)
    for name, conclusion in (("u", "unknown"), ("settled", "unknown"), ("s", "succeeded")):
        await sqlite.conclude(command(id=name), told(conclusion, now() - timedelta(days=900)), None)
    with opened(path, read_only=False) as care:
        care.settle(command(id="settled").key, found())
    with written(path) as writer:
        writer.execute("UPDATE commands SET intended_at = '2001-01-01T00:00:00.000Z'")
        writer.execute("UPDATE commands SET settled_at = '2001-01-01T00:00:00.000Z'")
    assert 2 == await sqlite.forget(now())
    assert ["c-1", "u"] == ids(path, Wanted(finished=True))


async def test_a_command_does_not_wait_until_everything_is_forgotten(
    sqlite: SqliteLedger, path: Path
) -> None:
    """Some hundred entries go at a time, and others are recorded in between."""
    fill(path, 5000)
    order: list[str] = []

    async def forget() -> None:
        assert 5000 == await sqlite.forget(now())
        order.append("forgotten")

    async def record(number: int) -> None:
        await sqlite.conclude(command(id=f"c-{number}"), told(), None)
        order.append("recorded")

    await asyncio.gather(forget(), *(record(number) for number in range(5)))
    assert ["recorded"] * 5 + ["forgotten"] == order


class Steps:
    """Counts what is done with a file, in hundreds of steps of SQLite's machine."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        return 0  # go on


@pytest.mark.parametrize(
    "look",
    [
        lambda care: care.entries(Wanted()),
        lambda care: care.entries(Wanted(finished=True, limit=10)),
        lambda care: care.of_id("c-1"),
        lambda care: care.of_id("nobody's"),
    ],
    ids=["open", "newest", "id", "no id"],
)
async def test_a_look_does_not_read_everything(
    look: Callable[[Care], object], sqlite: SqliteLedger, path: Path
) -> None:
    """What is looked for is found by an index, among however many others."""
    await sqlite.intend(FIRST, BEFORE, ORIGIN)
    await sqlite.conclude(SECOND, told("unknown"), None)
    fill(path, 20_000)
    steps = Steps()
    with closing(connect(path, read_only=True)) as connection:
        care = SqliteCare(connection)
        connection.set_progress_handler(steps, 100)
        look(care)
    assert steps.count < 30


async def test_forgetting_nothing_does_not_read_everything(
    sqlite: SqliteLedger, path: Path
) -> None:
    """The hourly look costs next to nothing while nothing is old enough."""
    fill(path, 20_000, concluded_at="2999-01-01T00:00:00.000Z")
    steps = Steps()
    sqlite._batches._connection.set_progress_handler(steps, 1)  # noqa: SLF001  # there is no other way in
    assert 0 == await sqlite.forget(now())
    assert 0 < steps.count < 500
