"""Phones: list them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.handlers import Outcome

if TYPE_CHECKING:
    from pydantic import BaseModel

    from service.appliances.ports import DeviceInventory
    from service.handlers import WriteIntent
    from service.messages.commands import QueryDevices
    from service.messages.results import DeviceList


async def query_devices(
    asked: QueryDevices, appliance: DeviceInventory, _intent: WriteIntent[BaseModel]
) -> Outcome[DeviceList]:
    """List phones, as many as were asked for."""
    return Outcome(
        await appliance.devices(
            search=asked.search,
            unassigned_only=asked.unassigned_only,
            start=asked.start,
            limit=asked.limit,
        )
    )
