"""Thousands of commands on ten appliances that misbehave at random; their books decide.

`make soak` sends 20,000; the tests two hundred. The seed makes the same commands and the same
dice, though not the same order of events.
"""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.soaking import (
    SMS,
    SMS_FAULTS,
    VOICE,
    VOICE_FAULTS,
    contradictions,
    logins_unexplained,
    wishes,
)
from tests.support.stand import Service, Stand
from tests.support.wait import until
from tests.support.workflow import working

COMMANDS = int(os.environ.get("COURIER_SOAK_COMMANDS", "200"))
SEED = int(os.environ.get("COURIER_SOAK_SEED", "1"))
IN_FLIGHT = 400
"""Commands that are sent before answers are waited for."""
GROWTH = 8 * 1024
"""Kilobytes by which the service may grow in the second half."""


def resident(service: Service) -> int:
    """The memory that the service has, in kilobytes."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@pytest.mark.timeout(60 + COMMANDS // 10)
async def test_no_command_is_lost_and_no_licence_is_spent_twice(stand: Stand) -> None:
    """Every command has one result, which the appliances' books bear out; memory stays flat."""
    appliances = await stand.appliances(
        *("--fortiauthenticators", str(len(SMS)), "--fortivoices", str(len(VOICE)))
    )
    text = appliances.inventory.read_text()
    appliances.inventory.write_text(text.replace("read_timeout = 1.5", "read_timeout = 0.5"))
    for names, rules in ((SMS, SMS_FAULTS), (VOICE, VOICE_FAULTS)):
        for name in names:
            for rule in rules:
                await appliances.fault(name, seed=SEED, **rule)
    service = await stand.service(
        RETRY_DELAYS="1,2,5", LOGIN_BUDGET="1000", RECOVERY_TTL="600", LOG_LEVEL="INFO"
    )
    sent = wishes(COMMANDS, SEED)
    memory = []
    async with working(stand.url) as workflow:

        def answered() -> int:
            return len({each.event.get("causationid") for each in workflow.heard})

        expected: set[str] = set()
        for number, wish in enumerate(sent):
            await workflow.send(wish.document)
            expected.add(wish.id)
            if number % IN_FLIGHT == 0:
                await until(lambda: answered() >= len(expected) - IN_FLIGHT, patience=300)
                memory.append(resident(service))
        await until(lambda: answered() >= len(expected), patience=300)
        # What was told last may be told once more: a repeat that is still under way.
        await until(lambda: len(workflow.heard) >= len(sent))
        memory.append(resident(service))
        books = {name: await appliances.books(name) for name in (*SMS, *VOICE)}

    conclusions = Counter(each.data["conclusion"] for each in workflow.heard)
    sys.stdout.write(
        f"\n{len(sent)} commands: {dict(conclusions)}; logins that no expired session explains:"
        f" {logins_unexplained(books)}; memory in kB: {memory[0]} at first,"
        f" {memory[len(memory) // 2]} halfway, {memory[-1]} at the end\n"
    )
    assert [] == contradictions(sent, workflow.heard, books)
    assert logins_unexplained(books) <= len(SMS) + len(VOICE)
    assert memory[-1] - memory[len(memory) // 2] < GROWTH
    assert 4 >= max(book["in_flight_peak"] for book in books.values())
    assert 1 == max(book["writes_peak"] for book in books.values())
