"""The right to write, among replicas, on a database that is slow: all locks are on one session.

Earlier the wait's deadline cut a statement off; the session was ended, and with it every lock of
the process (17 of 60 waits at 20 ms).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from service.errors import Code, Waiting
from service.ledger import locks
from service.ledger.postgres import PostgresLedger
from service.settings import Postgres
from tests.campaign.proxy import Link
from tests.ledger.conftest import LOCKED
from tests.support.postgres import Server, asked
from tests.support.wait import until
from tests.unit.ledgers import BEFORE, FIRST, ORIGIN, SECOND

LATENCY: Final = 0.05
"""Seconds that each direction takes: an answer comes after twice that."""
OTHER: Final = "https://fac-2"
END_LOCKING: Final = """
SELECT count(pg_terminate_backend(pid)) FROM pg_locks
WHERE locktype = 'advisory' AND database = (
    SELECT oid FROM pg_database WHERE datname = current_database()
)
"""
BETWEEN_QUESTIONS: Final = 0.15
IN_THE_FIRST: Final = 0.05
IN_THE_SECOND: Final = 0.25


@pytest.fixture
async def near(database: Postgres) -> AsyncIterator[PostgresLedger]:
    """A replica beside the database."""
    ledger = await PostgresLedger.open(database)
    yield ledger
    await ledger.close()


@pytest.fixture
async def link(postgres: Server) -> AsyncIterator[Link]:
    """The way to the database, fast to begin with."""
    end = urlsplit(postgres.url("postgres"))
    async with Link.opened(str(end.hostname), end.port or 0) as opened:
        yield opened


@pytest.fixture
async def far(database: Postgres, postgres: Server, link: Link) -> AsyncIterator[PostgresLedger]:
    """A replica behind the link; it is slow from its first lock on."""
    end = urlsplit(postgres.url(asked(database, "SELECT current_database()")))
    place = end._replace(netloc=end.netloc.rpartition("@")[0] + f"@127.0.0.1:{link.port}").geturl()
    ledger = await PostgresLedger.open(Postgres(SecretStr(place)))
    yield ledger
    link.heal()
    await ledger.close()


def wait_at_most(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "MAX_WAIT", seconds)


@pytest.mark.parametrize("deadline", [IN_THE_FIRST, BETWEEN_QUESTIONS, IN_THE_SECOND])
async def test_waiting_in_vain_for_one_appliance_loses_no_other_lock(
    deadline: float,
    link: Link,
    far: PostgresLedger,
    near: PostgresLedger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wherever the deadline falls: before the answer, between two questions, into the second."""
    async with near.writing("fac-1", ORIGIN), far.writing("fac-2", OTHER) as right:
        link.slow(latency=LATENCY, rate=0)
        wait_at_most(deadline, monkeypatch)
        for _ in range(3):
            with pytest.raises(Waiting) as caught:
                await far.writing("fac-1", ORIGIN).__aenter__()
            assert Code.BUSY == caught.value.code
            assert right.stands
        link.heal()
        wait_at_most(0.5, monkeypatch)
        with pytest.raises(Waiting):  # nobody else gets what is held
            await near.writing("fac-2", OTHER).__aenter__()
        assert right.stands


async def test_many_that_wait_in_vain_at_once_lose_no_other_lock(
    link: Link, far: PostgresLedger, near: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their questions queue up behind each other, and most are still open at the deadline."""
    async with near.writing("fac-1", ORIGIN), far.writing("fac-2", OTHER) as right:
        link.slow(latency=LATENCY / 2, rate=0)
        wait_at_most(IN_THE_SECOND, monkeypatch)
        waits = [far.writing("fac-1", ORIGIN).__aenter__() for _ in range(10)]
        results = await asyncio.gather(*waits, return_exceptions=True)
        assert 10 == sum(isinstance(result, Waiting) for result in results)
        assert right.stands


@pytest.mark.parametrize("end", ["cancelled", "timed out"])
async def test_whoever_stops_waiting_for_an_answer_leaves_no_lock_behind(
    end: str,
    link: Link,
    far: PostgresLedger,
    near: PostgresLedger,
    database: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server grants it while its answer is on the way: it is given back when that arrives."""
    async with far.writing("fac-2", OTHER) as right:
        held = asked(database, LOCKED)
        link.slow(latency=10 * LATENCY, rate=0)
        wait_at_most(12 * LATENCY if end == "timed out" else 60, monkeypatch)
        waiting = asyncio.create_task(far.writing("fac-1", ORIGIN).__aenter__())
        await until(lambda: asked(database, LOCKED) > held)  # granted; the answer is on its way
        if end == "cancelled":
            waiting.cancel()
        with suppress(asyncio.CancelledError, Waiting):
            await waiting
        link.heal()
        await until(lambda: asked(database, LOCKED) == held)
        assert right.stands
    async with near.writing("fac-1", ORIGIN) as other:
        assert other.stands


async def test_a_lock_of_the_name_is_given_back_if_the_origins_is_not_to_be_had(
    far: PostgresLedger,
    near: PostgresLedger,
    database: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two names of one appliance never write at once; who waits in vain keeps nobody waiting."""
    async with near.writing("fac-old", ORIGIN):
        held = asked(database, LOCKED)
        wait_at_most(IN_THE_SECOND, monkeypatch)
        with pytest.raises(Waiting):
            await far.writing("fac-1", ORIGIN).__aenter__()
        await until(lambda: asked(database, LOCKED) == held)
        async with near.writing("fac-1", OTHER) as right:
            assert right.stands
    async with far.writing("fac-1", ORIGIN) as right:
        assert right.stands


async def test_one_origin_is_written_by_one_replica_at_a_time(
    far: PostgresLedger, near: PostgresLedger
) -> None:
    """The other name gets its turn when the first is done, without coming again."""
    async with near.writing("fac-old", ORIGIN):
        waiting = asyncio.create_task(far.writing("fac-1", ORIGIN).__aenter__())
        await until(lambda: far._locks._session is not None)  # noqa: SLF001  # it has asked
        assert not waiting.done()
    assert (await waiting).stands


async def test_a_slow_database_grants_what_is_free(
    link: Link, far: PostgresLedger, near: PostgresLedger
) -> None:
    """Ten appliances at once, each by its name and its origin, on one session."""
    link.slow(latency=LATENCY / 5, rate=0)
    places = [(f"fac-{number}", f"https://fac-{number}") for number in range(10)]
    contexts = [far.writing(*place) for place in places]
    rights = await asyncio.gather(*(context.__aenter__() for context in contexts))
    assert [True] * 10 == [right.stands for right in rights]
    for context in contexts:
        await context.__aexit__(None, None, None)
    link.heal()
    async with near.writing(*places[0]) as right:
        assert right.stands


async def test_an_intent_is_recorded_only_while_the_lock_is_held(
    database: Postgres, near: PostgresLedger, far: PostgresLedger
) -> None:
    """The session with the lock ended at the server and nobody here knows: nothing is recorded."""
    async with near.writing("fac-1", ORIGIN) as right:
        asked(database, END_LOCKING)
        assert right.stands
        async with far.writing("fac-1", ORIGIN) as theirs:
            with pytest.raises(Waiting):
                await near.intend(FIRST, BEFORE, ORIGIN, right)
            assert set() == await far.open_intents("fac-1", ORIGIN)
            await far.intend(SECOND, BEFORE, ORIGIN, theirs)
        assert not right.stands
