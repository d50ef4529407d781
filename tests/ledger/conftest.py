"""The places where a ledger can be, for the rules that hold in all of them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from service.ledger import Ledger
from service.ledger.opening import open_ledger
from service.ledger.postgres import PostgresLedger
from service.settings import Postgres
from tests.support.clock import Clock
from tests.support.postgres import Server

Place: TypeAlias = Path | Postgres
Open = Callable[[], Awaitable[Ledger]]
"""Opens the test's ledger anew."""
Replicas: TypeAlias = tuple[PostgresLedger, PostgresLedger]
LOCKED: Final = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
"""How many locks are held, of whichever ledger."""


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where the test's ledger is: every rule of this folder holds for each kind."""
    if request.param == "sqlite":
        return tmp_path / "courier.db"
    database: Postgres = request.getfixturevalue("database")
    return database


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time that the test can put forward; it is named first in a test (see `Clock`)."""
    return Clock.put_up(monkeypatch)


@pytest.fixture
def database(postgres: Server) -> Postgres:
    """A database of the test's own."""
    return postgres.database()


@pytest.fixture
async def reopen(place: Place) -> AsyncIterator[Open]:
    """Open it, as often as it is wanted; whatever a test leaves open is closed after it."""
    async with AsyncExitStack() as opened:

        async def made() -> Ledger:
            ledger = await open_ledger(place)
            opened.push_async_callback(ledger.close)
            return ledger

        yield made


@pytest.fixture
async def replicas(database: Postgres) -> AsyncIterator[Replicas]:
    """Two couriers' views of one ledger."""
    async with AsyncExitStack() as stack:
        pair = (await PostgresLedger.open(database), await PostgresLedger.open(database))
        for each in pair:
            stack.push_async_callback(each.close)
        yield pair


@pytest.fixture
async def ledger(reopen: Open) -> Ledger:
    """A new ledger."""
    return await reopen()
