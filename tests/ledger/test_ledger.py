"""What every ledger must do, whatever it is kept in."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from service.errors import ConfigurationError
from service.ledger import Entry, Intent, IntentOpen, Ledger
from service.ledger.moment import Moment
from service.messages.wire import now
from tests.ledger.conftest import Open
from tests.unit.ledgers import (
    BEFORE,
    FIRST,
    ORIGIN,
    SECOND,
    intent_of,
    known,
    origin_of,
    told,
)
from tests.unit.making import command

ELSEWHERE = command(id="c-3", data={"appliance": "fac-2"})
ANSWER = b'{"kind": "failed"}'


def same(one: Intent, other: Intent | None) -> bool:
    """Whether they are one intent: a server's clock is read at another instant than ours."""
    assert other is not None
    current = Moment.current()
    apart = one.recorded.age(current) - other.recorded.age(current)
    return (one.before, one.answer, one.origin) == (
        other.before,
        other.answer,
        other.origin,
    ) and abs(apart) < 1


async def test_an_unknown_command_is_not_found(ledger: Ledger) -> None:
    """What was never recorded is new."""
    assert await ledger.find(FIRST.key) is None


async def test_an_intent_is_found_as_it_was_recorded(ledger: Ledger) -> None:
    """Figures, origin and instant come back; nothing is told yet."""
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    entry = await known(ledger, FIRST)
    assert (FIRST.digest, None) == (entry.digest, entry.told)
    assert ORIGIN == intent.origin
    assert same(intent, entry.intent)
    assert timedelta() <= now() - intent.recorded.at < timedelta(minutes=1)


async def test_an_end_is_found_as_it_was_told(ledger: Ledger) -> None:
    """After the end the entry keeps the event's data byte for byte, and the intent's figures."""
    intent, end = await ledger.intend(FIRST, BEFORE, ORIGIN), told()
    assert end == await ledger.conclude(FIRST, end, intent)
    entry = await known(ledger, FIRST)
    assert (FIRST.digest, end) == (entry.digest, entry.told)


async def test_a_command_may_end_without_an_intent(ledger: Ledger) -> None:
    """Refusals and dry runs are recorded as well."""
    end = told("refused")
    assert end == await ledger.conclude(FIRST, end, None)
    entry = await known(ledger, FIRST)
    assert (None, end) == (entry.intent, entry.told)


async def test_the_first_end_stays(ledger: Ledger) -> None:
    """Whoever concludes later, with whatever, changes nothing and is given what is stored."""
    end = told()
    await ledger.conclude(FIRST, end, None)
    assert end == await ledger.conclude(FIRST, told("unknown"), None)
    entry = await known(ledger, FIRST)
    assert end == entry.told


async def test_one_intent_is_open_on_an_appliance(ledger: Ledger) -> None:
    """While a write is not settled, no other is announced on the same appliance."""
    await ledger.intend(FIRST, BEFORE, ORIGIN)
    with pytest.raises(IntentOpen, match="fac-1"):
        await ledger.intend(SECOND, BEFORE, ORIGIN)
    await ledger.intend(ELSEWHERE, BEFORE, origin_of(ELSEWHERE))
    assert await ledger.find(SECOND.key) is None


async def test_only_one_of_many_gets_the_intent(ledger: Ledger) -> None:
    """Those who announce at the same time do not all believe that they may write."""
    rivals = [command(id=f"c-{number}") for number in range(20)]
    results = await asyncio.gather(
        *(ledger.intend(rival, BEFORE, ORIGIN) for rival in rivals), return_exceptions=True
    )
    assert 1 == sum(isinstance(result, Intent) for result in results)
    assert 19 == sum(isinstance(result, IntentOpen) for result in results)


async def test_an_intent_is_not_announced_twice(ledger: Ledger) -> None:
    """Not even by the command that has it: its first figures stay."""
    await ledger.intend(FIRST, BEFORE, ORIGIN)
    with pytest.raises(IntentOpen):
        await ledger.intend(FIRST, b"other", ORIGIN)
    assert BEFORE == (await intent_of(ledger, FIRST)).before


async def test_a_concluded_command_announces_nothing(ledger: Ledger) -> None:
    """An end is final: no write can follow it."""
    end = told()
    await ledger.conclude(FIRST, end, None)
    with pytest.raises(IntentOpen):
        await ledger.intend(FIRST, BEFORE, ORIGIN)
    entry = await known(ledger, FIRST)
    assert end == entry.told


@pytest.mark.parametrize("conclusion", ["succeeded", "unknown", "failed"])
async def test_an_end_lets_the_next_write_begin(conclusion: str, ledger: Ledger) -> None:
    """An intent is open until its command ends, however it ends."""
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    await ledger.conclude(FIRST, told(conclusion), intent)
    assert BEFORE == (await ledger.intend(SECOND, BEFORE, ORIGIN)).before


async def test_what_was_said_to_a_write_is_kept(ledger: Ledger) -> None:
    """It stands beside the intent, which stays open; what was said last counts."""
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    for answer in (b"first", ANSWER):
        await ledger.keep_answer(FIRST, intent, answer)
        assert same(replace(intent, answer=answer), await intent_of(ledger, FIRST))
    assert {FIRST.key} == await ledger.open_intents("fac-1", ORIGIN)


async def test_an_answer_is_its_own_commands(ledger: Ledger) -> None:
    """Another command's intent is told nothing by it."""
    await ledger.intend(FIRST, BEFORE, ORIGIN)
    elsewhere = await ledger.intend(ELSEWHERE, BEFORE, origin_of(ELSEWHERE))
    await ledger.keep_answer(ELSEWHERE, elsewhere, ANSWER)
    assert (await intent_of(ledger, FIRST)).answer is None


async def test_nothing_is_kept_of_what_was_not_announced(ledger: Ledger) -> None:
    """An answer makes no entry, and changes none that has its end."""
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    await ledger.keep_answer(SECOND, intent, ANSWER)
    assert await ledger.find(SECOND.key) is None
    await ledger.conclude(FIRST, told(), intent)
    await ledger.keep_answer(FIRST, intent, ANSWER)
    assert (await intent_of(ledger, FIRST)).answer is None


async def test_an_intent_that_was_withdrawn_takes_its_answer_along(ledger: Ledger) -> None:
    """What is announced again begins without one."""
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    await ledger.keep_answer(FIRST, intent, ANSWER)
    await ledger.withdraw(FIRST, intent)
    assert (await ledger.intend(FIRST, BEFORE, ORIGIN)).answer is None
    assert (await intent_of(ledger, FIRST)).answer is None


async def test_an_appliance_has_an_open_intent_until_it_is_settled(ledger: Ledger) -> None:
    """Whoever wants to write there asks first; other appliances are not concerned."""
    assert set() == await ledger.open_intents("fac-1", ORIGIN)
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    assert {FIRST.key} == await ledger.open_intents("fac-1", ORIGIN)
    assert set() == await ledger.open_intents("fac-2", "https://fac-2")
    await ledger.conclude(FIRST, told(), intent)
    assert set() == await ledger.open_intents("fac-1", ORIGIN)


async def test_a_withdrawn_intent_is_remembered_and_keeps_nobody_out(ledger: Ledger) -> None:
    """The command stays known, without an open intent; another write may begin there."""
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    await ledger.withdraw(FIRST, intent)
    assert Entry(FIRST.digest, None, None) == await ledger.find(FIRST.key)
    assert set() == await ledger.open_intents("fac-1", ORIGIN)
    assert BEFORE == (await ledger.intend(SECOND, BEFORE, ORIGIN)).before


async def test_an_end_cannot_be_withdrawn(ledger: Ledger) -> None:
    """Nobody takes back what was told."""
    intent, end = await ledger.intend(FIRST, BEFORE, ORIGIN), told()
    await ledger.conclude(FIRST, end, intent)
    await ledger.withdraw(FIRST, intent)
    assert end == (await known(ledger, FIRST)).told


async def test_source_and_id_together_are_the_key(ledger: Ledger) -> None:
    """The same id of another sender is another command."""
    await ledger.conclude(FIRST, told(), None)
    assert await ledger.find(command(source="/other").key) is None
    assert await ledger.find(("c-1", "/portal")) is None


async def test_a_ledger_belongs_to_one_broker(reopen: Open) -> None:
    """The first broker and virtual host stay; another is refused, with both named."""
    ledger = await reopen()
    await ledger.check_owner("rabbit@b /")
    await ledger.belong_to("rabbit@a /")
    await ledger.close()
    ledger = await reopen()
    await ledger.check_owner("rabbit@a /")
    with pytest.raises(ConfigurationError, match=r"COURIER_LEDGER_URL.*a /.*b /"):
        await ledger.check_owner("rabbit@b /")


async def test_a_ledger_that_nobody_has_used_is_new(reopen: Open) -> None:
    """Whoever only opened it, or got no further, has left nothing there to know."""
    for _ in range(2):
        ledger = await reopen()
        assert ledger.is_new
        await ledger.close()
    ledger = await reopen()
    await ledger.belong_to("rabbit@a /")
    assert ledger.is_new


async def test_a_ledger_knows_since_when_it_is(ledger: Ledger) -> None:
    """What is older than the ledger may have been in a lost one."""
    assert timedelta() <= now() - ledger.created_at < timedelta(minutes=1)


async def test_a_reopened_file_still_knows_everything(reopen: Open) -> None:
    """Intents, answers, ends, broker, birth and identity outlive the process."""
    ledger = await reopen()
    intent, end, born = await ledger.intend(FIRST, BEFORE, ORIGIN), told(), ledger.created_at
    identity = ledger.identity
    await ledger.keep_answer(FIRST, intent, ANSWER)
    await ledger.conclude(ELSEWHERE, end, None)
    await ledger.belong_to("rabbit@a /")
    await ledger.close()

    ledger = await reopen()
    first, elsewhere = await known(ledger, FIRST), await known(ledger, ELSEWHERE)
    assert same(replace(intent, answer=ANSWER), first.intent)
    assert end == elsewhere.told
    assert (born, identity) == (ledger.created_at, ledger.identity)
    with pytest.raises(IntentOpen):
        await ledger.intend(SECOND, BEFORE, ORIGIN)
    with pytest.raises(ConfigurationError):
        await ledger.check_owner("rabbit@b /")
