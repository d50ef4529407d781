"""Statements of replicas that arrive late, twice or at the same time; and how old an intent is."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from service.ledger import Entry, IntentOpen
from service.ledger import moment as moment_module
from service.ledger import postgres_statements as statements
from service.ledger.moment import Moment
from service.ledger.postgres import PostgresLedger
from service.messages.wire import now
from service.settings import Postgres
from tests.ledger.conftest import Replicas
from tests.support.postgres import asked
from tests.support.wait import until
from tests.unit.ledgers import BEFORE, FIRST, ORIGIN, SECOND, intent_of, known, told

HOUR: Final = timedelta(hours=1)
WAITING: Final = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
OPEN_FIRST: Final = """
UPDATE courier_commands SET withdrawn_at = NULL, intended_at = clock_timestamp(), before = ''
WHERE id = 'c-1'
"""


async def announce(ledger: PostgresLedger, writer: str) -> Sequence[asyncpg.Record]:
    """Send the statement that announces FIRST, as it was sent before."""
    identity = (*FIRST.key, FIRST.envelope.type, FIRST.digest, "fac-1", None, None)
    values = (*identity, BEFORE, UUID(writer), ORIGIN, None, None)
    return await ledger._database.run(statements.INTEND, *values)  # noqa: SLF001  # no other way in


async def test_a_late_repeat_of_an_announcement_is_answered_with_the_intent(
    replicas: Replicas,
) -> None:
    """Its answer was lost: the same intent is found, as old as it is."""
    one, _ = replicas
    intent = await one.intend(FIRST, BEFORE, ORIGIN)
    ((age,),) = await announce(one, intent.id)
    assert 0 <= age < 60
    assert intent.id == (await intent_of(one, FIRST)).id


async def test_a_late_repeat_does_not_reopen_a_withdrawn_intent(replicas: Replicas) -> None:
    """It was under way on a connection that was given up, and concerns what is over."""
    one, other = replicas
    intent = await one.intend(FIRST, BEFORE, ORIGIN)
    await one.withdraw(FIRST, intent)
    assert [] == await announce(one, intent.id)
    assert Entry(FIRST.digest, None, None) == await other.find(FIRST.key)
    assert set() == await other.open_intents("fac-1", ORIGIN)
    later = await other.intend(FIRST, b"later", ORIGIN)
    assert [] == await announce(one, intent.id)
    assert (later.id, b"later") == (
        (await intent_of(one, FIRST)).id,
        (await intent_of(one, FIRST)).before,
    )


async def test_a_late_repeat_does_not_reopen_what_ended(replicas: Replicas) -> None:
    """Whether its own result ended it, or one that was reached without an intent."""
    one, _ = replicas
    intent, end = await one.intend(FIRST, BEFORE, ORIGIN), told()
    await one.conclude(FIRST, end, intent)
    assert [] == await announce(one, intent.id)
    withdrawn = await one.intend(SECOND, BEFORE, ORIGIN)
    await one.withdraw(SECOND, withdrawn)
    await one.conclude(SECOND, end, None)
    assert end == (await known(one, FIRST)).told
    assert end == (await known(one, SECOND)).told
    assert set() == await one.open_intents("fac-1", ORIGIN)


async def test_of_two_announcements_at_once_the_second_is_refused(
    database: Postgres, replicas: Replicas
) -> None:
    """It waits for the first one's transaction; the database is not called unavailable."""
    one, _ = replicas
    for each in (FIRST, SECOND):
        await one.withdraw(each, await one.intend(each, BEFORE, ORIGIN))
    other = await asyncpg.connect(database.url.get_secret_value())
    with capture_logs() as lines:
        async with other.transaction():
            await other.execute(OPEN_FIRST)
            second = asyncio.create_task(one.intend(SECOND, BEFORE, ORIGIN))
            await until(lambda: asked(database, WAITING))
        with pytest.raises(IntentOpen, match="fac-1"):
            await second
    assert [] == lines
    await other.close()


async def test_an_intent_is_never_younger_to_its_writer_than_to_others(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is lost and the server is gone for a while: that time counts for the writer."""
    one, other = replicas
    fetch, tries = one._database._fetch, 0  # noqa: SLF001  # where the answer is lost

    async def losing(sql: str, values: Sequence[object]) -> Sequence[asyncpg.Record]:
        nonlocal tries
        tries += 1
        if tries == 1:
            await fetch(sql, values)
        if tries < 4:
            raise ConnectionResetError("the answer is lost")
        return await fetch(sql, values)

    monkeypatch.setattr(one._database, "_fetch", losing)  # noqa: SLF001
    intent = await one.intend(FIRST, BEFORE, ORIGIN)
    found = await intent_of(other, FIRST)
    current = Moment.current()
    assert 4 == tries
    assert intent.recorded.age(current) >= found.recorded.age(current) > 0.5


STEPS: Final = {
    "of the server, to the host that recorded it": (HOUR, timedelta(), False),
    "of the server, back": (-HOUR, timedelta(), True),
    "of a reader, to another host": (timedelta(), HOUR, True),
    "of a reader, to the host that recorded it": (timedelta(), HOUR, False),
    "of both, to the host that recorded it": (HOUR, HOUR, False),
}
"""By how much the server's and the reader's clock step, and whether the reader is another host."""


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_of_a_clock_does_not_age_an_intent(
    step: str, database: Postgres, replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody judges a write too early because of it; the writer's own look is not concerned."""
    server, reader, is_elsewhere = STEPS[step]
    one, other = replicas
    intent = await one.intend(FIRST, BEFORE, ORIGIN)
    asked(database, "UPDATE courier_commands SET intended_at = intended_at - $1::interval", server)
    if is_elsewhere:
        asked(database, "UPDATE courier_commands SET boot = 'another one'")
    monkeypatch.setattr(moment_module, "now", lambda: now() + reader)
    found = await intent_of(other, FIRST)
    assert 0 <= found.recorded.age(Moment.current()) < 60
    assert 0 <= intent.recorded.age(Moment.current()) < 60
    assert replace(intent, recorded=found.recorded) == found


async def test_an_old_intent_is_old_to_every_replica(
    database: Postgres, replicas: Replicas
) -> None:
    """When all clocks say so, it is judged."""
    one, other = replicas
    await one.intend(FIRST, BEFORE, ORIGIN)
    asked(
        database,
        "UPDATE courier_commands SET uptime = uptime - 90,"
        " intended_at = intended_at - $1::interval",
        timedelta(seconds=90),
    )
    for each in (one, other):
        assert 90 <= (await intent_of(each, FIRST)).recorded.age(Moment.current()) < 95
