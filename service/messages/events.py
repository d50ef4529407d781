"""The data of every event, and the table of what may not contradict what in it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from service.errors import Code
from service.messages.results import (
    ApplianceStatus,
    Balance,
    Conclusion,
    Device,
    DeviceIdentity,
    DeviceList,
    Effect,
    Resource,
    SmsActivation,
    SmsBalance,
    Streamed,
    VoiceApplication,
    member,
)
from service.messages.wire import ApplianceName, Count, EventInstant, Frozen, HttpStatus, NotEmpty

CODES: dict[Conclusion, frozenset[Code]] = {
    Conclusion.SUCCEEDED: frozenset(),
    Conclusion.REFUSED: frozenset(
        {
            Code.UNKNOWN_APPLIANCE,
            Code.WRONG_APPLIANCE_KIND,
            Code.PERMISSION_DENIED,
            Code.LICENSE_REFUSED,
            Code.CANCELLED,
        }
    ),
    Conclusion.FAILED: frozenset(
        {
            Code.UNREACHABLE,
            Code.APPLIANCE_ERROR,
            Code.UNEXPECTED_ANSWER,
            Code.CREDENTIALS_REFUSED,
            Code.EXPIRED,
            Code.INTERNAL_ERROR,
        }
    ),
    Conclusion.UNKNOWN: frozenset({Code.OUTCOME_UNKNOWN}),
}
"""Which codes tell which conclusion; a code that stands nowhere here may come with any failure."""


MAX_DEVICES = 500
"""How many devices a page may have."""


class Failure(Frozen):
    """Why a command did not succeed: a stable code, a sentence, the appliance's HTTP status."""

    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    message: Annotated[str, Field(min_length=1, max_length=1000)]
    status: HttpStatus | None


class CommandRef(Frozen):
    """Which command an event answers; what could not be read of it is None."""

    id: str | None
    source: str | None
    type: str | None


class OfACommand(Frozen):
    """What every event says that belongs to a valid command."""

    answers: ClassVar[str]
    """The type of the commands that it is about."""

    command: CommandRef
    appliance: ApplianceName

    @field_validator("command")
    @classmethod
    def _check_command(cls, value: CommandRef) -> CommandRef:
        if value.type != cls.answers:
            raise _wrong("type", "is another command's")
        return value


class Finished(OfACommand):
    """The common part of every finished event."""

    conclusion: Annotated[str, member(Conclusion)]
    attempts: Count
    started_at: EventInstant
    finished_at: EventInstant
    error: Failure | None

    @field_validator("error")
    @classmethod
    def _check_error(cls, value: Failure | None, info: ValidationInfo) -> Failure | None:
        conclusion = info.data.get("conclusion")
        if conclusion is None:
            return value
        if (value is None) != (conclusion == Conclusion.SUCCEEDED):
            raise ValueError("is null exactly when the command succeeded")
        others = (codes for other, codes in CODES.items() if other != conclusion)
        if value is not None and any(value.code in codes for codes in others):
            raise _wrong("code", "belongs to another conclusion")
        return value


class OfAQuery(Finished):
    """The common part of an event that ends a query: it is never unknown."""

    @field_validator("conclusion")
    @classmethod
    def _check_conclusion(cls, value: str) -> str:
        if value == Conclusion.UNKNOWN:
            raise ValueError("a query is never unknown")
        return value


class OfAWrite(Finished):
    """The common part of an event that ends a licence command: its effect fits its conclusion."""

    done: ClassVar[tuple[Effect, ...]]
    """The effects that a write that succeeded can have."""

    @field_validator("dry_run", check_fields=False)
    @classmethod
    def _check_dry_run(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("conclusion") == Conclusion.UNKNOWN:
            raise ValueError("a dry run writes nothing that could be undetermined")
        return value

    @field_validator("effect", check_fields=False)
    @classmethod
    def _check_effect(cls, value: str, info: ValidationInfo) -> str:
        conclusion, dry_run = info.data.get("conclusion"), info.data.get("dry_run")
        if conclusion is None or dry_run is None:
            return value
        expected = {
            Conclusion.SUCCEEDED: (Effect.NONE,) if dry_run else cls.done,
            Conclusion.UNKNOWN: (Effect.UNDETERMINED,),
        }.get(Conclusion(conclusion), (Effect.NONE,))
        if value not in expected:
            raise ValueError(f"does not fit the conclusion {conclusion}")
        return value


class QuerySmsBalanceFinished(Balance, OfAQuery):
    """`courier.query-sms-balance.finished.v1`."""

    answers = "courier.query-sms-balance.v1"

    @field_validator("total_sms", "used_sms", "available_sms")
    @classmethod
    def _known_when_read(cls, value: int | None, info: ValidationInfo) -> int | None:
        _only_when_succeeded(value, info)
        return value


class QueryDevicesFinished(DeviceList, OfAQuery):
    """`courier.query-devices.finished.v1`."""

    answers = "courier.query-devices.v1"

    @field_validator("complete")
    @classmethod
    def _known_when_read(cls, value: bool | None, info: ValidationInfo) -> bool | None:
        _only_when_succeeded(value, info)
        return value

    @field_validator("devices", "total", "next")
    @classmethod
    def _unknown_when_not_read(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("conclusion") != Conclusion.SUCCEEDED:
            raise ValueError("is null when the list was not read")
        return value

    @field_validator("stream")
    @classmethod
    def _told_in_one_way(cls, value: Streamed | None, info: ValidationInfo) -> Streamed | None:
        if value is not None and info.data.get("devices") is not None:
            raise ValueError("is null when the devices are here")
        return value


class QueryApplianceStatusFinished(ApplianceStatus, OfAQuery):
    """`courier.query-appliance-status.finished.v1`."""

    answers = "courier.query-appliance-status.v1"

    @field_validator("resources")
    @classmethod
    def _known_when_read(
        cls, value: tuple[Resource, ...] | None, info: ValidationInfo
    ) -> tuple[Resource, ...] | None:
        _only_when_succeeded(value, info)
        return value


class QueryDevicesPage(OfACommand):
    """`courier.query-devices.page.v1`: some of the devices, before the list is read to its end."""

    answers = "courier.query-devices.v1"

    attempt: Annotated[Count, Field(ge=1)]
    sequence: Annotated[Count, Field(ge=1)]
    devices: Annotated[tuple[Device, ...], Field(max_length=MAX_DEVICES, strict=False), NotEmpty]


class ActivateSmsLicenseFinished(SmsActivation, OfAWrite):
    """`courier.activate-sms-license.finished.v1`."""

    answers = "courier.activate-sms-license.v1"
    done = (Effect.ADDED, Effect.UNCHANGED)

    @field_validator("added_sms")
    @classmethod
    def _check_added(cls, value: int | None, info: ValidationInfo) -> int | None:
        effect = info.data.get("effect")
        if effect is None:
            return value
        fits = {
            Effect.ADDED: value is not None and value > 0,
            Effect.UNDETERMINED: value is None,
        }.get(Effect(effect), value == 0)
        if not fits:
            raise ValueError(f"does not fit the effect {effect}")
        return value

    @field_validator("before", "after")
    @classmethod
    def _check_figures(cls, value: SmsBalance | None, info: ValidationInfo) -> SmsBalance | None:
        if info.data.get("conclusion") != Conclusion.SUCCEEDED or "effect" not in info.data:
            return value
        expected = info.field_name == "before" or info.data["effect"] != Effect.NONE
        if (value is not None) != expected:
            raise ValueError("must be null" if value else "must be known")
        return value


class ApplyVoiceLicenseFinished(VoiceApplication, OfAWrite):
    """`courier.apply-voice-license.finished.v1`."""

    answers = "courier.apply-voice-license.v1"
    done = (Effect.ACCEPTED,)

    @field_validator("device")
    @classmethod
    def _check_device(
        cls, value: DeviceIdentity | None, info: ValidationInfo
    ) -> DeviceIdentity | None:
        if value is None and info.data.get("conclusion") == Conclusion.SUCCEEDED:
            raise ValueError("must be known")
        return value


class Rejected(Frozen):
    """`courier.command.rejected.v1`: the answer to whatever is not a valid command."""

    class Error(Frozen):
        """Where something is wrong (JSON Pointer) and what; never a value."""

        path: Annotated[str, Field(pattern=r"^(?:/[^/]*)*$")]
        message: Annotated[str, Field(min_length=1, max_length=300)]

    reason: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    errors: Annotated[tuple[Error, ...], Field(max_length=20, strict=False)]
    command: CommandRef
    body_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    parked: Literal[True] = True


def _wrong(field: str, message: str) -> ValidationError:
    """Make the error of a field inside a field, which a validator of the outer one found."""
    details = InitErrorDetails(
        type=PydanticCustomError("value_error", message), loc=(field,), input=None
    )
    return ValidationError.from_exception_data("event", [details])


def _only_when_succeeded(value: object, info: ValidationInfo) -> None:
    conclusion = info.data.get("conclusion")
    if conclusion is not None and (value is not None) != (conclusion == Conclusion.SUCCEEDED):
        raise ValueError("is known exactly when the command succeeded")
