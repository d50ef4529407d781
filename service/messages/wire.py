"""The types that commands and events share, and JSON that is read strictly."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal, NoReturn, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
)

from service.errors import Reason, Rejection
from service.settings import URI_REFERENCE

T = TypeVar("T")
Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
"""What JSON can hold."""

MAX_BYTES = 2 * 1024 * 1024
"""The largest message that is looked into: 2 MiB."""
MAX_RESULT = 2 * MAX_BYTES
"""The largest `data` that is told: the broker closes the channel on what is too large for it."""

_RFC3339 = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])[Tt]"
    r"(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_TOLD = re.compile(r"[^.]{19}\.\d{3}Z", re.ASCII)


def parse_instant(value: object) -> datetime:
    """Read an RFC 3339 instant; a leap second counts as the second before it.

    Raises:
        ValueError: it is no such text, or a day that no calendar has.
    """
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("must be an RFC 3339 instant")
    text = value.upper()
    if text[17:19] == "60":
        text = text[:17] + "59" + text[19:]
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be an RFC 3339 instant") from None


def _as_told(value: object) -> object:
    if isinstance(value, str) and not _TOLD.fullmatch(value):
        raise ValueError("must be an RFC 3339 instant in UTC, with milliseconds and Z")
    return value


def format_instant(value: datetime) -> str:
    """Write an instant the way that every event does: UTC, milliseconds, `Z`."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> datetime:
    """The instant, cut to the milliseconds that are told."""
    instant = datetime.now(UTC)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def _some(value: tuple[T, ...]) -> tuple[T, ...]:
    if not value:
        raise ValueError("is empty")
    return value


def _once(value: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(value)) < len(value):
        raise ValueError("has the same twice")
    return value


NotEmpty = AfterValidator(_some)
"""For a list; pydantic's own rule finds one too short whose members are wrong."""


Instant = Annotated[
    datetime,
    BeforeValidator(parse_instant),
    PlainSerializer(format_instant, return_type=str, when_used="json"),
]
EventInstant = Annotated[Instant, BeforeValidator(_as_told)]
"""An instant as every event has it."""
Id = Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]
UriReference = Annotated[
    str,
    Field(
        pattern=URI_REFERENCE,
        min_length=1,
        max_length=255,
    ),
]
EventType = Annotated[str, Field(pattern=r"^[!-~]{1,255}$")]
ApplianceName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,127}$")]
FabricResource = Literal[
    "FabricAuthenticate",
    "FabricCallStatistics",
    "FabricDeviceStatus",
    "FabricSysStatusUsage",
    "FabricSysStatusSysinfo",
    "FabricWidget",
    "FabricVoipStatus",
]
"""The FortiVoice's read-only resources, in the vendor's words and order."""
SmsResource = Literal["fortiguardmessages"]
"""The one resource of a FortiAuthenticator that says something about it."""
ResourceNames = Annotated[
    tuple[Literal[FabricResource, SmsResource], ...],
    Field(strict=False),
    NotEmpty,
    AfterValidator(_once),
]
"""What `query-appliance-status` may ask for."""
Text = Annotated[str, Field(min_length=1)]
"""What an appliance says. It says "nothing" by an empty text, we by null."""
Count = Annotated[int, Field(ge=0, lt=2**53)]
HttpStatus = Annotated[int, Field(ge=100, le=599)]
Traceparent = Annotated[str, Field(pattern=r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")]
Tracestate = Annotated[str, Field(pattern=r"^[ -~]{0,512}$")]


class Frozen(BaseModel):
    """A value that travels. Strict: "yes" is no boolean and "1" no number."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", hide_input_in_errors=True)


def _refuse_null(value: object) -> object:
    if value is None:
        raise ValueError("may be left out, but not null")
    return value


NotNull = BeforeValidator(_refuse_null)
"""For an optional field: absent is None inside, null outside is refused."""


@dataclass(frozen=True)
class Identity:
    """What can be read of a message that may not be a command; None where it cannot."""

    id: str | None = None
    source: str | None = None
    type: str | None = None
    correlationid: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None


def masked(license_key: SecretStr) -> str:
    """Show a licence as it may be shown: its last four characters."""
    return "****-****-****-****-" + license_key.get_secret_value()[-4:]


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """Refuse a second value for a key: a second `dry_run` must not win."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _no_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def parse_json(body: bytes) -> Json:
    """Read JSON as RFC 8259 has it, without the liberties that the library takes.

    Raises:
        Rejection: `not-json`, for bad UTF-8, bad JSON, keys given twice, absurd depth or numbers.
    """
    try:
        document: Json = json.loads(
            body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except UnicodeDecodeError:
        raise Rejection(Reason.NOT_JSON, [("", "is not UTF-8")]) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Rejection(Reason.NOT_JSON, [("", f"{error.msg} at {where}")]) from None
    except RecursionError:
        raise Rejection(Reason.NOT_JSON, [("", "is nested too deeply")]) from None
    except ValueError as error:
        text = str(error) if "same key" in str(error) or "NaN" in str(error) else "absurd number"
        raise Rejection(Reason.NOT_JSON, [("", text)]) from None
    return document
