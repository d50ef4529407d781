"""What a ledger in PostgreSQL must do besides: replicas share it, and its server comes and goes."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import SecretStr

from service.errors import Code, ConfigurationError, Waiting
from service.ledger import Care, IntentOpen, Settlement, Wanted, locks
from service.ledger import database as database_module
from service.ledger.moment import Moment
from service.ledger.opening import if_there, opened
from service.ledger.postgres import YOUNG, PostgresLedger
from service.messages.wire import now
from service.settings import Postgres
from tests.support.clock import Clock
from tests.support.postgres import Server, asked
from tests.support.wait import until
from tests.unit.ledgers import BEFORE, FIRST, ORIGIN, SECOND, told
from tests.unit.making import command

SETTLED: Final = Settlement("applied", "It is there.", "anna", now())
LOCKED: Final = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
END_SESSIONS: Final = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture
async def replicas(database: Postgres) -> AsyncIterator[tuple[PostgresLedger, PostgresLedger]]:
    """Two couriers' views of one ledger."""
    async with AsyncExitStack() as stack:
        pair = (await PostgresLedger.open(database), await PostgresLedger.open(database))
        for each in pair:
            stack.push_async_callback(each.close)
        yield pair


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a server or for another replica does so for half a second."""
    for module, name in ((database_module, "STATEMENT_TIMEOUT"), (locks, "MAX_WAIT")):
        monkeypatch.setattr(module, name, 0.5)


@pytest.fixture
def breakable(postgres: Server) -> Iterator[Server]:
    """The server, to be broken; whatever a test does, the next one finds it well."""
    yield postgres
    postgres.thaw()
    postgres.start()


async def test_what_one_announces_all_see(
    replicas: tuple[PostgresLedger, PostgresLedger],
) -> None:
    """The other finds the intent, and may not announce there."""
    one, other = replicas
    intent = await one.intend(FIRST, BEFORE, ORIGIN)
    assert {FIRST.key} == await other.open_intents("fac-1", ORIGIN)
    with pytest.raises(IntentOpen):
        await other.intend(SECOND, BEFORE, ORIGIN)
    entry = await other.find(FIRST.key)
    assert entry is not None
    assert entry.intent is not None
    assert intent.id == entry.intent.id


@pytest.mark.usefixtures("impatient")
async def test_one_replica_at_a_time_has_the_right_to_write(
    replicas: tuple[PostgresLedger, PostgresLedger],
) -> None:
    """The other waits for a while and no longer; elsewhere it may write; then it is its turn."""
    one, other = replicas
    async with one.writing("fac-1", ORIGIN) as right:
        assert right.stands
        with pytest.raises(Waiting) as caught:
            await other.writing("fac-1", ORIGIN).__aenter__()
        assert Code.BUSY == caught.value.code
        async with other.writing("fac-2", "https://fac-2") as elsewhere:
            assert elsewhere.stands
    async with other.writing("fac-1", ORIGIN) as right:
        assert right.stands


async def test_whoever_waits_for_the_right_gets_it_when_it_is_given_back(
    replicas: tuple[PostgresLedger, PostgresLedger],
) -> None:
    """Without coming again."""
    one, other = replicas
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(one.writing("fac-1", ORIGIN))
        waiting = asyncio.create_task(stack.enter_async_context(other.writing("fac-1", ORIGIN)))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await stack.aclose()
        assert (await waiting).stands


async def test_the_right_ends_with_its_session(
    database: Postgres, replicas: tuple[PostgresLedger, PostgresLedger]
) -> None:
    """Who has lost it knows, and another replica gets it."""
    one, other = replicas
    async with one.writing("fac-1", ORIGIN) as right:
        asked(database, END_SESSIONS)
        await until(lambda: not right.stands)
        async with other.writing("fac-1", ORIGIN) as next_right:
            assert next_right.stands
    async with one.writing("fac-1", ORIGIN) as again:
        assert again.stands


async def test_whoever_is_cancelled_leaves_no_lock_behind(
    database: Postgres, replicas: tuple[PostgresLedger, PostgresLedger]
) -> None:
    """At whatever await: while it asks, while it waits, while it has it, while it gives it back."""
    one, _ = replicas

    async def write() -> None:
        async with one.writing("fac-1", ORIGIN):
            await asyncio.sleep(0)

    for steps in range(12):
        task = asyncio.create_task(write())
        for _ in range(steps):
            await asyncio.sleep(0.0005)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await until(lambda: asked(database, LOCKED) == 0)


async def test_a_writes_age_is_told_by_the_servers_clock(
    database: Postgres, replicas: tuple[PostgresLedger, PostgresLedger]
) -> None:
    """Two replicas agree on how long ago it was; where it was made, the uptime may say less."""
    one, other = replicas
    await one.intend(FIRST, BEFORE, ORIGIN)
    asked(
        database,
        "UPDATE courier_commands SET intended_at = intended_at - interval '90 s', boot = 'another'",
    )
    entry = await other.find(FIRST.key)
    assert entry is not None
    assert entry.intent is not None
    assert 90 <= entry.intent.recorded.age(Moment.current()) < 95


async def test_a_statement_that_arrives_late_concerns_no_later_announcement(
    replicas: tuple[PostgresLedger, PostgresLedger],
) -> None:
    """A withdrawal that was lost on a dead connection takes back what it meant, or nothing."""
    one, other = replicas
    earlier = await one.intend(FIRST, BEFORE, ORIGIN)
    await one.withdraw(FIRST, earlier)  # the second copy of the withdrawal
    await other.intend(FIRST, b"later", ORIGIN)
    await one.withdraw(FIRST, earlier)
    await one.keep_answer(FIRST, earlier, b"an old answer")
    entry = await other.find(FIRST.key)
    assert entry is not None
    assert entry.intent is not None
    assert (b"later", None) == (entry.intent.before, entry.intent.answer)


async def test_an_announcement_whose_answer_was_lost_is_found_again(
    breakable: Server, database: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent again after the server came back, it is the same one and no stranger's."""
    ledger = await PostgresLedger.open(database)
    # Its first copy was done: whoever sends it again is told of a row that is there.
    announcement = ledger._database.run  # noqa: SLF001  # where the answer is lost

    async def twice(sql: str, *values: object, **more: Any) -> object:  # noqa: ANN401  passed on
        await announcement(sql, *values, **more)
        breakable.kill()
        breakable.start()
        return await announcement(sql, *values, **more)

    monkeypatch.setattr(ledger._database, "run", twice)  # noqa: SLF001
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    assert BEFORE == intent.before
    monkeypatch.undo()
    await ledger.conclude(FIRST, told(), intent)
    assert set() == await ledger.open_intents("fac-1", ORIGIN)
    await ledger.close()


async def test_a_server_that_comes_back_finds_everything_as_it_was(
    breakable: Server, replicas: tuple[PostgresLedger, PostgresLedger]
) -> None:
    """Meanwhile everybody waits, and the service is not ready."""
    one, other = replicas
    intent = await one.intend(FIRST, BEFORE, ORIGIN)
    breakable.kill()
    ends = [asyncio.create_task(one.conclude(FIRST, told(), intent)) for _ in range(5)]
    await until(lambda: one.idle_reason == "ledger-unavailable")
    assert not any(end.done() for end in ends)
    breakable.start()
    conclusions = {(await end).conclusion for end in ends}
    assert {"succeeded"} == conclusions
    assert one.idle_reason is None
    entry = await other.find(FIRST.key)
    assert entry is not None
    assert entry.told is not None


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_hangs_is_told_and_waited_for(
    breakable: Server, replicas: tuple[PostgresLedger, PostgresLedger]
) -> None:
    """It takes connections and says nothing; nobody waits for an answer that will not come."""
    one, _ = replicas
    breakable.freeze()
    ending = asyncio.create_task(one.conclude(FIRST, told(), None))
    await until(lambda: one.idle_reason == "ledger-unavailable")
    breakable.thaw()
    assert "succeeded" == (await asyncio.wait_for(ending, 20)).conclusion


@pytest.mark.usefixtures("impatient")
async def test_the_wait_for_the_right_is_bounded_whatever_the_server_does(
    breakable: Server, replicas: tuple[PostgresLedger, PostgresLedger]
) -> None:
    """A server that is gone gives nobody the right, and keeps no delivery."""
    one, _ = replicas
    breakable.kill()
    with pytest.raises(Waiting):
        await asyncio.wait_for(one.writing("fac-1", ORIGIN).__aenter__(), 5)


async def test_replicas_that_start_together_make_one_ledger(database: Postgres) -> None:
    """Nobody fails, and all agree on when it began."""
    ledgers = await asyncio.gather(*(PostgresLedger.open(database) for _ in range(6)))
    assert 1 == len({ledger.created_at for ledger in ledgers})
    for ledger in ledgers:
        await ledger.close()


async def test_a_young_ledger_is_new_to_every_replica(database: Postgres, clock: Clock) -> None:
    """What a lost one's couriers left in the queues may come to any of them, for an hour."""
    ledger = await PostgresLedger.open(database)
    await ledger.belong_to("rabbit@a /")
    other = await PostgresLedger.open(database)
    await other.belong_to("rabbit@a /")
    assert (True, True) == (ledger.is_new, other.is_new)
    clock.forward(YOUNG + 1)
    assert (False, False) == (ledger.is_new, other.is_new)
    asked(database, "UPDATE courier_ledger SET used_since = used_since - interval '2 h'")
    late = await PostgresLedger.open(database)
    await late.belong_to("rabbit@a /")
    assert not late.is_new
    for each in (ledger, other, late):
        await each.close()


async def test_two_brokers_do_not_take_one_ledger_at_the_same_time(database: Postgres) -> None:
    """Both found it free; the second one to bind it is refused."""
    one, other = await PostgresLedger.open(database), await PostgresLedger.open(database)
    await one.check_owner("rabbit@a /")
    await other.check_owner("rabbit@b /")
    await one.belong_to("rabbit@a /")
    with pytest.raises(ConfigurationError, match="COURIER_LEDGER_URL"):
        await other.belong_to("rabbit@b /")
    await one.close()
    await other.close()


async def test_what_is_recorded_is_durable_whatever_the_servers_default_is(
    database: Postgres, postgres: Server
) -> None:
    """A server that answers before it has written is asked to write first."""
    name = asked(database, "SELECT current_database()")
    asked(postgres.place("postgres"), f"ALTER DATABASE {name} SET synchronous_commit = off")
    assert "off" == asked(database, "SHOW synchronous_commit")
    ledger = await PostgresLedger.open(database)
    rows = await ledger._database.run("SHOW synchronous_commit")  # noqa: SLF001  # no other way in
    assert "on" == rows[0][0]
    await ledger.close()


async def test_what_somebody_must_still_look_at_is_never_forgotten(
    database: Postgres, replicas: tuple[PostgresLedger, PostgresLedger]
) -> None:
    """No open intent and no unsettled unknown, however old."""
    one, _ = replicas
    await one.intend(FIRST, BEFORE, ORIGIN)
    for name, conclusion in (("u", "unknown"), ("s", "succeeded")):
        await one.conclude(command(id=name), told(conclusion, now() - timedelta(days=900)), None)
    asked(database, "UPDATE courier_commands SET intended_at = intended_at - interval '900 d'")
    assert 1 == await one.forget(now())

    def left(care: Care) -> list[str]:
        return [record.id for record in care.entries(Wanted(finished=True))]

    assert ["c-1", "u"] == await asyncio.to_thread(looked, database, left)


def looked(place: Postgres, look: object) -> object:
    with opened(place) as care:
        assert callable(look)
        return look(care)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda url: re.sub("//.*?@", "//stranger:canary@", url), '"stranger"'),
        (lambda url: re.sub("/[^/]*$", "/nowhere", url), '"nowhere" does not exist'),
        (lambda url: f"{url}?sslmode=x&password=canary", "sslmode"),
        (lambda _: "postgresql://u:canary#ary@host/c", "no address that can be used"),
        (lambda _: "postgresql://u:can#ary@host/c", "no address that can be used"),
    ],
    ids=["user", "database", "option", "hash", "half of a password"],
)
async def test_a_database_that_refuses_is_a_clear_error(
    wrong: Callable[[str], str], words: str, postgres: Server
) -> None:
    """With the setting's name and what the server said, without a password, and no waiting."""
    with pytest.raises(ConfigurationError) as caught:
        await PostgresLedger.open(Postgres(SecretStr(wrong(postgres.url("postgres")))))
    assert str(caught.value).startswith("COURIER_LEDGER_URL: ")
    assert words in str(caught.value)
    assert not re.search(r"canary|'can'", str(caught.value))


async def test_a_ledger_of_a_newer_courier_is_left_alone(database: Postgres) -> None:
    """Neither the service nor a tool touches it."""
    await (await PostgresLedger.open(database)).close()
    asked(database, "UPDATE courier_ledger SET version = version + 1")
    with pytest.raises(ConfigurationError, match="newer courier"):
        await PostgresLedger.open(database)
    with pytest.raises(ConfigurationError, match="newer courier"):
        await asyncio.to_thread(looked, database, bool)


def test_where_there_is_no_ledger_none_is_opened(database: Postgres) -> None:
    """A look makes no tables."""
    with if_there(database) as care:
        assert care is None
    with pytest.raises(ConfigurationError, match="no ledger to be seen"):
        looked(database, bool)
    assert asked(database, "SELECT to_regclass('courier_ledger') IS NULL")


async def test_a_look_changes_nothing(
    database: Postgres, replicas: tuple[PostgresLedger, PostgresLedger]
) -> None:
    """Who opened it to read can settle nothing in it."""
    one, _ = replicas
    await one.conclude(FIRST, told("unknown"), None)

    def settle(care: Care) -> object:
        record = care.find(FIRST.key)
        assert record is not None
        return care.settle(FIRST.key, SETTLED)

    with pytest.raises(ConfigurationError, match="read-only"):
        await asyncio.to_thread(looked, database, settle)


def test_a_password_file_is_read_at_every_connection(database: Postgres, tmp_path: Path) -> None:
    """It may be changed while the service runs; one that is gone is told by the setting's name."""
    place = Postgres(database.url, tmp_path / "password")
    for secret in ("first", "second"):
        (tmp_path / "password").write_text(f"{secret}\n")
        assert secret == place.password()
    (tmp_path / "password").unlink()
    with pytest.raises(ConfigurationError, match="COURIER_LEDGER_PASSWORD_FILE"):
        place.password()
