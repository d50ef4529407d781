"""An appliance's own words about itself, passed on.

The vendor documents no schema for these resources, so nothing in them is translated or promised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.appliances.ports import Reading
from service.errors import Code, Failed
from service.handlers import Outcome
from service.messages.passthrough import passed_on
from service.messages.results import ApplianceStatus, Resource, ResourceFailure

if TYPE_CHECKING:
    from service.appliances.ports import StatusReadings
    from service.handlers import Pages
    from service.messages.commands import QueryApplianceStatus


async def query_appliance_status(
    asked: QueryApplianceStatus, appliance: StatusReadings, _pages: Pages
) -> Outcome[ApplianceStatus]:
    """Read the resources that were named, or all that the appliance has.

    Raises:
        Failed: `appliance-error`; it could not serve a single one now.
    """
    names = asked.resources or appliance.resources
    device = await appliance.login_says()
    there = [name for name in names if name in appliance.resources]
    readings = await appliance.readings(there) if there else []
    trouble = [each for each in readings if each.error and each.error[0] == Code.APPLIANCE_ERROR]
    if trouble and all(each.error for each in readings):
        status = trouble[0].status
        raise Failed(Code.APPLIANCE_ERROR, "no resource could be served", status=status)
    found = {each.name: each for each in readings}
    resources = [_told(found.get(name) or Reading.missing(name)) for name in names]
    return Outcome(ApplianceStatus(device=device, resources=tuple(resources)))


def _told(reading: Reading) -> Resource:
    raw, error = None, reading.error
    if error is None:
        try:
            raw = passed_on(reading.raw)
        except ValueError as why:
            error = Code.UNEXPECTED_ANSWER.value, f"the answer {why}"
    failure = ResourceFailure(code=error[0], message=error[1]) if error else None
    return Resource(name=reading.name, status=reading.status, error=failure, raw=raw)
