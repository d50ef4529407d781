"""AMQP properties are read whatever they hold, and copied byte for byte."""

import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import pytest

from service.parking.properties import Properties, Value
from tests.unit.amqp import long, properties, short, table, text

AT: Final = struct.pack(">Q", 1_772_615_551)
ABSURD: Final = struct.pack(">Q", 2**63)
VALUES: Final[list[tuple[bytes, Value]]] = [
    (b"t\x01", True),
    (b"b\xff", -1),
    (b"B\xff", 255),
    (b"U\xff\xfe", -2),
    (b"u\xff\xfe", 65534),
    (b"s\xff\xfe", -2),
    (b"I\xff\xff\xff\xfd", -3),
    (b"i\xff\xff\xff\xfd", 2**32 - 3),
    (b"l" + struct.pack(">q", -(2**62)), -(2**62)),
    (b"L" + struct.pack(">q", 2**62), 2**62),
    (b"f" + struct.pack(">f", 0.5), 0.5),
    (b"d" + struct.pack(">d", 1e300), 1e300),
    (b"D\x02" + struct.pack(">i", -150), Decimal("-1.50")),
    (b"T" + AT, datetime(2026, 3, 4, 9, 12, 31, tzinfo=UTC)),
    (b"T" + ABSURD, 2**63),
    (b"V", None),
    (text("été"), "été"),
    (long(b"S", b"\xe9t\xe9"), b"\xe9t\xe9"),
    (long(b"x", b"\xff\x00"), b"\xff\x00"),
    (long(b"A", b"t\x01V" + text("in")), [True, None, "in"]),
    (long(b"F", table({b"a": b"t\x00", b"\xe9": b"V"})), {"a": False, "\\xe9": None}),
]


@pytest.mark.parametrize(("wire", "value"), VALUES, ids=lambda each: repr(each)[:20])
def test_every_kind_of_header_is_read_and_kept_as_it_stands(wire: bytes, value: Value) -> None:
    """Also what libraries cannot read or would write differently: floats, bytes, odd instants."""
    raw = properties({b"before": b"V", b"odd": wire, b"after": text("x")})
    found = Properties.parse(raw)
    assert (value, "x") == (found.header("odd"), found.header("after"))
    assert {"before": None, "odd": value, "after": "x"} == found.all_headers()
    assert raw == found.encode()


def test_every_property_is_read_and_kept_as_it_stands() -> None:
    """In the order of the protocol; text that is not UTF-8 is bytes."""
    fields = {
        "content_type": short(b"text/odd"),
        "content_encoding": short(b""),
        "delivery_mode": b"\x01",
        "priority": b"\xff",
        "correlation_id": short(b"\xff\xfe"),
        "reply_to": short("ü".encode()),
        "expiration": short(b"1000"),
        "message_id": short(b"m" * 255),
        "timestamp": AT,
        "type": short(b"odd"),
        "user_id": short(b"guest"),
        "app_id": short(b"portal"),
        "cluster_id": short(b"c"),
    }
    raw = properties({}, **fields)
    found = Properties.parse(properties(None, **fields))
    assert properties(None, **fields) == found.encode()
    assert found.all_fields() == Properties.parse(raw).all_fields()
    assert (b"\xff\xfe", "ü", "m" * 255, 255) == (
        *(found.get("correlation_id"), found.get("reply_to")),
        *(found.get("message_id"), found.get("priority")),
    )
    assert datetime(2026, 3, 4, 9, 12, 31, tzinfo=UTC) == found.get("timestamp")
    assert None is found.header("nothing")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x20",
        b"\x20\x00",
        b"\x20\x00\x00\x00\x00\x09",
        b"\x04\x00\x05abc",
        properties({b"a": b"?\x01"}),
        properties({b"a": b"S\x00\x00\x00\xff"}),
        properties({b"a": b"A\x00\x00"}),
        properties({b"a": b"F\x00\x00\x00\x02\x05a"}),
    ],
)
def test_what_is_cut_off_or_of_no_known_type_stays_what_it_is(raw: bytes) -> None:
    """It is never an error: one such message must not hide all others."""
    found = Properties.parse(raw)
    assert found.damaged
    assert raw == found.encode()
    assert ({}, {}, True) == (found.all_fields(), found.all_headers(), found.unreadable)


def test_tables_as_deep_as_can_be_are_no_error() -> None:
    """No depth of nesting ends the reading of the others."""
    value = b"V"
    for _ in range(5000):
        value = long(b"A", value)
    assert Properties.parse(properties({b"deep": value})).damaged


@pytest.mark.parametrize(
    ("expected", "raw"),
    [
        (True, properties(correlation_id=short(b"\xff\xfe"))),
        (True, properties(message_id=short(b"\xff"))),
        (True, properties(timestamp=ABSURD)),
        (True, properties({b"\xe9": b"V"})),
        (True, properties({b"at": b"T" + ABSURD})),
        (False, properties({b"latin": long(b"S", b"\xe9")})),
        (False, properties({b"number": b"d" + struct.pack(">d", 1e300)}, timestamp=AT)),
        (False, properties()),
    ],
)
def test_what_the_service_cannot_read_is_known(expected: bool, raw: bytes) -> None:
    """The library that the service reads with is the one that is asked."""
    assert expected == Properties.parse(raw).unreadable


def test_a_copy_differs_only_in_what_is_named() -> None:
    """Headers that go, headers that are written, properties that go; and it is persistent."""
    odd = b"d" + struct.pack(">d", 0.1)
    found = Properties.parse(
        properties(
            {b"odd": odd, b"X-Death": long(b"A", b""), b"mine": text("old"), b"last": b"s\x00\x07"},
            delivery_mode=b"\x01",
            message_id=short(b"m"),
            user_id=short(b"portal"),
            timestamp=AT,
        )
    )
    copy = found.changed(
        without=lambda name: name.startswith("x-"),
        headers={"mine": "new"},
        without_fields=frozenset({"user_id"}),
    )
    expected = properties(
        {b"odd": odd, b"last": b"s\x00\x07", b"mine": text("new")},
        delivery_mode=b"\x02",
        message_id=short(b"m"),
        timestamp=AT,
    )
    assert expected == copy.raw == copy.encode()
