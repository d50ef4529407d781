"""What Hypothesis makes messages from: commands as producers may write them, results as we tell."""

import base64
import hashlib
import json
import string
from datetime import UTC, datetime
from typing import Final, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from pydantic import BaseModel

from service.errors import Code
from service.messages.commands import (
    ActivateSmsLicense,
    ApplyVoiceLicense,
    Command,
    QueryApplianceStatus,
    QueryDevices,
    decode,
)
from service.messages.encode import (
    FINISHED,
    SETTLED,
    Event,
    finished_event,
    finished_type,
    page_event,
    settled_event,
    settled_type,
)
from service.messages.events import CODES, CommandRef, Failure, QueryDevicesPage
from service.messages.results import (
    ApplianceStatus,
    Balance,
    Conclusion,
    Device,
    DeviceIdentity,
    DeviceList,
    Effect,
    Extension,
    Resource,
    ResourceFailure,
    SmsActivation,
    SmsBalance,
    Streamed,
    VoiceApplication,
)
from service.messages.settled import Verdict
from service.messages.wire import Identity
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


RESOURCES: Final = [
    *("FabricAuthenticate", "FabricCallStatistics", "FabricDeviceStatus", "FabricSysStatusUsage"),
    *("FabricSysStatusSysinfo", "FabricWidget", "FabricVoipStatus", "fortiguardmessages"),
]
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
            "stream": st.booleans(),
        },
    ),
    "query-appliance-status": st.fixed_dictionaries(
        {"appliance": appliances},
        optional={"resources": st.lists(st.sampled_from(RESOURCES), min_size=1, unique=True)},
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


_told = maybe(st.text(min_size=1))
balances = st.builds(SmsBalance, total_sms=counts, used_sms=counts, available_sms=counts)
identities = st.builds(DeviceIdentity, model=_told, serial=_told, version=_told)
devices = st.builds(
    Device,
    **dict.fromkeys(Device.model_fields.keys() - {"assigned", "registered", "extension"}, _told),
    extension=maybe(st.builds(Extension, id=_told, number=_told, display_name=_told)),
)


def _activation(asked: ActivateSmsLicense, conclusion: Conclusion) -> SearchStrategy[BaseModel]:
    if conclusion == Conclusion.UNKNOWN:
        undetermined = st.builds(SmsActivation.undetermined, st.just(asked), maybe(balances))
        return undetermined | st.builds(
            SmsActivation.undetermined, st.just(asked), balances, balances
        )
    untouched = SmsActivation.of(asked)
    if conclusion != Conclusion.SUCCEEDED:
        return st.builds(_with, st.just(untouched), before=maybe(balances), after=maybe(balances))
    if asked.dry_run:
        return st.builds(_with, st.just(untouched), before=balances)
    done = st.fixed_dictionaries(
        {"effect": st.just(Effect.ADDED), "added_sms": st.integers(1, 2**53 - 1)}
    ) | st.just({"effect": Effect.UNCHANGED})
    figures = st.fixed_dictionaries({"before": balances, "after": balances})
    return st.builds(lambda effect, read: untouched.model_copy(update=effect | read), done, figures)


def _application(asked: ApplyVoiceLicense, conclusion: Conclusion) -> SearchStrategy[BaseModel]:
    if conclusion == Conclusion.UNKNOWN:
        return st.builds(VoiceApplication.undetermined, st.just(asked), maybe(identities))
    untouched = st.just(VoiceApplication.of(asked))
    if conclusion != Conclusion.SUCCEEDED:
        return st.builds(_with, untouched, device=maybe(identities))
    effect = Effect.NONE if asked.dry_run else Effect.ACCEPTED
    return st.builds(_with, untouched, effect=st.just(effect), device=identities)


streamed = st.builds(
    Streamed, attempt=st.integers(1, 2**53 - 1), pages=counts, devices=counts, rows=counts
)


def _list(asked: QueryDevices, conclusion: Conclusion) -> SearchStrategy[BaseModel]:
    if conclusion != Conclusion.SUCCEEDED:
        return st.builds(_with, st.just(DeviceList.of(asked)), stream=maybe(streamed))
    told = st.lists(devices, max_size=3).map(tuple)
    return st.builds(
        DeviceList,
        devices=st.none() if asked.stream else told,
        total=maybe(counts),
        start=st.just(asked.start),
        next=maybe(counts),
        complete=st.booleans(),
        stream=streamed if asked.stream else st.none(),
    )


def _resource() -> SearchStrategy[Resource]:
    status = maybe(st.integers(100, 599))
    code = st.from_regex(r"[a-z][a-z0-9-]{0,63}", fullmatch=True)
    why = st.builds(ResourceFailure, code=code, message=st.text(min_size=1, max_size=40))
    name = st.sampled_from(RESOURCES)
    return st.builds(Resource, name=name, status=status, raw=values, error=st.none()) | st.builds(
        Resource, name=name, status=status, raw=st.none(), error=why
    )


def _status(conclusion: Conclusion) -> SearchStrategy[BaseModel]:
    if conclusion != Conclusion.SUCCEEDED:
        return st.just(ApplianceStatus(device=None, resources=None))
    told = st.lists(_resource(), max_size=3).map(tuple)
    return st.builds(ApplianceStatus, device=maybe(identities), resources=told)


def _with(model: BaseModel, **update: object) -> BaseModel:
    return model.model_copy(update=update)


def _body(command: Command, conclusion: Conclusion) -> SearchStrategy[BaseModel]:
    match command.data:
        case ActivateSmsLicense() as asked:
            return _activation(asked, conclusion)
        case ApplyVoiceLicense() as asked:
            return _application(asked, conclusion)
        case QueryDevices() as asked:
            return _list(asked, conclusion)
        case QueryApplianceStatus():
            return _status(conclusion)
    if conclusion != Conclusion.SUCCEEDED:
        return st.just(Balance(total_sms=None, used_sms=None, available_sms=None))
    return st.builds(Balance, total_sms=counts, used_sms=counts, available_sms=counts)


def failures(conclusion: Conclusion) -> SearchStrategy[Failure | None]:
    """Why a command ended so: a code of this conclusion, or one that is not invented yet."""
    if conclusion == Conclusion.SUCCEEDED:
        return st.none()
    return st.builds(
        Failure,
        code=st.sampled_from([*map(Code, sorted(CODES[conclusion])), "a-later-code"]).map(str),
        message=st.text(min_size=1, max_size=1000),
        status=maybe(st.integers(100, 599)),
    )


@st.composite
def finished_events(draw: DrawFn, name: str, conclusion: Conclusion) -> Event:
    """Every event that can end a command of a kind with a conclusion."""
    command = draw(commands(name))
    if conclusion == Conclusion.UNKNOWN and getattr(command.data, "dry_run", False):
        command = Command(
            command.envelope, command.data.model_copy(update={"dry_run": False}), command.digest
        )
    envelope = command.envelope
    instant = draw(st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
    data = FINISHED[finished_type(envelope.type)](
        command=CommandRef(id=envelope.id, source=envelope.source, type=envelope.type),
        appliance=command.data.appliance,
        conclusion=conclusion,
        attempts=draw(counts),
        started_at=instant,
        finished_at=draw(st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC))),  # noqa: DTZ001
        error=draw(failures(conclusion)),
        **dict(draw(_body(command, conclusion))),
    )
    return finished_event(
        command,
        source=draw(references),
        conclusion=conclusion,
        data=data.model_dump_json().encode(),
        time=instant,
    )


@st.composite
def page_events(draw: DrawFn) -> Event:
    """Every event that can tell a page."""
    command = draw(commands("query-devices"))
    envelope = command.envelope
    data = QueryDevicesPage(
        command=CommandRef(id=envelope.id, source=envelope.source, type=envelope.type),
        appliance=command.data.appliance,
        attempt=draw(st.integers(1, 2**53 - 1)),
        sequence=draw(st.integers(1, 2**53 - 1)),
        devices=tuple(draw(st.lists(devices, min_size=1, max_size=3))),
    )
    return page_event(command, data, source=draw(references))


remarks = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)
"""What a person writes on one line; that it should look like a licence is not to be feared."""


@st.composite
def settled_events(draw: DrawFn, name: str) -> Event:
    """Every event that can settle a command of a kind."""
    envelope = draw(commands(name)).envelope
    data = SETTLED[settled_type(envelope.type)](
        command=CommandRef(id=envelope.id, source=envelope.source, type=envelope.type),
        appliance=draw(appliances),
        verdict=draw(st.sampled_from(Verdict)),
        note=draw(remarks.map(lambda text: text[:1000])),
        settled_by=draw(remarks.map(lambda text: text[:128])),
    )
    return settled_event(
        (envelope.source, envelope.id),
        data,
        source=draw(references),
        time=draw(st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC))),  # noqa: DTZ001
        correlation_id=envelope.correlationid or envelope.id,
        traceparent=envelope.traceparent,
    )


senders = st.builds(
    Identity,
    id=maybe(tokens),
    source=maybe(references),
    type=maybe(st.text(PRINTABLE, min_size=1, max_size=255)),
    correlationid=maybe(tokens),
)
