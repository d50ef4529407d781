"""Phones: list them, in one result or in pages as they arrive."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from service.handlers import Outcome
from service.messages.results import DeviceList

if TYPE_CHECKING:
    from service.appliances.ports import DeviceInventory
    from service.handlers import Pages
    from service.messages.commands import QueryDevices
    from service.messages.results import Device


async def query_devices(
    asked: QueryDevices, appliance: DeviceInventory, pages: Pages
) -> Outcome[DeviceList]:
    """List phones, as many as were asked for; a streamed list is told and not kept."""
    found: list[Device] = []
    listed = DeviceList.of(asked)
    parts = appliance.devices(
        search=asked.search,
        unassigned_only=asked.unassigned_only,
        start=asked.start,
        limit=asked.most,
    )
    async with aclosing(parts):
        async for part in parts:
            if asked.stream:
                await pages.tell(part)
            else:
                found += part.devices
            stands = {"total": part.total, "next": part.next, "complete": part.complete}
            listed = listed.model_copy(update=stands)
    devices = None if asked.stream else tuple(found)
    return Outcome(listed.model_copy(update={"devices": devices}))
