"""The ledger in a person's hands: what is looked for is found, what is settled stays settled."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from service.errors import ConfigurationError
from service.ledger import Settlement
from service.ledger.care import Care, Wanted
from service.ledger.schema import connect
from service.ledger.sqlite import SqliteLedger
from service.messages.commands import Command
from service.messages.wire import now
from tests.unit.ledgers import BEFORE, FIRST, SECOND, fill, told, written
from tests.unit.making import command
from tests.unit.old_ledgers import OLD, old_file

TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DAY: Final = timedelta(days=1)

pytestmark = pytest.mark.usefixtures("sqlite")  # a service has the file open all the time


def found(verdict: str = "applied", note: str = "It is there.") -> Settlement:
    return Settlement(verdict, note, "anna", now())


def settle(path: Path, wanted: Command, settlement: Settlement) -> Settlement | None:
    with Care.opened(path, read_only=False) as care:
        return care.settle(wanted.key, settlement)


def ids(path: Path, wanted: Wanted | None = None) -> list[str]:
    with Care.opened(path) as care:
        return [record.id for record in care.entries(wanted or Wanted())]


async def ended(
    ledger: SqliteLedger, name: str, conclusion: str, ago: timedelta, appliance: str = "fac-1"
) -> Command:
    ended = command(id=name, data={"appliance": appliance})
    await ledger.conclude(ended, told(conclusion, now() - ago))
    return ended


@pytest.fixture
async def six(sqlite: SqliteLedger, path: Path) -> Path:
    """Two open intents, an unknown and a settled one, a success and a refusal."""
    await sqlite.intend(command(id="open-1", data={"appliance": "fac-1"}), BEFORE)
    await sqlite.intend(command(id="open-2", data={"appliance": "fac-2"}), BEFORE)
    await ended(sqlite, "unknown", "unknown", 3 * DAY)
    settled = await ended(sqlite, "settled", "unknown", 5 * DAY)
    await ended(sqlite, "done", "succeeded", 4 * DAY, "fac-2")
    await ended(sqlite, "refused", "refused", 2 * DAY)
    settle(path, settled, found())
    return path


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), ["open-1", "open-2", "unknown"]),
        (
            Wanted(finished=True),
            ["open-1", "open-2", "unknown", "refused", "done", "settled"],
        ),
        (Wanted(appliance="fac-2"), ["open-2"]),
        (Wanted(finished=True, appliance="fac-2"), ["open-2", "done"]),
        (Wanted(finished=True, conclusion="unknown"), ["unknown", "settled"]),
        (Wanted(finished=True, conclusion="succeeded"), ["done"]),
        (Wanted(conclusion="succeeded"), []),
        (Wanted(limit=2), ["open-1", "open-2"]),
        (Wanted(finished=True, limit=4), ["open-1", "open-2", "unknown", "refused"]),
    ],
    ids=str,
)
async def test_what_a_person_must_care_for_comes_first(
    six: Path, wanted: Wanted, expected: list[str]
) -> None:
    """Open intents and unsettled unknowns, oldest first; the finished ones on demand, newest."""
    assert expected == ids(six, wanted)


async def test_entries_are_chosen_by_age(six: Path) -> None:
    """What was begun, or ended without that, before an instant."""
    chosen = Wanted(finished=True, older_than=now() - 3 * DAY)
    assert ["unknown", "done", "settled"] == ids(six, chosen)
    assert [] == ids(six, Wanted(older_than=now() - 6 * DAY))


async def test_everything_that_was_recorded_is_shown(sqlite: SqliteLedger, path: Path) -> None:
    """The command, figures, answer, end and settlement; correlation and trace as they came."""
    traced = command(correlationid="order-7", traceparent=TRACE)
    intent, end, said = await sqlite.intend(traced, BEFORE), told("unknown"), found()
    await sqlite.keep_answer(traced, b'{"kind": "failed"}')
    await sqlite.conclude(traced, end)
    settle(path, traced, said)
    with Care.opened(path) as care:
        (record,) = care.of_id("c-1")
    assert traced.key == record.key
    assert (traced.envelope.type, traced.digest, "fac-1") == (
        *(record.type, record.digest, record.appliance),
    )
    assert ("order-7", TRACE) == (record.correlation_id, record.traceparent)
    assert record.intent is not None
    assert (BEFORE, intent.recorded, b'{"kind": "failed"}') == (
        *(record.intent.before, record.intent.recorded, record.intent.answer),
    )
    assert (end, said) == (record.told, record.settlement)


async def test_a_command_that_wrote_nothing_is_shown_with_its_correlation(
    sqlite: SqliteLedger, path: Path
) -> None:
    """It has no intent; the id stands for a correlation that was not given."""
    await sqlite.conclude(FIRST, told("refused"))
    with Care.opened(path) as care:
        (record,) = care.of_id("c-1")
    assert (None, None, "c-1", None) == (
        *(record.intent, record.settlement, record.correlation_id, record.traceparent),
    )


async def test_one_id_of_several_sources_is_several_commands(
    sqlite: SqliteLedger, path: Path
) -> None:
    """All are found, in order; the source narrows; nobody's id is nothing."""
    sources = [f"/portal/{number:02}" for number in range(30)]
    for source in sources:
        await sqlite.conclude(command(source=source), told())
        await sqlite.conclude(command(source=source, id="c-2"), told())
    with Care.opened(path) as care:
        record = care.find(("/portal/07", "c-2"))
        assert record is not None
        assert ("/portal/07", "c-2") == record.key
        assert care.find(("/portal/07", "c-3")) is None
        assert sources == [record.source for record in care.of_id("c-1")]
        assert ["/portal/07"] == [each.source for each in care.of_id("c-1", "/portal/07")]
        assert [] == [*care.of_id("c-3"), *care.of_id("c-1", "/elsewhere")]


async def test_the_first_settlement_stays(sqlite: SqliteLedger, path: Path) -> None:
    """Whatever is found later; the end that was told is not touched by any."""
    end, said = told("unknown"), found()
    await sqlite.conclude(FIRST, end)
    assert said == settle(path, FIRST, said)
    assert said == settle(path, FIRST, found("not-applied"))
    assert said == settle(path, FIRST, found("applied", "Another note."))
    entry = await sqlite.find(FIRST.key)
    assert entry is not None
    assert end == entry.told


@pytest.mark.parametrize("conclusion", ["succeeded", "refused", "failed", None])
async def test_only_an_unknown_is_settled(
    conclusion: str | None, sqlite: SqliteLedger, path: Path
) -> None:
    """No other end, no open intent, nothing that is not there."""
    if conclusion:
        await sqlite.conclude(FIRST, told(conclusion))
    else:
        await sqlite.intend(FIRST, BEFORE)
    assert settle(path, FIRST, found()) is None
    assert settle(path, SECOND, found()) is None
    with Care.opened(path) as care:
        assert [None] == [record.settlement for record in care.entries(Wanted(finished=True))]


async def test_an_unsettled_unknown_keeps_no_write_from_beginning(
    sqlite: SqliteLedger, path: Path
) -> None:
    """It is concluded: the next licence on the appliance does not wait for a person."""
    await sqlite.intend(FIRST, BEFORE)
    await sqlite.conclude(FIRST, told("unknown"))
    assert not await sqlite.has_open_intent("fac-1")
    assert BEFORE == (await sqlite.intend(SECOND, BEFORE)).before
    assert ["c-2", "c-1"] == ids(path)


async def test_a_look_keeps_nobody_waiting(sqlite: SqliteLedger, path: Path) -> None:
    """A tool reads while the service writes, and the service writes while a tool reads."""
    with written(path) as writer, Care.opened(path) as care:
        writer.execute("BEGIN IMMEDIATE")
        assert [] == care.entries(Wanted())
        writer.execute("ROLLBACK")
        with closing(connect(path, read_only=True)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM commands").fetchall()
            await asyncio.wait_for(sqlite.intend(FIRST, BEFORE), 2)
        assert ["c-1"] == [record.id for record in care.entries(Wanted())]


async def test_a_look_changes_nothing(sqlite: SqliteLedger, path: Path) -> None:
    """Who opened the file to read can settle nothing in it; it is not called damaged for that."""
    await sqlite.conclude(FIRST, told("unknown"))
    with pytest.raises(ConfigurationError, match="readonly") as caught, Care.opened(path) as care:
        care.settle(FIRST.key, found())
    assert "Move it away" not in str(caught.value)


async def test_settling_and_recording_go_on_side_by_side(sqlite: SqliteLedger, path: Path) -> None:
    """Whoever comes second waits for a moment: nothing fails, nothing is lost, nothing is idle."""
    unknown = [await ended(sqlite, f"u-{number}", "unknown", DAY) for number in range(200)]
    idle: list[str | None] = []

    async def record() -> None:
        for number in range(200):
            written = command(id=f"w-{number}")
            await sqlite.intend(written, BEFORE)
            await sqlite.conclude(written, told())
            idle.append(sqlite.idle_reason)

    def settle_all(unknowns: list[Command]) -> None:
        for each in unknowns:
            settle(path, each, found())

    persons = (asyncio.to_thread(settle_all, half) for half in (unknown[::2], unknown[1::2]))
    await asyncio.gather(record(), *persons)
    assert {None} == set(idle)
    assert [] == ids(path)
    assert 400 == len(ids(path, Wanted(finished=True, limit=1000)))


async def test_where_there_is_no_ledger_none_is_opened(sqlite: SqliteLedger, path: Path) -> None:
    """No file, or one that the service has only just made; a ledger tells when it began."""
    empty = path.with_name("empty.db")
    empty.touch()
    for other in (empty, path.with_name("nowhere.db")):
        with Care.if_there(other) as care:
            assert care is None
    with Care.if_there(path) as care:
        assert care is not None
        assert sqlite.created_at == care.created_at
    assert b"" == empty.read_bytes()


def nothing(path: Path) -> None:
    assert not path.exists()


def not_filled(path: Path) -> None:
    path.touch()


def newer(path: Path) -> None:
    with written(path) as writer:
        writer.execute("PRAGMA user_version = 4")


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


async def test_what_was_finished_before_an_instant_is_forgotten(
    sqlite: SqliteLedger, path: Path
) -> None:
    """To the millisecond: what ended at the instant itself stays."""
    instant = now() - DAY
    ends = {"older": instant - timedelta(milliseconds=1), "at": instant, "newer": now()}
    for name, at in ends.items():
        await sqlite.conclude(command(id=name), told("succeeded", at))
    assert 1 == await sqlite.forget(instant)
    assert {"at", "newer"} == set(ids(path, Wanted(finished=True)))
    assert 0 == await sqlite.forget(instant)


async def test_what_somebody_must_still_look_at_is_never_forgotten(
    sqlite: SqliteLedger, six: Path
) -> None:
    """No open intent and no unsettled unknown, however old; a settled one is like any other."""
    with written(six) as writer:
        writer.execute("UPDATE commands SET intended_at = '2001-01-01T00:00:00.000Z'")
    assert 3 == await sqlite.forget(now())
    assert ["open-1", "open-2", "unknown"] == ids(six, Wanted(finished=True))


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
        await sqlite.conclude(command(id=f"c-{number}"), told())
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
    await sqlite.intend(FIRST, BEFORE)
    await sqlite.conclude(SECOND, told("unknown"))
    fill(path, 20_000)
    steps = Steps()
    with closing(connect(path, read_only=True)) as connection:
        care = Care(connection)
        connection.set_progress_handler(steps, 100)
        look(care)
    assert steps.count < 30


async def test_forgetting_nothing_does_not_read_everything(
    sqlite: SqliteLedger, path: Path
) -> None:
    """The hourly look costs next to nothing while nothing is old enough."""
    fill(path, 20_000, concluded_at="2999-01-01T00:00:00.000Z")
    steps = Steps()
    await sqlite._connection.set_progress_handler(steps, 1)  # noqa: SLF001  # there is no other way in
    assert 0 == await sqlite.forget(now())
    assert 0 < steps.count < 500
