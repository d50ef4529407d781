"""Which handler, port and result belong to which command. A new command gets its line here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from service.appliances.ports import (
    DeviceInventory,
    SmsLicensing,
    StatusReadings,
    VoiceLicensing,
)
from service.handlers.devices import query_devices
from service.handlers.sms import activate_sms_license, query_sms_balance
from service.handlers.status import query_appliance_status
from service.handlers.voice import apply_voice_license
from service.messages.commands import (
    ActivateSmsLicense,
    ApplyVoiceLicense,
    CommandData,
    QueryApplianceStatus,
    QueryDevices,
    QuerySmsBalance,
)
from service.messages.results import (
    ApplianceStatus,
    Balance,
    DeviceIdentity,
    DeviceList,
    SmsActivation,
    SmsBalance,
    VoiceApplication,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pydantic import BaseModel

    from service.handlers import Outcome


@dataclass(frozen=True)
class Plan:
    """How a kind of command is carried out.

    Attributes:
        handler: runs it: (data, port, intent, or pages if it is a query) → outcome.
        port: what the appliance must be able to do.
        untouched: the result when nothing was written or read.
        before: what is read before a write; None for a query, which is not recorded either.
        undetermined: the result when a write's outcome is not known.
    """

    handler: Callable[..., Awaitable[Outcome[Any]]]
    port: type
    untouched: Callable[..., BaseModel]
    before: type[BaseModel] | None = None
    undetermined: Callable[..., BaseModel] | None = None

    @property
    def recorded(self) -> bool:
        """Tell a licence command: its end is stored before it is told."""
        return self.before is not None

    def writes(self, asked: CommandData) -> bool:
        """Tell whether this very command would write: a licence command that is no dry run."""
        return self.recorded and not getattr(asked, "dry_run", False)

    def streams(self, asked: CommandData) -> bool:
        """Tell whether this very command tells pages before its end."""
        return getattr(asked, "stream", False)


PLANS: dict[type[CommandData], Plan] = {
    ActivateSmsLicense: Plan(
        activate_sms_license,
        SmsLicensing,
        SmsActivation.of,
        SmsBalance,
        SmsActivation.undetermined,
    ),
    QuerySmsBalance: Plan(query_sms_balance, SmsLicensing, Balance.of),
    ApplyVoiceLicense: Plan(
        apply_voice_license,
        VoiceLicensing,
        VoiceApplication.of,
        DeviceIdentity,
        VoiceApplication.undetermined,
    ),
    QueryDevices: Plan(query_devices, DeviceInventory, DeviceList.of),
    QueryApplianceStatus: Plan(query_appliance_status, StatusReadings, ApplianceStatus.of),
}
