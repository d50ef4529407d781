"""Events: identity, routing, bytes, and the way back for those who wait for one."""

import hashlib
import json
import uuid
from datetime import UTC, datetime
from typing import Final

import pytest

from service.errors import Code, Reason, Rejection
from service.messages.commands import identify
from service.messages.encode import Event, finished_event, read_finished, rejected_event
from service.messages.events import CODES, Rejected
from service.messages.results import Conclusion, Device, Effect
from tests.unit.making import DATA, body, command

NAMESPACE: Final = uuid.UUID("f3cd522e-1948-43b0-b490-493a9659023b")
AT: Final = datetime(2026, 3, 4, 9, 12, 31, 5000, UTC)
STORED: Final = b'{"conclusion" : "succeeded"}'


def finished(name: str = "activate-sms-license", **attributes: str) -> Event:
    return finished_event(
        command(name, None, **attributes),
        source="/courier",
        conclusion="succeeded",
        data=STORED,
        time=AT,
    )


def rejected(raw: bytes, reason: Reason = Reason.NOT_JSON) -> Event:
    return rejected_event(Rejection(reason, [("", "why")]), identify(raw), raw, "/courier")


@pytest.mark.parametrize("name", DATA)
def test_an_events_id_follows_from_its_command(name: str) -> None:
    """The id is the UUIDv5 of source LF id LF event type, so that a second telling is known."""
    text = f"/portal\nc-1\ncourier.{name}.finished.v1"
    assert str(uuid.uuid5(NAMESPACE, text)) == finished(name).id


def test_a_rejections_id_follows_from_the_bytes() -> None:
    """The id is the UUIDv5 of the body's SHA-256 LF event type."""
    digest = hashlib.sha256(b"{").hexdigest()
    expected = uuid.uuid5(NAMESPACE, f"{digest}\ncourier.command.rejected.v1")
    assert str(expected) == rejected(b"{").id
    assert digest == json.loads(rejected(b"{").data)["body_sha256"]


@pytest.mark.parametrize("name", DATA)
def test_the_routing_key_of_a_result_has_six_words(name: str) -> None:
    """courier.<command>.finished.v1.<conclusion>.<appliance>."""
    expected = f"courier.{name}.finished.v1.succeeded.{DATA[name]['appliance']}"
    assert expected == finished(name).routing_key
    assert 6 == len(expected.split("."))


@pytest.mark.parametrize("reason", Reason)
def test_the_routing_key_of_a_rejection_has_six_words(reason: Reason) -> None:
    """courier.command.rejected.v1.rejected.<reason>."""
    expected = f"courier.command.rejected.v1.rejected.{reason}"
    assert expected == rejected(body(), reason).routing_key
    assert 6 == len(expected.split("."))


def test_a_stored_result_is_told_byte_for_byte() -> None:
    """A second telling keeps the data as it was told first, spaces and all."""
    assert finished().body() == finished().body()
    assert finished().body().endswith(b',"data":' + STORED + b"}")


def test_the_envelope_says_what_interface_md_says() -> None:
    """Every attribute of a result, and none besides."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    event = finished(correlationid="order-7", traceparent=trace, tracestate="a=1")
    expected = {
        "specversion": "1.0",
        "id": event.id,
        "source": "/courier",
        "type": "courier.activate-sms-license.finished.v1",
        "subject": "fac-1",
        "time": "2026-03-04T09:12:31.005Z",
        "correlationid": "order-7",
        "causationid": "c-1",
        "traceparent": trace,
        "tracestate": "a=1",
        "datacontenttype": "application/json",
        "dataschema": "urn:courier:contract:events:activate-sms-license.finished:v1",
        "data": {"conclusion": "succeeded"},
    }
    assert expected == json.loads(event.body())


def test_a_result_is_correlated_by_the_commands_id_for_want_of_another() -> None:
    """correlationid is the command's own, else its id; what is not there is left out."""
    told = json.loads(finished().body())
    assert ("c-1", "c-1") == (told["correlationid"], told["causationid"])
    assert not {"traceparent", "tracestate"} & set(told)


def test_a_rejection_says_only_what_could_be_read() -> None:
    """No subject ever; correlationid and causationid only where they are readable."""
    told = json.loads(rejected(b"{").body())
    assert not {"subject", "correlationid", "causationid"} & set(told)
    assert {"id": None, "source": None, "type": None} == told["data"]["command"]
    told = json.loads(rejected(body(correlationid="order-7", type="x")).body())
    assert ("order-7", "c-1") == (told["correlationid"], told["causationid"])
    assert "subject" not in told
    assert {"id": "c-1", "source": "/portal", "type": "x"} == told["data"]["command"]


def test_the_codes_are_those_of_the_contract() -> None:
    """Each code tells exactly one conclusion, and none tells success."""
    told = [code for codes in CODES.values() for code in codes]
    assert sorted(set(Code) - {Code.BUSY}) == sorted(told)
    assert frozenset() == CODES[Conclusion.SUCCEEDED]
    assert frozenset({Code.OUTCOME_UNKNOWN}) == CODES[Conclusion.UNKNOWN]


def test_the_closed_lists_are_those_of_the_contract() -> None:
    """Conclusions and effects are closed: a new one is a new major version."""
    assert ["succeeded", "refused", "failed", "unknown"] == list(Conclusion)
    assert ["added", "unchanged", "accepted", "none", "undetermined"] == list(Effect)


def test_an_answer_is_read_back() -> None:
    """Whoever waits gets the rejection as a value, and ignores fields of later versions."""
    told = json.loads(rejected(b"{").body())
    told["data"]["later"] = 1
    answer = read_finished(json.dumps(told).encode())
    assert isinstance(answer, Rejected)
    assert "not-json" == answer.reason


@pytest.mark.parametrize(
    "raw",
    [
        *(b"[]", b"{}", body(), b'{"type": ["x"], "data": {}}', finished().body()),
        b'{"type": "courier.command.rejected.v1"}',
    ],
)
def test_nothing_else_is_an_answer(raw: bytes) -> None:
    """What answers no command, or not completely, is refused."""
    with pytest.raises(ValueError, match=r"no event that answers|validation error"):
        read_finished(raw)


def test_every_field_of_a_phone_is_public() -> None:
    """A device says twelve things, all of them always."""
    expected = "mac phone_type name description assigned profile extension ip info registered"
    assert [*expected.split(), "last_register", "expiration"] == list(Device.model_fields)
    assert all(field.is_required() for field in Device.model_fields.values())
