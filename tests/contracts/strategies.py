"""What Hypothesis makes messages from: commands as producers may write them, results as we tell."""

import base64
import hashlib
import json
import string
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from pydantic import BaseModel

from service.errors import Code
from service.messages.commands import (
    ActivateSmsLicense,
    ApplyVoiceLicense,
    Command,
    QueryDevices,
    decode,
)
from service.messages.encode import FINISHED, Event, finished_event, finished_type
from service.messages.events import CODES, CommandRef, Failure
from service.messages.results import (
    Balance,
    Conclusion,
    Device,
    DeviceIdentity,
    DeviceList,
    Effect,
    Extension,
    SmsActivation,
    SmsBalance,
    VoiceApplication,
)
from service.messages.wire import Identity, now
from tests.contracts.test_files import Json, Object

T = TypeVar("T")

PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))
ALNUM: Final = string.ascii_letters + string.digits
EXTENSIONS: Final = ["sequence", "partitionkey", "dryrun", "license", "datacontentencoding"]
"""Attributes that no contract names: allowed, and ignored."""

counts = st.integers(0, 2**53 - 1)
tokens = st.text(PRINTABLE, min_size=1, max_size=128)
references = (
    st.lists(st.sampled_from([*ALNUM, *"._~:/?#[]@!$&'()*+,;=-", "%2f", "%C3"]), min_size=1)
    .map("".join)
    .filter(lambda reference: len(reference) <= 255)
)
appliances = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
traceparents = st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True)
tracestates = st.text(PRINTABLE + " ", max_size=512)
scalars = st.none() | st.booleans() | st.integers() | st.text()
values: SearchStrategy[Json] = st.recursive(
    scalars,
    lambda nested: (
        st.lists(nested, max_size=3) | st.dictionaries(st.text(max_size=9), nested, max_size=3)
    ),
    max_leaves=5,
)


def maybe(strategy: SearchStrategy[T]) -> SearchStrategy[T | None]:
    return st.none() | strategy


@st.composite
def instants(draw: DrawFn) -> str:
    """RFC 3339 in its liberties: small letters, leap seconds, any fraction, any offset."""
    day = draw(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)))  # noqa: DTZ001  text only
    text = day.strftime("%m-%d") + draw(st.sampled_from("Tt")) + day.strftime("%H:%M:")
    text += draw(st.just("60") | st.just(f"{day.second:02}"))
    text += draw(st.just("") | st.text(string.digits, min_size=1, max_size=12).map(".".__add__))
    zone = st.from_regex(r"[+-]([01][0-9]|2[0-3]):[0-5][0-9]", fullmatch=True)
    return f"{day.year:04}-" + text + draw(st.sampled_from("Zz") | zone)


@st.composite
def files(draw: DrawFn) -> Object:
    content = draw(st.binary(min_size=1, max_size=200))
    name = draw(st.text(ALNUM, min_size=1, max_size=1)) + draw(
        st.text(ALNUM + "._ -", max_size=127)
    )
    file: Object = {"name": name, "content": base64.b64encode(content).decode()}
    if draw(st.booleans()):
        file["sha256"] = hashlib.sha256(content).hexdigest()
    return file


licenses = st.from_regex(r"[A-Za-z0-9]{4}(-[A-Za-z0-9]{4}){4}", fullmatch=True)
_DATA: Final[dict[str, SearchStrategy[Object]]] = {
    "activate-sms-license": st.fixed_dictionaries(
        {"appliance": appliances, "license": licenses}, optional={"dry_run": st.booleans()}
    ),
    "query-sms-balance": st.fixed_dictionaries({"appliance": appliances}),
    "apply-voice-license": st.fixed_dictionaries(
        {"appliance": appliances, "file": files()}, optional={"dry_run": st.booleans()}
    ),
    "query-devices": st.fixed_dictionaries(
        {"appliance": appliances},
        optional={
            "search": st.text("0123456789abcdefABCDEF:", min_size=1, max_size=17),
            "unassigned_only": st.booleans(),
            "start": counts,
            "limit": st.integers(1, 5000),
        },
    ),
}
COMMAND_NAMES: Final = sorted(_DATA)


def messages(name: str) -> SearchStrategy[Object]:
    """Every command of a kind that its contract allows; defaults are left out or spelled out."""
    envelope: SearchStrategy[Object] = st.fixed_dictionaries(
        {
            "specversion": st.just("1.0"),
            "id": tokens,
            "source": references,
            "type": st.just(f"courier.{name}.v1"),
            "data": _DATA[name],
        },
        optional={
            "subject": maybe(st.text()),
            "time": maybe(instants()),
            "expirytime": maybe(instants()),
            "correlationid": maybe(tokens),
            "causationid": maybe(tokens),
            "traceparent": maybe(traceparents),
            "tracestate": maybe(tracestates),
            "datacontenttype": maybe(st.just("application/json")),
            "dataschema": maybe(references),
            "data_base64": st.none(),
            **dict.fromkeys(EXTENSIONS, scalars),
        },
    )
    return envelope


def encode(message: Json, *, ascii_only: bool = True) -> bytes:
    return json.dumps(message, ensure_ascii=ascii_only).encode()


def commands(name: str) -> SearchStrategy[Command]:
    return messages(name).map(encode).map(decode)


balances = st.builds(SmsBalance, total_sms=counts, used_sms=counts, available_sms=counts)
identities = st.builds(
    DeviceIdentity,
    model=maybe(st.text()),
    serial=maybe(st.text()),
    version=maybe(st.text()),
)
extensions = st.builds(
    Extension,
    id=maybe(st.text()),
    number=maybe(st.text()),
    display_name=maybe(st.text()),
)
_told = maybe(st.text(min_size=1))
devices = st.builds(
    Device,
    **dict.fromkeys(Device.model_fields, _told),
).flatmap(
    lambda device: st.builds(
        lambda assigned, registered, extension: device.model_copy(
            update={"assigned": assigned, "registered": registered, "extension": extension}
        ),
        maybe(st.booleans()),
        maybe(st.booleans()),
        maybe(extensions),
    )
)
