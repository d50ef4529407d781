"""A ledger in PostgreSQL that the courier before this one made: upgraded once, by one of all."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import pytest

from service.errors import ConfigurationError
from service.ledger import Entry, IntentChanged, IntentOpen, Told
from service.ledger.database import APPLICATION, SCHEMA_VERSION, connected
from service.ledger.moment import Moment
from service.ledger.opening import opened
from service.ledger.postgres import PostgresLedger
from service.ledger.postgres_schema import prepare
from service.settings import Postgres
from tests.ledger.old_postgres import BROKER, WRITER, old_ledger, version_of
from tests.support.postgres import asked
from tests.support.wait import until
from tests.unit.ledgers import BEFORE, FIRST, ORIGIN, SECOND, intent_of, known, told
from tests.unit.making import command
from tests.unit.old_ledgers import ANSWER, ELSEWHERE, SETTLED

COLUMNS: Final = """
SELECT string_agg(concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default),
    ',' ORDER BY table_name, column_name)
FROM information_schema.columns WHERE table_name LIKE 'courier_%'
"""
INDEXES: Final = """
SELECT string_agg(indexdef, ',' ORDER BY indexname) FROM pg_indexes WHERE tablename LIKE 'courier_%'
"""
WAITING: Final = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'relation'
"""
OLDER: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = $1
"""
FIND_1: Final = "SELECT digest, intended_at FROM courier_commands WHERE source = 's' AND id = 'c-1'"
CONCLUDE_1: Final = """
INSERT INTO courier_commands (source, id, type, digest, appliance, concluded_at, conclusion, data)
VALUES ('/portal', 'c-1', 't', 'd', 'fac-1', now(), 'failed', '')
ON CONFLICT (source, id) DO UPDATE SET concluded_at = excluded.concluded_at
"""


def shape(place: Postgres) -> Sequence[str]:
    return [str(asked(place, sql)) for sql in (COLUMNS, INDEXES)]


@asynccontextmanager
async def session(place: Postgres, application: str) -> AsyncIterator[None]:
    """A courier's connection, as others see it."""
    connection = await asyncpg.connect(
        place.url.get_secret_value(), server_settings={"application_name": application}
    )
    try:
        yield
    finally:
        await connection.close()
        await until(lambda: asked(place, OLDER, application) == 0)


async def test_an_older_ledger_is_upgraded_where_it_is(database: Postgres) -> None:
    """Nothing that it knew is lost: birth, broker, the open intent, the ends; twice is once."""
    at = await old_ledger(database)
    identities = set()
    for _ in range(2):
        ledger = await PostgresLedger.open(database)
        found = await known(ledger, FIRST)
        assert found.intent is not None
        assert (FIRST.digest, None, BEFORE, ANSWER, None, str(WRITER)) == (
            *(found.digest, found.told, found.intent.before, found.intent.answer),
            *(found.intent.origin, found.intent.id),
        )
        assert 0 <= found.intent.recorded.age(Moment.current()) < 60
        for each, conclusion in ((ELSEWHERE, "succeeded"), (SECOND, "unknown")):
            assert Told(conclusion, b"{}", at) == (await known(ledger, each)).told
        assert (at, None) == (ledger.created_at, ledger.pruned_before)
        with pytest.raises(ConfigurationError, match=f"belongs to {BROKER}"):
            await ledger.check_owner("rabbit@b /")
        identities.add(ledger.identity)
        await ledger.close()
    assert 1 == len(identities)
    assert "None" not in identities
    assert SCHEMA_VERSION == version_of(database)


async def test_a_resolution_outlives_the_upgrade(database: Postgres) -> None:
    """And so does what the command was correlated by."""
    await old_ledger(database)
    await (await PostgresLedger.open(database)).close()

    def look() -> tuple[object, object]:
        with opened(database) as care:
            record = care.find(SECOND.key)
            assert record is not None
            return record.settlement, record.correlation_id

    assert (SETTLED, "order-7") == await asyncio.to_thread(look)


async def test_in_an_upgraded_ledger_everything_can_be_done(database: Postgres) -> None:
    """The intent without an origin keeps others out of its name until it has its result."""
    await old_ledger(database)
    ledger = await PostgresLedger.open(database)
    third, fourth = command(id="c-4"), command(id="c-5", data={"appliance": "fac-4"})
    with pytest.raises(IntentOpen):
        await ledger.intend(third, BEFORE, ORIGIN)
    assert {FIRST.key} == await ledger.open_intents("fac-1", ORIGIN)
    elsewhere = await ledger.intend(fourth, BEFORE, "https://fac-4")
    await ledger.conclude(fourth, told(), elsewhere)
    found = await intent_of(ledger, FIRST)
    await ledger.keep_answer(FIRST, found, b"{}")
    with pytest.raises(IntentChanged):
        await ledger.conclude(FIRST, told("failed"), None)
    end = told()
    assert end == await ledger.conclude(FIRST, end, found)
    intent = await ledger.intend(third, BEFORE, ORIGIN)
    await ledger.withdraw(third, intent)
    assert Entry(third.digest, None, None) == await ledger.find(third.key)
    assert set() == await ledger.open_intents("fac-1", ORIGIN)
    await ledger.close()


async def test_an_upgraded_ledger_is_like_a_new_one(database: Postgres) -> None:
    """The same columns and the same indexes, whichever way it came to them."""
    await old_ledger(database)
    await (await PostgresLedger.open(database)).close()
    upgraded = shape(database)
    asked(database, "DROP TABLE courier_ledger")
    asked(database, "DROP TABLE courier_commands")
    await (await PostgresLedger.open(database)).close()
    assert shape(database) == upgraded


async def test_an_interrupted_upgrade_leaves_the_old_one(database: Postgres) -> None:
    """It is one transaction; the next start upgrades it."""
    await old_ledger(database)
    before = shape(database)
    reader = await asyncpg.connect(database.url.get_secret_value())
    reading = reader.transaction()
    await reading.start()
    await reader.execute("SELECT count(*) FROM courier_commands")  # keeps its columns as they are
    connection = await connected(database)
    upgrading = asyncio.create_task(prepare(connection, database))
    pid = await until(lambda: asked(database, WAITING))
    asked(database, "SELECT pg_terminate_backend($1)", pid)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await upgrading
    await reading.rollback()
    await reader.close()
    assert (1, before) == (version_of(database), shape(database))
    ledger = await PostgresLedger.open(database)
    assert (SCHEMA_VERSION, BEFORE) == (
        version_of(database),
        (await intent_of(ledger, FIRST)).before,
    )
    await ledger.close()


@pytest.mark.parametrize("application", ["courier", "courier/1"])
async def test_while_an_older_courier_is_connected_nothing_is_upgraded(
    application: str, database: Postgres
) -> None:
    """Its statements would break the rules of the new one; when it is gone, the upgrade works."""
    await old_ledger(database)
    before = shape(database)
    words = "^COURIER_LEDGER_URL: .*older courier.*1 connections.*stop every older courier"
    async with session(database, application):
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=words):
                await PostgresLedger.open(database)
        assert (1, before) == (version_of(database), shape(database))
    ledger = await PostgresLedger.open(database)
    assert SCHEMA_VERSION == version_of(database)
    await ledger.close()


@pytest.mark.parametrize("application", [APPLICATION, "psql", "courier-of-somebody-else"])
async def test_other_programs_and_new_couriers_hinder_no_upgrade(
    application: str, database: Postgres
) -> None:
    """Nor does an older courier in another database of the server."""
    await old_ledger(database)
    async with session(database, application):
        await (await PostgresLedger.open(database)).close()
    assert SCHEMA_VERSION == version_of(database)


async def test_an_older_courier_of_another_database_hinders_no_upgrade(
    database: Postgres, request: pytest.FixtureRequest
) -> None:
    """Its ledger is another one."""
    elsewhere: Postgres = request.getfixturevalue("postgres").database()
    await old_ledger(database)
    async with session(elsewhere, "courier"):
        await (await PostgresLedger.open(database)).close()
    assert SCHEMA_VERSION == version_of(database)


async def test_replicas_that_start_together_upgrade_once(database: Postgres) -> None:
    """They wait for each other, and have one identity; nobody takes another for an older one."""
    at = await old_ledger(database)
    ledgers = await asyncio.gather(*(PostgresLedger.open(database) for _ in range(6)))
    assert {at} == {ledger.created_at for ledger in ledgers}
    assert 1 == len({ledger.identity for ledger in ledgers})
    assert {str(WRITER)} == {(await intent_of(ledger, FIRST)).id for ledger in ledgers}
    for ledger in ledgers:
        await ledger.close()


async def test_an_older_courier_refuses_an_upgraded_ledger(database: Postgres) -> None:
    """It reads the version as it always did, and finds a newer one than its own."""
    await old_ledger(database)
    await (await PostgresLedger.open(database)).close()
    row: Any = asked(database, "SELECT version > 1 FROM courier_ledger")
    assert row is True


async def test_a_tool_leaves_an_older_ledger_as_it_is(database: Postgres) -> None:
    """It says which program upgrades it."""
    await old_ledger(database)
    before = shape(database)

    def look() -> None:
        with opened(database):
            raise AssertionError("it was opened")

    with pytest.raises(ConfigurationError, match="older courier; start `courier serve` once"):
        await asyncio.to_thread(look)
    assert (1, before) == (version_of(database), shape(database))


async def test_the_statements_of_an_older_courier_do_nothing_after_the_upgrade(
    database: Postgres,
) -> None:
    """It may have been connected to nothing during the upgrade: then nobody could refuse it."""
    await old_ledger(database)
    await (await PostgresLedger.open(database)).close()
    older = await asyncpg.connect(database.url.get_secret_value())
    for statement in (FIND_1, CONCLUDE_1):
        with pytest.raises(asyncpg.UndefinedColumnError, match="digest"):
            await older.execute(statement)
    await older.close()
