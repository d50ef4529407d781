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
from tests.campaign.kinds import SMS, alias
from tests.campaign.schedules import Planned, wish
from tests.campaign.striking import Fault, Healed

Table = dict[str, Any]
Tables = dict[str, Table]

_BY_ALIAS: Final = 4
"""Licence commands that are sent under the other name of a renamed appliance."""
_OPEN: Final = 6
"""Licence commands that are sent just before the change."""
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
        chosen = planned.dice % (len(arena.keepers) + 1)
        keepers = arena.keepers[chosen : chosen + 1] or arena.keepers
        before = [read(keeper.inventory) for keeper in keepers]
        await _leave_intents_open(arena, planned)
        for keeper, tables in zip(keepers, before, strict=True):
            write(keeper.inventory, change(tables, planned))
            keeper.reload()
        by_alias = asyncio.create_task(_send_by_alias(arena, planned))
        await asyncio.sleep(planned.seconds / 2)
        for each in _concerned(planned):
            await arena.appliances.order("DELETE", f"/faults/{each}")
        await asyncio.sleep(planned.seconds / 2)
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


def _concerned(planned: Planned) -> list[str]:
    return planned.variant.split()


async def _leave_intents_open(arena: Arena, planned: Planned) -> None:
    """Let some writes be done whose answer, and first reading back, is lost.

    So there are open intents when the inventory changes, and what is read afterwards may be another
    appliance's.
    """
    for name in _concerned(planned):
        operation = "activate" if name in SMS else "apply"
        lost = {"operation": operation, "action": "reset", "when": "after", "probability": 0.5}
        await arena.appliances.fault(name, **lost, seed=planned.dice % 2**31)
        if name in SMS:
            unread = {"operation": "balance", "action": "answer", "status": 503, "probability": 0.5}
            await arena.appliances.fault(name, **unread, seed=planned.dice % 2**31)
    for number in range(_OPEN):
        name = _concerned(planned)[number % len(_concerned(planned))]
        kind = "activate-sms-license" if name in SMS else "apply-voice-license"
        await arena.publish(wish(kind, name, f"open-{arena.vhost}-{len(arena.sent)}"))
        await asyncio.sleep(_BETWEEN)


async def _send_by_alias(arena: Arena, planned: Planned) -> None:
    """Send licence commands to a renamed appliance, while others are sent by its usual name."""
    if planned.kind != "inventory-renamed":
        return
    kind = "activate-sms-license" if planned.variant in SMS else "apply-voice-license"
    for _ in range(_BY_ALIAS):
        made = wish(kind, alias(planned.variant), f"alias-{arena.vhost}-{len(arena.sent)}")
        await arena.publish(made)
        await asyncio.sleep(_BETWEEN)


INVENTORY_FAULTS: Final[dict[str, Fault]] = {
    "inventory-swapped": _with(lambda tables, how: swapped(tables, *how.variant.split())),
    "inventory-renamed": _with(lambda tables, how: renamed(tables, how.variant)),
}
"""Every change of the inventory, as it is made."""
