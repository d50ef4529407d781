"""AMQP properties as no library writes them: odd headers, lying counts, and torn bytes."""

import random
import struct
from collections.abc import Callable
from typing import Final, TypeAlias

from pamqp.commands import Basic
from pamqp.header import ContentHeader

from tests.fuzz.corpus import LICENCE
from tests.unit.amqp import FLAGS, long, properties, short, text

_TEXTS: Final = (
    *(b"", b"x", b"application/cloudevents+json", b"gzip", b"\x00", b"m" * 255, "ü".encode()),
    *(b"courier.parked", b"amq.rabbitmq.reply-to.x", b"0", b"1000", b"-1", b"1e3", b"\xff\xfe"),
)
_INSTANTS: Final = (
    0,
    1,
    1_772_615_551,
    2**31,
    2**32,
    253_402_300_799,
    253_402_300_800,
    2**62,
    2**63,
)
_NAMES: Final = (
    *(b"courier-attempt", b"courier-received-at", b"courier-intent", b"courier-last-error"),
    *(b"courier-reason", b"courier-parked-at", b"courier-queue", b"courier-expiration"),
    *(
        b"x-death",
        b"x-delivery-count",
        b"x-first-death-queue",
        b"CC",
        b"BCC",
        b"cc",
        b"traceparent",
    ),
    *(b"traceparent", b"tracestate", b"tenant", b"", b"\xe9", b"n" * 128),
)
_WORDS: Final = (
    *("", "1", "true", "delivery-limit", "busy", "internal-error", "unreachable", LICENCE),
    *("2026-03-04T09:12:28.500Z", "9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00Z", "yesterday"),
    *("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "expired", "delivery_limit"),
)


def wire(dice: random.Random) -> bytes:
    """Make the properties of one message, as they stand on the wire."""
    if dice.random() < 0.3:
        return properties()
    fields = {
        name: _field(dice, name) for name in FLAGS if name != "headers" and dice.random() < 0.3
    }
    headers = {dice.choice(_NAMES): _value(dice) for _ in range(dice.randrange(5))}
    made = properties(headers if dice.random() < 0.8 else None, **fields)
    if dice.random() < 0.15:
        torn = bytearray(made)
        torn[dice.randrange(len(torn))] ^= 1 << dice.randrange(8)
        made = bytes(torn)
    return made


def sound(dice: random.Random, reply_to: str) -> bytes:
    """Make properties that a broker takes and that a library can read."""
    if dice.random() < 0.5:
        return properties(delivery_mode=b"\x02")
    while not is_read(made := _sound(dice, reply_to)):
        pass
    return made


def _sound(dice: random.Random, reply_to: str) -> bytes:
    fields = {name: _field(dice, name) for name in _SOUND if dice.random() < 0.3}
    fields["delivery_mode"] = dice.choice((b"\x01", b"\x02"))
    odd = {dice.choice(_NAMES): _value(dice) for _ in range(dice.randrange(4))}
    headers = {name: value for name, value in odd.items() if name.lower() not in _ROUTES}
    chance = dice.random()
    if chance < 0.05:
        fields["expiration"] = short(dice.choice((b"0", b"1", b"60000")))
        # RabbitMQ 3.10 cannot dead-letter what has an `x-death` that is none, nor what comes after
        # it in that queue; see deploy/SECURITY.md.
        headers = {name: value for name, value in headers.items() if name[:2] != b"x-"}
    elif chance < 0.08:
        fields["content_encoding"] = short(dice.choice((b"gzip", b"identity", b"")))
    elif chance < 0.18:
        somewhere = (reply_to.encode(), b"nobody", b"courier.parked", b"", b"r" * 255)
        fields["reply_to"] = short(dice.choice(somewhere))
    elif chance < 0.19:
        headers[b"CC"] = long(b"A", text("courier.query-devices.v1"))
    return properties(headers, **fields)


_SOUND: Final = (
    *("content_type", "priority", "correlation_id"),
    *("message_id", "timestamp", "type", "app_id"),
)
_ROUTES: Final = (b"cc", b"bcc")


def is_read(made: bytes) -> bool:
    """Tell whether a message with such properties gets to whoever consumes it with our library."""
    header = ContentHeader()
    try:
        header.unmarshal(struct.pack(">HHQ", Basic.frame_id, 0, 0) + made)
    except Exception:  # noqa: BLE001 - whatever the library raises: the connection ends
        return False
    # No broker takes an expiration that is no number.
    return header.properties.expiration is None or header.properties.expiration.isdecimal()


def _field(dice: random.Random, name: str) -> bytes:
    if name in {"delivery_mode", "priority"}:
        return bytes([dice.choice((0, 1, 2, 3, 9, 10, 255))])
    if name == "expiration":
        return short(dice.choice((b"0", b"1", b"60000", b"4294967295")))  # others no broker takes
    if name == "timestamp":
        return struct.pack(">Q", dice.choice(_INSTANTS))
    return short(dice.choice(_TEXTS))


Make: TypeAlias = Callable[[random.Random], bytes]
_SMALL: Final = (0, 1, -1, 3, 127, -128)
# NaN and infinity, and the types U and L, no broker takes.
_PLAIN: Final[tuple[Make, ...]] = (
    lambda dice: text(dice.choice(_WORDS)),
    lambda dice: text(dice.choice(_WORDS)),
    lambda dice: b"t" + bytes([dice.choice((0, 1, 255))]),
    lambda dice: dice.choice((b"b", b"B")) + struct.pack(">B", dice.choice(_SMALL) & 0xFF),
    lambda dice: dice.choice((b"s", b"u")) + struct.pack(">H", dice.choice(_SMALL) & 0xFFFF),
    lambda dice: dice.choice((b"I", b"i")) + struct.pack(">I", dice.choice(_SMALL) & 0xFFFFFFFF),
    lambda dice: b"l" + struct.pack(">q", dice.choice((*_SMALL, 2**62, -(2**63)))),
    lambda dice: b"d" + struct.pack(">d", dice.choice((0.0, 0.1, 1e300, -1e-300, -0.0))),
    lambda dice: b"f" + struct.pack(">f", dice.choice((0.1, 0.5, -0.0))),
    lambda dice: b"T" + struct.pack(">Q", dice.choice(_INSTANTS)),
    lambda dice: b"D" + bytes([dice.choice((0, 2, 28, 255))]) + struct.pack(">i", -15),
    lambda dice: dice.choice((b"V", long(b"x", b"\xff"))),
    lambda dice: long(b"S", dice.choice((b"\xff\xfe", b"\xed\xa0\x80", b"\x00"))),
)
_DEEPEST: Final = 3


def _value(dice: random.Random, depth: int = 0) -> bytes:
    if depth == _DEEPEST or dice.random() < 0.8:
        return dice.choice(_PLAIN)(dice)
    if dice.random() < 0.5:
        return long(b"A", b"".join(_value(dice, depth + 1) for _ in range(dice.randrange(4))))
    names = (b"reason", b"queue", b"count", b"a")
    inside = b"".join(short(dice.choice(names)) + _value(dice, depth + 1) for _ in range(3))
    return long(b"F", inside)
