"""What every ledger must do, whatever it is kept in; then what only the file must do."""

import asyncio
import sqlite3
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from service.errors import ConfigurationError
from service.ledger import Intent, IntentOpen, Ledger, Told
from service.ledger.sqlite import SqliteLedger
from service.messages.wire import now
from tests.support.wait import until
from tests.unit.making import LICENSE, command

BEFORE = b'{"total_sms": 100}'
FIRST, SECOND = command(), command(id="c-2")
ELSEWHERE = command(id="c-3", data={"appliance": "fac-2"})


def told(conclusion: str = "succeeded") -> Told:
    return Told(conclusion, b'{"conclusion" : "' + conclusion.encode() + b'"}', now())


@pytest.fixture(params=["sqlite"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    """Every implementation: add the name of a fixture, and the rules of this file hold for it."""
    found: Ledger = request.getfixturevalue(request.param)
    return found


async def test_an_unknown_command_is_not_found(ledger: Ledger) -> None:
    """What was never recorded is new."""
    assert await ledger.find(FIRST.key) is None


async def test_an_intent_is_found_as_it_was_recorded(ledger: Ledger) -> None:
    """Figures and instant come back; nothing is told yet."""
    intent = await ledger.intend(FIRST, BEFORE)
    entry = await ledger.find(FIRST.key)
    assert entry is not None
    assert (FIRST.digest, Intent(BEFORE, intent.at), None) == (
        *(entry.digest, entry.intent, entry.told),
    )
    assert timedelta() <= now() - intent.at < timedelta(minutes=1)


async def test_an_end_is_found_as_it_was_told(ledger: Ledger) -> None:
    """After the end the entry keeps the event's data byte for byte, and the intent's figures."""
    await ledger.intend(FIRST, BEFORE)
    end = told()
    await ledger.conclude(FIRST, end)
    entry = await ledger.find(FIRST.key)
    assert entry is not None
    assert (FIRST.digest, end) == (entry.digest, entry.told)


async def test_a_command_may_end_without_an_intent(ledger: Ledger) -> None:
    """Refusals and dry runs are recorded as well."""
    end = told("refused")
    await ledger.conclude(FIRST, end)
    entry = await ledger.find(FIRST.key)
    assert entry is not None
    assert (None, end) == (entry.intent, entry.told)


async def test_the_first_end_stays(ledger: Ledger) -> None:
    """Whoever concludes later, with whatever, changes nothing."""
    end = told()
    await ledger.conclude(FIRST, end)
    await ledger.conclude(FIRST, told("unknown"))
    entry = await ledger.find(FIRST.key)
    assert entry is not None
    assert end == entry.told


async def test_one_intent_is_open_on_an_appliance(ledger: Ledger) -> None:
    """While a write is not settled, no other is announced on the same appliance."""
    await ledger.intend(FIRST, BEFORE)
    with pytest.raises(IntentOpen, match="fac-1"):
        await ledger.intend(SECOND, BEFORE)
    await ledger.intend(ELSEWHERE, BEFORE)
    assert await ledger.find(SECOND.key) is None


async def test_only_one_of_many_gets_the_intent(ledger: Ledger) -> None:
    """Those who announce at the same time do not all believe that they may write."""
    rivals = [command(id=f"c-{number}") for number in range(20)]
    results = await asyncio.gather(
        *(ledger.intend(rival, BEFORE) for rival in rivals), return_exceptions=True
    )
    assert 1 == sum(isinstance(result, Intent) for result in results)
    assert 19 == sum(isinstance(result, IntentOpen) for result in results)


async def test_an_intent_is_not_announced_twice(ledger: Ledger) -> None:
    """Not even by the command that has it: its first figures stay."""
    await ledger.intend(FIRST, BEFORE)
    with pytest.raises(IntentOpen):
        await ledger.intend(FIRST, b"other")
    entry = await ledger.find(FIRST.key)
    assert entry is not None
    assert entry.intent is not None
    assert BEFORE == entry.intent.before


async def test_a_concluded_command_announces_nothing(ledger: Ledger) -> None:
    """An end is final: no write can follow it."""
    end = told()
    await ledger.conclude(FIRST, end)
    with pytest.raises(IntentOpen):
        await ledger.intend(FIRST, BEFORE)
    entry = await ledger.find(FIRST.key)
    assert entry is not None
    assert end == entry.told


@pytest.mark.parametrize("conclusion", ["succeeded", "unknown", "failed"])
async def test_an_end_lets_the_next_write_begin(conclusion: str, ledger: Ledger) -> None:
    """An intent is open until its command ends, however it ends."""
    await ledger.intend(FIRST, BEFORE)
    await ledger.conclude(FIRST, told(conclusion))
    assert BEFORE == (await ledger.intend(SECOND, BEFORE)).before


async def test_a_withdrawn_intent_was_never_there(ledger: Ledger) -> None:
    """What was not sent is forgotten, and may be announced again."""
    await ledger.intend(FIRST, BEFORE)
    await ledger.withdraw(FIRST)
    assert await ledger.find(FIRST.key) is None
    assert BEFORE == (await ledger.intend(SECOND, BEFORE)).before


async def test_an_end_cannot_be_withdrawn(ledger: Ledger) -> None:
    """Nobody takes back what was told."""
    await ledger.conclude(FIRST, told())
    await ledger.withdraw(FIRST)
    assert await ledger.find(FIRST.key) is not None


async def test_source_and_id_together_are_the_key(ledger: Ledger) -> None:
    """The same id of another sender is another command."""
    await ledger.conclude(FIRST, told())
    assert await ledger.find(command(source="/other").key) is None
    assert await ledger.find(("c-1", "/portal")) is None


async def test_a_ledger_belongs_to_one_broker(ledger: Ledger) -> None:
    """The first broker and virtual host stay; another is refused, with both named."""
    await ledger.belongs_to("rabbit@a /")
    await ledger.belongs_to("rabbit@a /")
    with pytest.raises(ConfigurationError, match=r"COURIER_LEDGER_URL.*a /.*b /"):
        await ledger.belongs_to("rabbit@b /")


async def test_a_ledger_knows_since_when_it_is(ledger: Ledger) -> None:
    """What is older than the ledger may have been in a lost one."""
    assert timedelta() <= now() - ledger.created_at < timedelta(minutes=1)


async def test_a_reopened_file_still_knows_everything(tmp_path: Path) -> None:
    """Intents, ends, broker and birth outlive the process."""
    path = tmp_path / "courier.db"
    ledger = await SqliteLedger.open(path)
    intent, end, born = await ledger.intend(FIRST, BEFORE), told(), ledger.created_at
    await ledger.conclude(ELSEWHERE, end)
    await ledger.belongs_to("rabbit@a /")
    await ledger.close()

    ledger = await SqliteLedger.open(path)
    first, elsewhere = await ledger.find(FIRST.key), await ledger.find(ELSEWHERE.key)
    assert first is not None
    assert elsewhere is not None
    assert (intent, end, born) == (first.intent, elsewhere.told, ledger.created_at)
    with pytest.raises(IntentOpen):
        await ledger.intend(SECOND, BEFORE)
    with pytest.raises(ConfigurationError):
        await ledger.belongs_to("rabbit@b /")
    await ledger.close()


async def test_what_is_written_survives_a_sudden_end(tmp_path: Path, sqlite: SqliteLedger) -> None:
    """Each write is on disk when the call returns: nobody need close the file."""
    await sqlite.intend(FIRST, BEFORE)
    with sqlite3.connect(tmp_path / "courier.db") as reader:
        assert [("c-1", BEFORE)] == reader.execute("SELECT id, before FROM commands").fetchall()
        assert ("wal",) == reader.execute("PRAGMA journal_mode").fetchone()
    reader.close()


async def test_a_file_has_one_owner(tmp_path: Path) -> None:
    """A second courier is refused and told what to use; when the first is gone it may follow."""
    path = tmp_path / "courier.db"
    first = await SqliteLedger.open(path)
    with pytest.raises(ConfigurationError, match=r"^COURIER_LEDGER_URL: .*use PostgreSQL$"):
        await SqliteLedger.open(path)
    await first.close()
    await (await SqliteLedger.open(path)).close()


async def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    """An older courier does not touch what it cannot understand, and frees it again."""
    path = tmp_path / "courier.db"
    await (await SqliteLedger.open(path)).close()
    with sqlite3.connect(path) as writer:
        writer.execute("PRAGMA user_version = 2")
    writer.close()
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="written by a newer courier"):
            await SqliteLedger.open(path)


@pytest.mark.parametrize("content", [None, b"this is no database at all, but long enough" * 99])
async def test_a_file_that_cannot_be_used_is_a_clear_error(
    content: bytes | None, tmp_path: Path
) -> None:
    """Whatever stands in the way is told with the setting's name, and the lock is let go."""
    path = tmp_path / "courier.db"
    if content is None:
        path = tmp_path / "missing" / "courier.db"
    else:
        path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"^COURIER_LEDGER_URL: .* cannot be used"):
            await SqliteLedger.open(path)


async def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    """A path that cannot be opened is a clear error, and the lock is let go."""
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="COURIER_LEDGER_URL"):
            await SqliteLedger.open(tmp_path)


async def test_the_file_holds_no_licence(tmp_path: Path) -> None:
    """The ledger keeps a digest, never the licence, and is its owner's alone."""
    path = tmp_path / "courier.db"
    ledger = await SqliteLedger.open(path)
    await ledger.intend(FIRST, BEFORE)
    await ledger.conclude(FIRST, told())
    await ledger.close()
    assert LICENSE.encode() not in path.read_bytes()
    assert 0 == stat.S_IMODE(path.stat().st_mode) & 0o077


async def test_a_storage_that_fails_is_waited_for(sqlite: SqliteLedger, tmp_path: Path) -> None:
    """Nothing may be run or told without it: the call ends when the storage is back."""
    other = sqlite3.connect(tmp_path / "courier.db", isolation_level=None)
    other.execute("ALTER TABLE commands RENAME TO gone")
    waiting = asyncio.create_task(sqlite.intend(FIRST, BEFORE))
    await until(lambda: sqlite.idle_reason == "ledger-unavailable")
    assert not waiting.done()
    other.execute("ALTER TABLE gone RENAME TO commands")
    other.close()
    assert BEFORE == (await waiting).before
    assert sqlite.idle_reason is None
