"""What was pruned counts as lost: the guard moves with it, and two clocks must agree."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.ledger import Entry, Ledger, moment
from service.ledger import postgres as postgres_module
from service.ledger.postgres import PostgresLedger
from service.ledger.sqlite import SqliteLedger
from service.messages.wire import now
from tests.ledger.conftest import Open, Place, Replicas
from tests.support.postgres import asked
from tests.unit.ledgers import BEFORE, FIRST, ORIGIN, told, written
from tests.unit.making import command

DAY = timedelta(days=1)
LONG_AGO = now() - 900 * DAY


async def ended(ledger: Ledger, name: str, at: datetime, conclusion: str = "succeeded") -> None:
    await ledger.conclude(command(id=name), told(conclusion, at), None)


async def left(ledger: Ledger, names: list[str]) -> list[str]:
    """Which of these commands the ledger knows."""
    found = [await ledger.find(command(id=name).key) for name in names]
    return [name for name, entry in zip(names, found, strict=True) if entry]


async def guard(ledger: Ledger) -> datetime | None:
    """What was pruned, as of the look for any command."""
    assert await ledger.find(("/portal", "nobody's")) is None
    return ledger.pruned_before


def make_older(place: Place) -> None:
    """Let everything that was withdrawn have been so 900 days ago."""
    if isinstance(place, Path):
        with written(place) as writer:
            writer.execute("UPDATE commands SET withdrawn_at = '2023-01-01T00:00:00.000Z'")
    else:
        asked(place, "UPDATE courier_commands SET withdrawn_at = withdrawn_at - interval '900 d'")


async def test_the_guard_moves_to_the_newest_result_that_was_pruned(ledger: Ledger) -> None:
    """Not to the instant that was asked for: what was never there was not lost."""
    assert ledger.pruned_before is None
    for name, days in (("a", 3), ("b", 2), ("c", 1), ("d", 0)):
        await ended(ledger, name, LONG_AGO - days * DAY)
    assert 3 == await ledger.forget(LONG_AGO)
    assert LONG_AGO - DAY == await guard(ledger)
    assert ["d"] == await left(ledger, ["a", "b", "c", "d"])


async def test_the_guard_never_moves_back(ledger: Ledger) -> None:
    """Neither when nothing is pruned, nor when only something older is."""
    await ended(ledger, "a", LONG_AGO)
    await ledger.forget(LONG_AGO + DAY)
    assert 0 == await ledger.forget(LONG_AGO + 2 * DAY)
    assert LONG_AGO == await guard(ledger)
    await ended(ledger, "b", LONG_AGO - 9 * DAY)
    assert 1 == await ledger.forget(LONG_AGO + DAY)
    assert LONG_AGO == await guard(ledger)


async def test_what_is_not_pruned_moves_no_guard(ledger: Ledger) -> None:
    """An unknown that is not resolved stays, and so does an open intent."""
    await ended(ledger, "u", LONG_AGO, "unknown")
    await ledger.intend(FIRST, BEFORE, ORIGIN)
    assert 0 == await ledger.forget(now() + DAY)
    assert await guard(ledger) is None


async def test_the_guard_outlives_a_restart(reopen: Open) -> None:
    """To the millisecond."""
    ledger = await reopen()
    await ended(ledger, "a", LONG_AGO)
    await ledger.forget(LONG_AGO + DAY)
    await ledger.close()
    assert LONG_AGO == (await reopen()).pruned_before


async def test_a_withdrawn_intent_is_pruned_without_a_trace(ledger: Ledger, place: Place) -> None:
    """Nothing was sent: it need not be guarded. A young one stays."""
    young, old = command(id="young"), command(id="old")
    for each in (old, young):
        await ledger.withdraw(each, await ledger.intend(each, BEFORE, ORIGIN))
        if each is old:
            await asyncio.to_thread(make_older, place)
    assert 0 == await ledger.forget(LONG_AGO + DAY)
    assert await ledger.find(old.key) is None
    assert Entry(young.digest, None, None) == await ledger.find(young.key)
    assert await guard(ledger) is None


@pytest.mark.parametrize("statements", range(1, 8))
async def test_an_interrupted_pruning_leaves_nothing_unguarded(
    statements: int, ledger: Ledger, reopen: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever statement is the last one that was done, what is gone is known to be gone."""
    names = [f"c-{number}" for number in range(450)]
    ends = {name: LONG_AGO - timedelta(seconds=number) for number, name in enumerate(names)}
    await asyncio.gather(*(ended(ledger, name, at) for name, at in ends.items()))
    cut_after(statements, ledger, monkeypatch)
    pruning = asyncio.create_task(ledger.forget(LONG_AGO + DAY))
    await asyncio.wait([pruning])
    monkeypatch.undo()
    await ledger.close()
    ledger = await reopen()
    gone = set(names) - set(await left(ledger, names))
    known_lost = ledger.pruned_before
    assert [] == [name for name in gone if known_lost is None or ends[name] > known_lost]


def cut_after(statements: int, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a task be cancelled when so many statements were done."""
    if isinstance(ledger, SqliteLedger):
        monkeypatch.setattr(ledger, "_execute", cut(ledger._execute, statements))  # noqa: SLF001
    else:
        assert isinstance(ledger, PostgresLedger)
        database = ledger._database  # noqa: SLF001  # no other way in
        monkeypatch.setattr(database, "run", cut(database.run, statements))


def cut(real: Callable[..., Any], statements: int) -> Callable[..., Any]:
    done = 0

    async def run(*words: object, **more: Any) -> object:  # noqa: ANN401  passed on
        nonlocal done
        done += 1
        result: object = await real(*words, **more)
        if done == statements:
            raise asyncio.CancelledError
        return result

    return run


async def test_a_write_of_today_is_not_pruned_whatever_the_clock_was(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its result says 900 days ago: the courier's clock was wrong until it was set right."""
    monkeypatch.setattr(moment, "now", lambda: LONG_AGO)
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    await ledger.conclude(FIRST, told(at=LONG_AGO), intent)
    monkeypatch.undo()
    await ended(ledger, "old", LONG_AGO - DAY)
    assert 1 == await ledger.forget(now() - 400 * DAY)
    assert await ledger.find(FIRST.key)
    assert LONG_AGO - DAY == await guard(ledger)


async def test_what_one_replica_pruned_the_others_know_at_their_next_look(
    replicas: Replicas,
) -> None:
    """Even at a look for a command that nobody knows."""
    one, other = replicas
    await ended(one, "a", LONG_AGO)
    await one.forget(LONG_AGO + DAY)
    assert other.pruned_before is None
    assert LONG_AGO == await guard(other)


async def test_the_server_prunes_nothing_that_is_younger_by_its_own_clock(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A courier whose clock is 500 days ahead asks for what is 400 days old, and gets no more."""
    one, _ = replicas
    ahead = now() + 500 * DAY
    await ended(one, "young", now() - DAY)
    await ended(one, "old", LONG_AGO)
    withdrawn = command(id="withdrawn")
    await one.withdraw(withdrawn, await one.intend(withdrawn, BEFORE, ORIGIN))
    monkeypatch.setattr(postgres_module, "now", lambda: ahead)
    assert 1 == await one.forget(ahead - 400 * DAY)
    assert ["young", "withdrawn"] == await left(one, ["young", "old", "withdrawn"])
    assert LONG_AGO == await guard(one)


async def test_a_courier_whose_clock_is_behind_prunes_less(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both clocks must call it old."""
    one, _ = replicas
    await ended(one, "a", LONG_AGO)
    behind = LONG_AGO - 10 * DAY
    monkeypatch.setattr(postgres_module, "now", lambda: behind)
    assert 0 == await one.forget(behind - 5 * DAY)
    assert ["a"] == await left(one, ["a"])
