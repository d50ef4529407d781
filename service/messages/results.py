"""What a command can result in: the part of a finished event that is the command's own.

Every field is always present; what is not known is None. `of` tells the case in which nothing
was written or read. Contracts: `contracts/events/`.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, JsonValue, ValidationInfo, field_validator

from service.messages.wire import Count, FileName, Frozen, HttpStatus, Text, masked

if TYPE_CHECKING:
    from service.messages.commands import (
        ActivateSmsLicense,
        ApplyVoiceLicense,
        LicenseFile,
        QueryApplianceStatus,
        QueryDevices,
        QuerySmsBalance,
    )


class Conclusion(StrEnum):
    """How a command ended. A closed list."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Effect(StrEnum):
    """What a licence command did to the appliance. A closed list."""

    ADDED = "added"
    UNCHANGED = "unchanged"
    ACCEPTED = "accepted"
    NONE = "none"
    UNDETERMINED = "undetermined"


def member(enum: type[StrEnum], *allowed: str) -> AfterValidator:
    """Accept the text of a member (of the allowed ones only, where they are named)."""

    def check(value: str) -> str:
        if value not in (allowed or set(enum)):
            raise ValueError("is not one of the known values")
        return enum(value)

    return AfterValidator(check)


class SmsBalance(Frozen):
    """SMS bought in all, used and left. Source: `GET /api/v1/fortiguardmessages/`."""

    total_sms: Count
    used_sms: Count
    available_sms: Count


class Balance(Frozen):
    """What `query-sms-balance` tells beside the common part."""

    total_sms: Count | None
    used_sms: Count | None
    available_sms: Count | None

    @classmethod
    def of(cls, _: QuerySmsBalance) -> Balance:
        """What is told when the balance could not be read."""
        return cls(total_sms=None, used_sms=None, available_sms=None)


class SmsActivation(Frozen):
    """What `activate-sms-license` tells beside the common part."""

    dry_run: bool
    license: Annotated[str, Field(pattern=r"^\*{4}-\*{4}-\*{4}-\*{4}-[A-Za-z0-9]{4}$")]
    effect: Annotated[
        str,
        member(Effect, Effect.ADDED, Effect.UNCHANGED, Effect.NONE, Effect.UNDETERMINED),
    ]
    added_sms: Count | None
    before: SmsBalance | None
    after: SmsBalance | None

    @classmethod
    def of(cls, asked: ActivateSmsLicense) -> SmsActivation:
        """What is told when nothing was written."""
        return cls(
            dry_run=asked.dry_run,
            license=masked(asked.license),
            effect=Effect.NONE,
            added_sms=0,
            before=None,
            after=None,
        )

    @classmethod
    def undetermined(
        cls, asked: ActivateSmsLicense, before: SmsBalance | None, after: SmsBalance | None = None
    ) -> SmsActivation:
        """What is told when a write was sent and nobody can say what it did."""
        told = {"effect": Effect.UNDETERMINED, "added_sms": None, "before": before, "after": after}
        return cls.of(asked).model_copy(update=told)


class FileInfo(Frozen):
    """A licence file without its content."""

    name: FileName
    size: Annotated[int, Field(ge=1, le=1024 * 1024)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class DeviceIdentity(Frozen):
    """What a FortiVoice says about itself when one logs in."""

    model: str | None
    serial: str | None
    version: str | None


class VoiceApplication(Frozen):
    """What `apply-voice-license` tells beside the common part."""

    dry_run: bool
    file: FileInfo
    effect: Annotated[str, member(Effect, Effect.ACCEPTED, Effect.NONE, Effect.UNDETERMINED)]
    device: DeviceIdentity | None

    @classmethod
    def of(cls, asked: ApplyVoiceLicense) -> VoiceApplication:
        """What is told when nothing was written."""
        return cls(
            dry_run=asked.dry_run, file=describe(asked.file), effect=Effect.NONE, device=None
        )

    @classmethod
    def undetermined(
        cls, asked: ApplyVoiceLicense, device: DeviceIdentity | None
    ) -> VoiceApplication:
        """What is told when a write was sent and nobody can say what it did."""
        told = {"effect": Effect.UNDETERMINED, "device": device}
        return cls.of(asked).model_copy(update=told)


class Extension(Frozen):
    """The extension that a phone belongs to."""

    id: Text | None
    number: Text | None
    display_name: Text | None


class Device(Frozen):
    """A phone as FortiVoice lists it. Times are the appliance's own, without a zone."""

    mac: Text | None
    phone_type: Text | None
    name: Text | None
    description: Text | None
    assigned: bool | None
    profile: Text | None
    extension: Extension | None
    ip: Text | None
    info: Text | None
    registered: bool | None
    last_register: Text | None
    expiration: Text | None


class Streamed(Frozen):
    """How far a list was told in pages.

    Attributes:
        attempt: whose pages count.
        pages, devices: how many were told.
        rows: of the appliance's list that were read.
    """

    attempt: Annotated[Count, Field(ge=1)]
    pages: Count
    devices: Count
    rows: Count


class DeviceList(Frozen):
    """What `query-devices` tells beside the common part."""

    devices: Annotated[tuple[Device, ...] | None, Field(strict=False)]
    total: Count | None
    start: Count
    next: Count | None
    complete: bool | None
    stream: Streamed | None = None

    @classmethod
    def of(cls, asked: QueryDevices) -> DeviceList:
        """What is told when the list could not be read."""
        return cls(devices=None, total=None, start=asked.start, next=None, complete=None)


class ResourceFailure(Frozen):
    """Why a resource gave nothing to pass on."""

    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    message: Annotated[str, Field(min_length=1, max_length=1000)]


class Resource(Frozen):
    """One of an appliance's resources, its body passed on as it came, with secrets masked."""

    name: Annotated[str, Field(min_length=1)]
    status: HttpStatus | None
    error: ResourceFailure | None
    raw: Annotated[JsonValue, Field(repr=False)]

    @field_validator("raw")
    @classmethod
    def _not_beside_an_error(cls, value: JsonValue, info: ValidationInfo) -> JsonValue:
        if value is not None and info.data.get("error") is not None:
            raise ValueError("is null where there is an error")
        return value


class ApplianceStatus(Frozen):
    """What `query-appliance-status` tells beside the common part."""

    device: DeviceIdentity | None
    resources: Annotated[tuple[Resource, ...] | None, Field(strict=False)]

    @classmethod
    def of(cls, _: QueryApplianceStatus) -> ApplianceStatus:
        """What is told when nothing was read."""
        return cls(device=None, resources=None)


def describe(file: LicenseFile) -> FileInfo:
    """Tell a file by name, size and checksum."""
    content = file.content.get_secret_value()
    return FileInfo(name=file.name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
