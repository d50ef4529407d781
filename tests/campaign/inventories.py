"""Changes of the inventory while commands are under way; every courier has a file of its own.

So a change may reach all couriers at once, or one of them, as when it is rolled out host by host.
A courier reads the file at SIGHUP, and by itself some seconds after it was written.
"""

import asyncio
import json
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.campaign.arena import Arena
from tests.campaign.history import Wish
from tests.campaign.kinds import READ_TIMEOUTS, SMS, alias
from tests.campaign.schedules import Planned, wish
from tests.campaign.striking import Fault, Healed

Table = dict[str, Any]
Tables = dict[str, Table]

_KINDS: Final = {
    True: ("activate-sms-license", "activate"),
    False: ("apply-voice-license", "apply"),
}
"""Which command writes there, and by which operation: on a FortiAuthenticator, or not."""
_BY_ALIAS: Final = 4
"""Licence commands that are sent under the other name of a renamed appliance."""
_LATE: Final = 1.2
"""How many times `read_timeout` an answer takes that comes too late."""
_READ: Final = 0.5
"""Seconds for a first reading back, which fails."""
_RETRIED: Final = 3.0
"""Seconds until the next one, which may come to another appliance."""
_LOOKS: Final = 30
_BETWEEN: Final = 0.1


def read(path: Path) -> Tables:
    """Read the tables of an inventory, by the appliances' names."""
    return dict(tomllib.loads(path.read_text("utf-8"))["appliances"])


def write(path: Path, tables: Tables) -> None:
    """Write an inventory at once, so that no courier reads half of it."""
    lines = []
    for name, table in tables.items():
        lines.append(f"[appliances.{name}]")
        # Strings, numbers and truth values are the same in JSON.
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    fresh = path.with_suffix(".new")
    fresh.write_text("\n".join(lines) + "\n", "utf-8")
    fresh.replace(path)


def swapped(tables: Tables, one: str, other: str) -> Tables:
    """Let two names lead to each other's appliances."""
    return tables | {one: tables[other], other: tables[one]}


def renamed(tables: Tables, name: str) -> Tables:
    """Call an appliance by its other name."""
    return {alias(each) if each == name else each: table for each, table in tables.items()}


def led_to(name: str, planned: Planned) -> set[str]:
    """Name the appliances to which a name leads while a fault lasts, or before and after it."""
    if planned.kind == "inventory-swapped" and name in planned.variant.split():
        return {*planned.variant.split()}
    if planned.kind == "inventory-renamed" and name == alias(planned.variant):
        return {planned.variant}
    return {name}


def _with(change: Callable[[Tables, Planned], Tables]) -> Fault:
    async def strike(arena: Arena, planned: Planned, healed: Healed) -> None:
        chosen = planned.dice % (2 * len(arena.keepers))  # at one courier, or at all of them
        keepers = arena.keepers[chosen : chosen + 1] or arena.keepers
        before = [read(keeper.inventory) for keeper in keepers]
        interrupted = await _leave_intents_open(arena, planned)
        for keeper, tables in zip(keepers, before, strict=True):
            write(keeper.inventory, change(tables, planned))
            keeper.reload()
        by_alias = asyncio.create_task(_send_by_alias(arena, planned))
        await asyncio.sleep(READ_TIMEOUTS[_interrupted(planned)] + _READ)
        await arena.appliances.order("DELETE", f"/faults/{_interrupted(planned)}")
        # One copy for each courier: whichever is first reads back.
        for command in interrupted * len(arena.keepers):
            await arena.publish(command)
        await asyncio.sleep(_RETRIED + planned.seconds)
        for keeper, tables in zip(keepers, before, strict=True):
            write(keeper.inventory, tables)
            keeper.reload()
        healed()
        await by_alias
        for each in [*arena.sent]:
            # What does not end is the judge's to find.
            with suppress(AssertionError, TimeoutError):
                await arena.ended(each)

    return strike


def _interrupted(planned: Planned) -> str:
    """Name the appliance with open intents: with some on both, each would wait for the other."""
    return planned.variant.split()[planned.dice % len(planned.variant.split())]


async def _leave_intents_open(arena: Arena, planned: Planned) -> list[Wish]:
    """Let writes be done whose answers come too late, and reading back fail.

    So there is an open intent when the inventory changes, and what is read afterwards may be
    another appliance's.

    Returns:
        The commands concerned: they wait for each other.
    """
    name = _interrupted(planned)
    kind, operation = _KINDS[name in SMS]
    late = {"action": "delay", "when": "after", "seconds": _LATE * READ_TIMEOUTS[name]}
    await arena.appliances.fault(name, operation=operation, **late)
    sent = [wish(kind, name, f"open-{arena.vhost}-{len(arena.sent)}-{each}") for each in (1, 2)]
    for command in sent:
        await arena.publish(command)
    for _ in range(_LOOKS):
        book = await arena.appliances.books(name)
        if any(command.key in {**book["spent"], **book["applied"]} for command in sent):
            break
        await asyncio.sleep(_BETWEEN)
    if name in SMS:
        await arena.appliances.fault(name, operation="balance", action="answer", status=503)
    return sent


async def _send_by_alias(arena: Arena, planned: Planned) -> None:
    """Send licence commands to a renamed appliance, while others are sent by its usual name."""
    if planned.kind != "inventory-renamed":
        return
    kind, _ = _KINDS[planned.variant in SMS]
    for _ in range(_BY_ALIAS):
        made = wish(kind, alias(planned.variant), f"alias-{arena.vhost}-{len(arena.sent)}")
        await arena.publish(made)
        await asyncio.sleep(_BETWEEN)


INVENTORY_FAULTS: Final[dict[str, Fault]] = {
    "inventory-swapped": _with(lambda tables, how: swapped(tables, *how.variant.split())),
    "inventory-renamed": _with(lambda tables, how: renamed(tables, how.variant)),
}
"""Every change of the inventory, as it is made."""
