"""The connection to PostgreSQL is lost at every statement: before it, or after it with its answer.

Sessions end with it, and so do locks: whatever was not sent by then is not sent any more.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, Literal

import asyncpg
import pytest
from pydantic import SecretStr

from service.appliances.ports import NotSent
from service.appliances.visit import visit
from service.execution import Execution, Retry
from service.ledger.postgres import PostgresLedger
from service.settings import Postgres
from tests.support.postgres import asked
from tests.unit.fakes import FakeFac, FakeFvc, executing
from tests.unit.making import LICENSE, command, received

Fetch = Callable[[str, Sequence[object]], Awaitable[Sequence[asyncpg.Record]]]

STATEMENTS: Final = 4
"""Found, looked whether another intent is open, announced, concluded."""
END_SESSIONS: Final = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
LOST: Final = asyncpg.ConnectionDoesNotExistError("connection was closed")
FILE: Final = {"name": "v.lic", "content": "bGljZW5jZQ=="}


class Fac(FakeFac):
    """Sends what the connection to an appliance would send."""

    async def activate(self, license_key: SecretStr) -> None:
        refuse_if_late()
        await super().activate(license_key)


class Fvc(FakeFvc):
    """The same."""

    async def apply(self, upload: Any) -> None:  # noqa: ANN401  as the port has it
        refuse_if_late()
        await super().apply(upload)


def refuse_if_late() -> None:
    current = visit.get()
    if current is not None and current.write_age() > 30:
        raise NotSent("too late")


@pytest.fixture
async def ledger(database: Postgres) -> AsyncIterator[PostgresLedger]:
    opened = await PostgresLedger.open(database)
    yield opened
    await opened.close()


async def ended(execution: Execution, name: str, data: dict[str, Any]) -> dict[str, Any]:
    """Deliver a command until it ends, as the retry queues do."""
    for _ in range(5):
        end = await execution.settle(received(command(name, data)))
        if not isinstance(end, Retry):
            told: dict[str, Any] = json.loads(end.data)
            return told
    raise AssertionError("it does not end")


def losing(
    ledger: PostgresLedger, database: Postgres, at: int, when: Literal["before", "after"]
) -> Fetch:
    """Do what a ledger does, and lose every connection at one of its statements."""
    real: Fetch = ledger._database._fetch  # noqa: SLF001  # no other way in
    done = 0

    async def fetch(sql: str, values: Sequence[object]) -> Sequence[asyncpg.Record]:
        nonlocal done
        done += 1
        if done != at:
            return await real(sql, values)
        if when == "after":
            await real(sql, values)
        await asyncio.to_thread(asked, database, END_SESSIONS)
        raise LOST

    return fetch


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(1, STATEMENTS + 1))
@pytest.mark.parametrize("name", ["activate-sms-license", "apply-voice-license"])
async def test_a_licence_is_written_once_wherever_the_connection_is_lost(
    name: str,
    at: int,
    when: Literal["before", "after"],
    ledger: PostgresLedger,
    database: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is told as it was done, though nobody could read back a file; and nothing stays open."""
    fac, fvc = Fac(), Fvc()
    ways: dict[str, tuple[Any, dict[str, Any], str, list[Any]]] = {
        "activate-sms-license": (fac, {"license": LICENSE}, "added", fac.posts),
        "apply-voice-license": (fvc, {"file": FILE}, "accepted", fvc.applied),
    }
    appliance, asked_for, effect, written = ways[name]
    monkeypatch.setattr(ledger._database, "_fetch", losing(ledger, database, at, when))  # noqa: SLF001
    data = {"appliance": appliance.name, **asked_for}
    told = await ended(executing(ledger, appliance), name, data)
    assert ("succeeded", effect, 1) == (told["conclusion"], told["effect"], len(written))
    assert set() == await ledger.open_intents(appliance.name, appliance.origin)
    assert ledger.idle_reason is None
