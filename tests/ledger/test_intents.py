"""Whose intent it is: a result, an answer and a withdrawal concern the one that they name."""

import asyncio

import pytest
from structlog.testing import capture_logs

from service.ledger import Entry, Intent, IntentChanged, IntentOpen, Ledger
from service.messages.commands import Command
from tests.ledger.conftest import Open
from tests.unit.ledgers import BEFORE, FIRST, ORIGIN, SECOND, intent_of, known, told
from tests.unit.making import command

LATER = b'{"total_sms": 150}'
"""What was read before the second write."""


async def withdrawn(ledger: Ledger, wanted: Command = FIRST) -> Intent:
    """Record an intent and withdraw it."""
    intent = await ledger.intend(wanted, BEFORE, ORIGIN)
    await ledger.withdraw(wanted, intent)
    return intent


async def test_a_result_without_a_known_intent_closes_no_open_one(ledger: Ledger) -> None:
    """It was reached by a look that is out of date; the intent's own result is still stored."""
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    with pytest.raises(IntentChanged):
        await ledger.conclude(FIRST, told("failed"), None)
    assert intent.id == (await intent_of(ledger, FIRST)).id
    assert (await known(ledger, FIRST)).told is None
    assert {FIRST.key} == await ledger.open_intents("fac-1", ORIGIN)
    end = told()
    assert end == await ledger.conclude(FIRST, end, intent)


async def test_a_result_closes_only_its_own_intent(ledger: Ledger) -> None:
    """Not a later one of the same command."""
    earlier = await withdrawn(ledger)
    later = await ledger.intend(FIRST, LATER, ORIGIN)
    with pytest.raises(IntentChanged):
        await ledger.conclude(FIRST, told("failed"), earlier)
    assert {FIRST.key} == await ledger.open_intents("fac-1", ORIGIN)
    assert (later.id, LATER) == (
        (await intent_of(ledger, FIRST)).id,
        (await intent_of(ledger, FIRST)).before,
    )
    end = told()
    assert end == await ledger.conclude(FIRST, end, later)


async def test_a_result_of_an_intent_that_was_withdrawn_is_not_stored(ledger: Ledger) -> None:
    """Its author has to look again: the write was not sent."""
    intent = await withdrawn(ledger)
    with pytest.raises(IntentChanged):
        await ledger.conclude(FIRST, told("unknown"), intent)
    assert Entry(FIRST.digest, None, None) == await ledger.find(FIRST.key)


async def test_a_command_whose_intent_was_withdrawn_may_end_without_one(ledger: Ledger) -> None:
    """As expired, for example; it shows no intent then."""
    await withdrawn(ledger)
    end = told("failed")
    assert end == await ledger.conclude(FIRST, end, None)
    assert Entry(FIRST.digest, None, end) == await ledger.find(FIRST.key)


async def test_of_two_deliveries_the_one_with_the_intent_ends_the_command(ledger: Ledger) -> None:
    """The other found nothing, was late, and must not end it as expired; later it is told."""
    assert await ledger.find(FIRST.key) is None  # the look of the one that is late
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    expired, end = told("failed"), told("succeeded")
    with pytest.raises(IntentChanged):
        await ledger.conclude(FIRST, expired, None)
    assert end == await ledger.conclude(FIRST, end, intent)
    assert end == await ledger.conclude(FIRST, expired, None)
    assert end == (await known(ledger, FIRST)).told


@pytest.mark.parametrize("knows_it", [False, True])
async def test_the_first_result_stays_whatever_intent_its_rival_names(
    knows_it: bool, ledger: Ledger
) -> None:
    """Whoever comes second is given what is stored."""
    intent, end = await ledger.intend(FIRST, BEFORE, ORIGIN), told()
    await ledger.conclude(FIRST, end, intent)
    rival = told("unknown")
    assert end == await ledger.conclude(FIRST, rival, intent if knows_it else None)


async def test_a_withdrawn_intent_may_be_followed_by_another(ledger: Ledger) -> None:
    """Of the same command, with figures and an identity of its own and no answer."""
    earlier = await ledger.intend(FIRST, BEFORE, ORIGIN)
    await ledger.keep_answer(FIRST, earlier, b"{}")
    await ledger.withdraw(FIRST, earlier)
    later = await ledger.intend(FIRST, LATER, ORIGIN)
    assert earlier.id != later.id
    found = await intent_of(ledger, FIRST)
    assert (later.id, LATER, None) == (found.id, found.before, found.answer)
    assert {FIRST.key} == await ledger.open_intents("fac-1", ORIGIN)
    with pytest.raises(IntentOpen):
        await ledger.intend(SECOND, BEFORE, ORIGIN)


async def test_what_belongs_to_an_earlier_intent_does_not_touch_a_later_one(
    ledger: Ledger,
) -> None:
    """Neither its withdrawal nor its answer, however late they arrive."""
    earlier = await withdrawn(ledger)
    later = await ledger.intend(FIRST, LATER, ORIGIN)
    await ledger.withdraw(FIRST, earlier)
    await ledger.keep_answer(FIRST, earlier, b"{}")
    found = await intent_of(ledger, FIRST)
    assert (later.id, None) == (found.id, found.answer)
    assert {FIRST.key} == await ledger.open_intents("fac-1", ORIGIN)


async def test_a_withdrawn_intent_waits_for_another_that_is_open(ledger: Ledger) -> None:
    """It has no older right: whoever is first now writes first."""
    await withdrawn(ledger)
    await ledger.intend(SECOND, BEFORE, ORIGIN)
    with pytest.raises(IntentOpen):
        await ledger.intend(FIRST, BEFORE, ORIGIN)
    assert Entry(FIRST.digest, None, None) == await ledger.find(FIRST.key)
    assert {SECOND.key} == await ledger.open_intents("fac-1", ORIGIN)


async def test_only_one_of_many_withdrawn_ones_gets_the_intent_again(ledger: Ledger) -> None:
    """Those who announce again at the same time; the storage is not taken for unavailable."""
    rivals = [command(id=f"c-{number}") for number in range(20)]
    for rival in rivals:
        await withdrawn(ledger, rival)
    with capture_logs() as lines:
        results = await asyncio.gather(
            *(ledger.intend(rival, LATER, ORIGIN) for rival in rivals), return_exceptions=True
        )
    assert 1 == sum(isinstance(result, Intent) for result in results)
    assert 19 == sum(isinstance(result, IntentOpen) for result in results)
    assert [] == [line for line in lines if line["event"] == "ledger-unavailable"]
    assert 1 == len(await ledger.open_intents("fac-1", ORIGIN))


async def test_a_withdrawn_intent_is_remembered_over_a_restart(reopen: Open) -> None:
    """It is still not open, and still no unknown command."""
    ledger = await reopen()
    await withdrawn(ledger)
    await ledger.close()
    ledger = await reopen()
    assert Entry(FIRST.digest, None, None) == await ledger.find(FIRST.key)
    assert set() == await ledger.open_intents("fac-1", ORIGIN)
    assert BEFORE == (await ledger.intend(SECOND, BEFORE, ORIGIN)).before
