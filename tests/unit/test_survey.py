"""What waits for somebody in the ledger: looked up aside, and remembered while nobody can look."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import enumerate as enumerate_threads

import pytest

from service.ledger import Settlement, Wanted
from service.ledger.opening import opened
from service.ledger.sqlite import SqliteLedger
from service.ledger.sqlite_care import SqliteCare
from service.ledger.sqlite_schema import connect
from service.ledger.survey import MOST, Survey
from service.messages.wire import now
from tests.support.wait import until
from tests.unit.ledgers import BEFORE, fill, origin_of, told
from tests.unit.making import command
from tests.unit.old_ledgers import old_file


@asynccontextmanager
async def surveyed(path: Path) -> AsyncIterator[Survey]:
    """A survey that looks every few milliseconds."""
    survey = Survey(path, interval=0.01)
    task = asyncio.create_task(survey.run())
    try:
        yield survey
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def intend(ledger: SqliteLedger, name: str, appliance: str) -> None:
    wanted = command(id=name, data={"appliance": appliance})
    await ledger.intend(wanted, BEFORE, origin_of(wanted))


async def end(ledger: SqliteLedger, name: str, conclusion: str, at: datetime) -> None:
    await ledger.conclude(command(id=name), told(conclusion, at), None)


async def look_anew(survey: Survey) -> None:
    """Wait for a look that began after this."""
    asked_at = now()
    await until(lambda: survey.surveyed_at and survey.surveyed_at >= asked_at)


async def test_what_is_open_is_counted_and_listed(sqlite: SqliteLedger, path: Path) -> None:
    """Open intents and unsettled unknowns, oldest first; what ended well waits for nobody."""
    hour = now().replace(microsecond=0) - timedelta(hours=1)
    await intend(sqlite, "open", "fac-2")
    await end(sqlite, "younger", "unknown", hour + timedelta(minutes=5))
    await end(sqlite, "older", "unknown", hour)
    for conclusion in ("succeeded", "refused", "failed"):
        await end(sqlite, conclusion, conclusion, hour)
    async with surveyed(path) as survey:
        await look_anew(survey)
        assert (1, 2, hour) == (survey.open_intents, survey.unresolved, survey.oldest_unresolved)
        assert ["older", "younger", "open"] == [each.id for each in survey.unsettled]


async def test_what_is_settled_waits_for_nobody(sqlite: SqliteLedger, path: Path) -> None:
    """The next look does not find it any more."""
    await end(sqlite, "c-1", "unknown", now())
    async with surveyed(path) as survey:
        await look_anew(survey)
        assert 1 == survey.unresolved
        with opened(path, read_only=False) as care:
            care.settle(("/portal", "c-1"), Settlement("applied", "It is there.", "anna", now()))
        await look_anew(survey)
        assert (0, None, []) == (survey.unresolved, survey.oldest_unresolved, survey.unsettled)


async def test_no_more_are_listed_than_a_page_holds(sqlite: SqliteLedger, path: Path) -> None:
    """All are counted. However many intents are open, unknowns that are older stand among them."""
    for number in range(MOST):
        await intend(sqlite, f"open-{number}", f"fac-{number}")
    await end(sqlite, "c-1", "unknown", now() - timedelta(hours=1))
    async with surveyed(path) as survey:
        await look_anew(survey)
        assert (MOST, 1, MOST) == (survey.open_intents, survey.unresolved, len(survey.unsettled))
        assert "c-1" == survey.unsettled[0].id


def put(path: Path, where: Path) -> None:
    path.rename(where)


def put_nothing(_: Path) -> None:
    """It was deleted."""


def put_no_ledger(path: Path) -> None:
    path.write_bytes(b"no ledger" * 1000)


def put_an_older_one(path: Path) -> None:
    """It was put back from a copy, behind the service's back."""
    old_file(path, 2)


@pytest.mark.parametrize("instead", [put_nothing, put_no_ledger, put_an_older_one])
async def test_a_ledger_that_cannot_be_read_leaves_the_last_figures(
    sqlite: SqliteLedger, path: Path, instead: Callable[[Path], None]
) -> None:
    """And from when they are; once it is back, it is looked at again."""
    await end(sqlite, "c-1", "unknown", now())
    await sqlite.close()
    away = path.with_suffix(".away")
    async with surveyed(path) as survey:
        await look_anew(survey)
        put(path, away)
        instead(path)
        await until(lambda: now() - (survey.surveyed_at or now()) > timedelta(milliseconds=200))
        assert (1, 1) == (survey.unresolved, len(survey.unsettled))
        put(away, path)
        await look_anew(survey)


async def test_a_ledger_that_hangs_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Neither those who ask for the figures nor the end of the survey; no second look begins."""
    hanging = tmp_path / "courier.db"
    os.mkfifo(hanging)  # whoever opens it waits until somebody writes to it
    before = _looking()
    async with surveyed(hanging) as survey:
        await until(lambda: _looking() - before == 1)
        await asyncio.wait([asyncio.create_task(asyncio.sleep(0.1))])
        assert (1, 0, None) == (_looking() - before, survey.unresolved, survey.surveyed_at)
    os.close(os.open(hanging, os.O_RDWR | os.O_NONBLOCK))
    await until(lambda: _looking() == before)


def _looking() -> int:
    return sum(each.name == "ledger-survey" for each in enumerate_threads())


def steps_of_a_look(path: Path) -> int:
    """How many instructions SQLite's machine needs for it."""
    steps: list[int] = []

    def count() -> int:
        steps.append(1)
        return 0

    with closing(connect(path, read_only=True)) as connection:
        care = SqliteCare(connection)
        connection.set_progress_handler(count, 1)
        care.open_figures()
        care.entries(Wanted())
        care.entries(Wanted(conclusion="unknown"))
    return len(steps)


@pytest.mark.usefixtures("sqlite")
def test_a_look_costs_no_more_in_a_large_ledger(path: Path) -> None:
    """It goes by the indexes of what is open: a million that have ended make no difference."""
    before = steps_of_a_look(path)
    fill(path, 5000)
    assert before == steps_of_a_look(path)
