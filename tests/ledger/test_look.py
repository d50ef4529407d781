"""What `courier check` says of a ledger in PostgreSQL."""

import asyncio

import pytest
from pydantic import SecretStr

from service.checks import State, worst
from service.checks.ledger import look
from service.ledger.postgres import PostgresLedger
from service.settings import Postgres, Settings
from tests.unit.ledgers import BEFORE, FIRST, ORIGIN, told
from tests.unit.making import command

BROKER = "rabbit@a /"


async def found(place: Postgres, broker: str | None = BROKER) -> dict[str, tuple[State, str]]:
    settings = Settings.load(ledger_url=place.url.get_secret_value())
    findings = await asyncio.to_thread(look, settings, broker)
    return {each.what: (each.state, each.detail) for each in findings}


async def test_a_database_without_a_ledger_is_fine(database: Postgres) -> None:
    """Its tables come with the first start, and not by looking."""
    for _ in range(2):
        ((state, detail),) = (await found(database)).values()
        assert State.OK == state
        assert "will be made at the first start" in detail


async def test_what_is_open_and_whose_it_is_is_told(database: Postgres) -> None:
    """While the service has it open; another broker's ledger has failed."""
    ledger = await PostgresLedger.open(database)
    await ledger.belong_to(BROKER)
    await ledger.intend(FIRST, BEFORE, ORIGIN)
    await ledger.conclude(command(id="c-2"), told("unknown"), None)
    seen = await found(database)
    assert {"database": State.OK, "owner": State.OK, "entries": State.WARNING} == {
        what: state for what, (state, _) in seen.items()
    }
    assert "open intents: 1; unknowns that nobody has settled: 1" in seen["entries"][1]
    assert State.FAILED == (await found(database, "rabbit@b /"))["owner"][0]
    await ledger.close()


@pytest.mark.parametrize("url", ["postgresql://u:canary@/x?host=/nowhere", "postgresql://u@:x/y"])
async def test_a_database_that_is_not_there_has_failed(url: str) -> None:
    """With the setting's name and without a password."""
    settings = Settings.load(ledger_url=SecretStr(url).get_secret_value())
    findings = await asyncio.to_thread(look, settings, BROKER)
    assert State.FAILED == worst(findings)
    assert findings[0].detail.startswith("COURIER_LEDGER_URL: ")
    assert "canary" not in str(findings)
