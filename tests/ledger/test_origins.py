"""An intent is open on an appliance, whichever of its names it goes by."""

import pytest

from service.ledger import IntentOpen, Ledger
from tests.ledger.conftest import Open
from tests.unit.ledgers import BEFORE, FIRST, ORIGIN, intent_of, told
from tests.unit.making import command

RENAMED = command(id="c-2", data={"appliance": "fac-new"})
"""Its appliance has the origin of FIRST's, and another name."""
ELSEWHERE = command(id="c-3", data={"appliance": "fac-2"})
OTHER = "https://fac-2"


async def test_one_intent_is_open_per_origin(ledger: Ledger) -> None:
    """Two names that lead to one appliance share it; the other name gets its turn afterwards."""
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    assert {FIRST.key} == await ledger.open_intents("fac-new", ORIGIN)
    with pytest.raises(IntentOpen, match="fac-new"):
        await ledger.intend(RENAMED, BEFORE, ORIGIN)
    assert await ledger.find(RENAMED.key) is None
    await ledger.conclude(FIRST, told(), intent)
    assert set() == await ledger.open_intents("fac-new", ORIGIN)
    assert ORIGIN == (await ledger.intend(RENAMED, BEFORE, ORIGIN)).origin


async def test_one_intent_is_open_per_name(ledger: Ledger) -> None:
    """Even when the name leads to another appliance meanwhile."""
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    assert {FIRST.key} == await ledger.open_intents("fac-1", "https://replaced")
    with pytest.raises(IntentOpen, match="fac-1"):
        await ledger.intend(command(id="c-4"), BEFORE, "https://replaced")
    await ledger.withdraw(FIRST, intent)
    assert set() == await ledger.open_intents("fac-1", "https://replaced")
    await ledger.intend(command(id="c-4"), BEFORE, "https://replaced")


async def test_a_name_and_an_origin_may_each_have_an_intent(ledger: Ledger) -> None:
    """Whoever asks for a name that got the origin of another sees both."""
    await ledger.intend(FIRST, BEFORE, ORIGIN)
    await ledger.intend(ELSEWHERE, BEFORE, OTHER)
    assert {FIRST.key, ELSEWHERE.key} == await ledger.open_intents("fac-1", OTHER)
    with pytest.raises(IntentOpen):
        await ledger.intend(command(id="c-4"), BEFORE, OTHER)


async def test_a_withdrawn_intent_may_be_followed_at_another_origin(ledger: Ledger) -> None:
    """The later intent belongs to the appliance that was read for it, and frees the earlier one."""
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    await ledger.withdraw(FIRST, intent)
    await ledger.intend(FIRST, BEFORE, "https://replaced")
    assert "https://replaced" == (await intent_of(ledger, FIRST)).origin
    assert {FIRST.key} == await ledger.open_intents("fac-new", "https://replaced")
    await ledger.intend(RENAMED, BEFORE, ORIGIN)


async def test_a_withdrawn_intent_waits_for_its_origin(ledger: Ledger) -> None:
    """Another name has an intent there by now."""
    intent = await ledger.intend(FIRST, BEFORE, ORIGIN)
    await ledger.withdraw(FIRST, intent)
    await ledger.intend(RENAMED, BEFORE, ORIGIN)
    with pytest.raises(IntentOpen):
        await ledger.intend(FIRST, BEFORE, ORIGIN)
    assert {RENAMED.key} == await ledger.open_intents("fac-1", ORIGIN)


async def test_names_and_origins_outlive_a_restart(reopen: Open) -> None:
    """Both keep others out, and both are free when the intent is closed."""
    ledger = await reopen()
    await ledger.intend(FIRST, BEFORE, ORIGIN)
    await ledger.close()
    ledger = await reopen()
    assert {FIRST.key} == await ledger.open_intents("fac-1", "https://replaced")
    assert {FIRST.key} == await ledger.open_intents("fac-new", ORIGIN)
    await ledger.conclude(FIRST, told(), await intent_of(ledger, FIRST))
    assert set() == await ledger.open_intents("fac-1", ORIGIN)
