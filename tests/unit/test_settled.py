"""The event by which a person settles an unknown: identity, routing, and what may be said in it."""

import json
import uuid
from datetime import UTC, datetime
from typing import Final

import pytest
from pydantic import ValidationError

from service.messages.commands import explain
from service.messages.encode import SETTLED, Event, settled_event, settled_type
from service.messages.events import CommandRef
from tests.unit.making import DATA, LICENSE

NAMESPACE: Final = uuid.UUID("f3cd522e-1948-43b0-b490-493a9659023b")
AT: Final = datetime(2026, 3, 5, 14, 2, 11, 90000, UTC)
TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
WRITES: Final = [name for name in DATA if "license" in name]


def settled(
    name: str = "activate-sms-license", note: str = "It is there.", settled_by: str = "anna"
) -> Event:
    command_type = f"courier.{name}.v1"
    data = SETTLED[settled_type(command_type)](
        command=CommandRef(id="c-1", source="/portal", type=command_type),
        appliance=DATA[name]["appliance"],
        verdict="not-applied",
        note=note,
        settled_by=settled_by,
    )
    return settled_event(
        ("/portal", "c-1"),
        data,
        source="/courier",
        time=AT,
        correlation_id="order-7",
        traceparent=TRACE,
    )


@pytest.mark.parametrize("name", WRITES)
def test_a_settlements_id_follows_from_its_command(name: str) -> None:
    """The UUIDv5 of source LF id LF event type: told again, it is the same event."""
    text = f"/portal\nc-1\ncourier.{name}.settled.v1"
    assert str(uuid.uuid5(NAMESPACE, text)) == settled(name).id
    assert settled(name).body() == settled(name).body()


@pytest.mark.parametrize("name", WRITES)
def test_the_routing_key_of_a_settlement_has_six_words(name: str) -> None:
    """courier.<command>.settled.v1.<verdict>.<appliance>."""
    expected = f"courier.{name}.settled.v1.not-applied.{DATA[name]['appliance']}"
    assert expected == settled(name).routing_key


def test_the_envelope_of_a_settlement_says_what_interface_md_says() -> None:
    """The finished event's correlation and cause, the appliance as subject, its own contract."""
    expected = {
        "specversion": "1.0",
        "id": settled().id,
        "source": "/courier",
        "type": "courier.activate-sms-license.settled.v1",
        "subject": "fac-1",
        "time": "2026-03-05T14:02:11.090Z",
        "correlationid": "order-7",
        "causationid": "c-1",
        "traceparent": TRACE,
        "datacontenttype": "application/json",
        "dataschema": "urn:courier:contract:events:activate-sms-license.settled:v1",
        "data": {
            "command": {
                "id": "c-1",
                "source": "/portal",
                "type": "courier.activate-sms-license.v1",
            },
            "appliance": "fac-1",
            "verdict": "not-applied",
            "note": "It is there.",
            "settled_by": "anna",
        },
    }
    assert expected == json.loads(settled().body())


@pytest.mark.parametrize(
    "note",
    [
        "x" * 1000,
        "Grüße, 它在那里, “it is there” 👍",
        "see ticket 550e8400-e29b-41d4-a716-446655440000",
        "the one that ends in -IJ90, four groups: AB12-CD34-EF56-GH78",
    ],
)
def test_a_note_may_say_what_a_person_wants_to_say(note: str) -> None:
    """A thousand characters of any script; a UUID is no licence."""
    assert note == json.loads(settled(note=note).data)["note"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "at least 1 character"),
        ("two\nlines", "printable"),
        ("\x1b[2J", "printable"),
        ("\x85", "printable"),
        ("a\u2028b", "printable"),
        (LICENSE, "licence"),
        (f"it is {LICENSE.lower()}.", "licence"),
        (f"licence:{LICENSE}", "licence"),
        (f"the licence{LICENSE}", "licence"),
        ("\udcff", "unicode"),
    ],
)
@pytest.mark.parametrize("field", ["note", "settled_by"])
def test_what_must_not_be_told_is_refused(field: str, text: str, why: str) -> None:
    """Nothing empty, nothing that plays with a terminal, no licence; what is wrong is said."""
    with pytest.raises(ValidationError) as caught:
        settled(**{field: text})
    ((path, message),) = explain(caught.value)
    assert f"/{field}" == path
    assert why in message


@pytest.mark.parametrize(("field", "most"), [("note", 1000), ("settled_by", 128)])
def test_nothing_is_longer_than_the_contract_says(field: str, most: int) -> None:
    """Counted in characters, not in bytes."""
    assert "ü" * most in settled(**{field: "ü" * most}).data.decode()
    with pytest.raises(ValidationError, match=f"at most {most}"):
        settled(**{field: "ü" * (most + 1)})
