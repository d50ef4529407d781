"""Commands: the envelope, the data of each kind, and the way from bytes to one of them.

The order of the checks is public: too-large, not-json, not-a-cloudevent, unknown-command,
contract-violation (`Reason`). Contracts: `contracts/commands/`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretBytes,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from service.errors import Reason, Rejection
from service.messages.wire import (
    MAX_BYTES,
    ApplianceName,
    Count,
    EventType,
    FileName,
    Frozen,
    Id,
    Identity,
    Instant,
    NotNull,
    ResourceNames,
    Traceparent,
    Tracestate,
    UriReference,
    parse_json,
)

MAX_FILE_BYTES = 1024 * 1024
MAX_ERRORS = 20
_LICENSE = re.compile(r"[A-Za-z0-9]{4}(?:-[A-Za-z0-9]{4}){4}")
_BASE64 = re.compile(
    r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?"
)


def _five_groups(value: SecretStr) -> SecretStr:
    if not _LICENSE.fullmatch(value.get_secret_value()):
        raise ValueError("must be five groups of four letters or digits with - between them")
    return value


def _decode_base64(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004  pydantic collects ValueErrors only
    if not value or not _BASE64.fullmatch(value):
        raise ValueError("must be base64 (RFC 4648 section 4), padded, without line breaks")
    content = base64.b64decode(value)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError("must be at most 1 MiB when decoded")
    return content


class CommandData(Frozen, extra="forbid"):
    """What every command says. Unknown fields are refused: a typo must not spend a licence."""

    appliance: ApplianceName


class ActivateSmsLicense(CommandData):
    """Activate a FortiGuard Messaging licence on a FortiAuthenticator."""

    license: Annotated[SecretStr, AfterValidator(_five_groups)]
    dry_run: bool = False


class QuerySmsBalance(CommandData):
    """Read the SMS balance of a FortiAuthenticator."""


class LicenseFile(Frozen, extra="forbid"):
    """A licence file as it travels: base64 outside, bytes inside."""

    name: FileName
    content: Annotated[SecretBytes, BeforeValidator(_decode_base64)]
    sha256: Annotated[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None, NotNull] = None

    @field_validator("sha256")
    @classmethod
    def _check_sum(cls, value: str | None, info: ValidationInfo) -> str | None:
        content = info.data.get("content")
        if content is not None and value != hashlib.sha256(content.get_secret_value()).hexdigest():
            raise ValueError("is not the SHA-256 of the content")
        return value


class ApplyVoiceLicense(CommandData):
    """Upload and apply a licence file on a FortiVoice."""

    file: LicenseFile
    dry_run: bool = False


class QueryDevices(CommandData):
    """List the phones of a FortiVoice."""

    search: Annotated[Annotated[str, Field(pattern=r"^[0-9A-Fa-f:]{1,17}$")] | None, NotNull] = None
    unassigned_only: bool = False
    start: Count = 0
    limit: Annotated[int, Field(ge=1, le=5000)] = 500
    stream: bool = False

    @property
    def most(self) -> int | None:
        """How many rows to read at most; None for all: a stream has no limit.

        Not even a spelled-out one: programs that fill in defaults would cut whole inventories.
        """
        return None if self.stream else self.limit


class QueryApplianceStatus(CommandData):
    """Read what an appliance says about itself; its answers are passed on, not explained."""

    resources: Annotated[ResourceNames | None, NotNull] = None


COMMANDS: dict[str, type[CommandData]] = {
    "courier.activate-sms-license.v1": ActivateSmsLicense,
    "courier.query-sms-balance.v1": QuerySmsBalance,
    "courier.apply-voice-license.v1": ApplyVoiceLicense,
    "courier.query-devices.v1": QueryDevices,
    "courier.query-appliance-status.v1": QueryApplianceStatus,
}
"""Every command that is handled, by its CloudEvents type."""


def name_of(command_type: str) -> str:
    """Cut `<command>` out of `courier.<command>.v<major>`."""
    return command_type.split(".")[1]


class Envelope(Frozen):
    """The CloudEvents 1.0 attributes of a command; those that are not named here are ignored.

    A null attribute is an absent one (CloudEvents 1.0.2, JSON format, section 2.2).
    """

    specversion: Literal["1.0"]
    id: Id
    source: UriReference
    type: EventType
    subject: str | None = None
    time: Instant | None = None
    expirytime: Instant | None = None
    correlationid: Id | None = None
    causationid: Id | None = None
    traceparent: Traceparent | None = None
    tracestate: Tracestate | None = None
    datacontenttype: Literal["application/json"] | None = None
    dataschema: UriReference | None = None
    data_base64: None = None


class _Message(Envelope):
    data: dict[str, Any] = Field(repr=False)


@dataclass(frozen=True)
class Command:
    """A valid command.

    Attributes:
        envelope: who asks, under which id, since when and until when.
        data: what is asked, one of the classes above.
        digest: SHA-256 (hex) over type and data; all that is kept of a licence.
    """

    envelope: Envelope
    data: CommandData
    digest: str

    @property
    def key(self) -> tuple[str, str]:
        """Source and id: the idempotency key."""
        return self.envelope.source, self.envelope.id

    @property
    def correlation_id(self) -> str:
        """What the result is correlated by: the command's own wish, else its id."""
        return self.envelope.correlationid or self.envelope.id


def decode(body: bytes, *, content_encoding: str | None = None) -> Command:
    """Read a command.

    Args:
        body: the message as it came.
        content_encoding: the AMQP property; any is refused, so nothing is ever unpacked.

    Raises:
        Rejection: with the first reason that applies and the paths of what is wrong.
    """
    if len(body) > MAX_BYTES:
        raise Rejection(Reason.TOO_LARGE, [("", f"is larger than {MAX_BYTES} bytes")])
    if content_encoding:
        raise Rejection(Reason.NOT_JSON, [("", "a content encoding is not accepted")])
    document = parse_json(body)
    try:
        message = _Message.model_validate(document)
    except ValidationError as error:
        raise Rejection(Reason.NOT_A_CLOUDEVENT, explain(error)) from None
    model = COMMANDS.get(message.type)
    if model is None:
        raise Rejection(Reason.UNKNOWN_COMMAND, [("/type", "nobody handles this type")])
    try:
        data = model.model_validate(message.data)
    except ValidationError as error:
        raise Rejection(Reason.CONTRACT_VIOLATION, explain(error, "/data")) from None
    # The raw data stays behind: it holds the licence in clear.
    envelope = Envelope.model_construct(**{name: v for name, v in message if name != "data"})
    return Command(envelope, data, _digest(envelope.type, data))


def explain(error: ValidationError, prefix: str = "") -> list[tuple[str, str]]:
    """List what is wrong as (JSON Pointer, message), without values or names that we do not know.

    The path of an unknown field is its parent's: its name may be a licence.
    """
    found = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        unknown = item["type"] == "extra_forbidden"
        known = item["loc"][:-1] if unknown else item["loc"]
        # Pydantic puts the names of validators among the steps, with brackets.
        path = "".join(f"/{step}" for step in known if "[" not in str(step))
        message = _WORDS.get(item["type"]) or item["msg"].removeprefix("Value error, ")
        found.append((prefix + path, message[:300]))
    return list(dict.fromkeys(found))[:MAX_ERRORS]


_WORDS = {
    "extra_forbidden": "has an unknown field",
    "model_type": "must be an object",
    "dict_type": "must be an object",
}
_READABLE: dict[str, TypeAdapter[str]] = {
    "id": TypeAdapter(Id),
    "source": TypeAdapter(UriReference),
    "type": TypeAdapter(EventType),
    "correlationid": TypeAdapter(Id),
    "traceparent": TypeAdapter(Traceparent),
    "tracestate": TypeAdapter(Tracestate),
}


def identify(body: bytes) -> Identity:
    """Read who may have sent this, as far as it can be read; never raises."""
    if len(body) > MAX_BYTES:
        return Identity()
    try:
        document = parse_json(body)
    except Rejection:
        return Identity()
    if not isinstance(document, dict):
        return Identity()
    found: dict[str, str] = {}
    for name, adapter in _READABLE.items():
        try:
            found[name] = adapter.validate_python(document.get(name), strict=True)
        except ValidationError:
            continue
    return Identity(**found)


def _digest(command_type: str, data: CommandData) -> str:
    """Digest type and data. A default that is spelled out is the same content as none."""
    content = data.model_dump(exclude_defaults=True)
    text = json.dumps([command_type, content], sort_keys=True, default=_reveal)
    return hashlib.sha256(text.encode()).hexdigest()


def _reveal(secret: SecretStr | SecretBytes) -> str:
    value = secret.get_secret_value()
    return value if isinstance(value, str) else hashlib.sha256(value).hexdigest()
