"""AMQP properties as the bytes that they are: anything can be read, and copied unchanged.

AMQP 0-9-1, sections 2.3.5.2 and 4.2.6.1, with the field types that RabbitMQ knows (its "AMQP 0-9-1
Errata", section 3). Libraries turn properties into Python values and back: pika makes a whole
number of each float, and any library raises on what it cannot turn. Here only what must be known or
changed is taken apart, and everything else stays as it came.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from pamqp.header import ContentHeader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Value: TypeAlias = (
    "dict[str, Value] | list[Value] | str | bytes | int | float | bool | Decimal | datetime | None"
)
"""What a property or a header can hold; text that is not UTF-8 and what is no text are bytes."""

_LAYOUT = {
    "content_type": "text",
    "content_encoding": "text",
    "headers": "table",
    "delivery_mode": "octet",
    "priority": "octet",
    "correlation_id": "text",
    "reply_to": "text",
    "expiration": "text",
    "message_id": "text",
    "timestamp": "instant",
    "type": "text",
    "user_id": "text",
    "app_id": "text",
    "cluster_id": "text",
}
"""The properties of the class `basic`, in the order of their flags from the highest bit on."""
_FLAG = {name: 1 << (15 - number) for number, name in enumerate(_LAYOUT)}
_PERSISTENT = b"\x02"
_BASIC = 60
_NUMBERS = {
    b"t": ">?",
    b"b": ">b",
    b"B": ">B",
    b"U": ">h",
    b"u": ">H",
    b"s": ">h",
    b"I": ">i",
    b"i": ">I",
    b"L": ">q",
    b"l": ">q",
    b"f": ">f",
    b"d": ">d",
}


@dataclass(frozen=True)
class Properties:
    """The properties of one message.

    Attributes:
        raw: as they came, for those that could not be taken apart.
        fields: each but the headers as it stands on the wire, by name.
        headers: names and values as they stand on the wire, in order.
        damaged: they could not be taken apart at all.
    """

    raw: bytes = field(repr=False)
    fields: Mapping[str, bytes] = field(repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    damaged: bool = False

    @classmethod
    def parse(cls, raw: bytes) -> Properties:
        """Take them apart, flags first; never raises."""
        try:
            return cls._parse(raw)
        except (struct.error, IndexError, ValueError, RecursionError):
            return cls(raw, {}, (), damaged=True)

    @classmethod
    def _parse(cls, raw: bytes) -> Properties:
        (flags,) = struct.unpack_from(">H", raw)
        fields: dict[str, bytes] = {}
        headers: tuple[tuple[bytes, bytes], ...] = ()
        at = 2
        for name, flag in _FLAG.items():
            if not flags & flag:
                continue
            end = at + _length(_LAYOUT[name], raw, at)
            if end > len(raw):
                raise ValueError("is cut off")
            if name == "headers":
                headers = _split(raw[at + 4 : end])
            else:
                fields[name] = raw[at:end]
            at = end
        return cls(raw, fields, headers)

    def encode(self) -> bytes:
        """Put them together, flags first."""
        if self.damaged:
            return self.raw
        table = b"".join(_short(name) + value for name, value in self.headers)
        wire = dict(self.fields)
        if self.headers:
            wire["headers"] = struct.pack(">I", len(table)) + table
        flags = sum(_FLAG[name] for name in wire)
        return struct.pack(">H", flags) + b"".join(wire[name] for name in _LAYOUT if name in wire)

    @property
    def unreadable(self) -> bool:
        """Tell whether the service's AMQP library would lose its connection over them: ask it.

        What cannot be taken apart here cannot be copied either, and counts as unreadable, too.
        """
        if self.damaged:
            return True
        try:
            ContentHeader().unmarshal(struct.pack(">HHQ", _BASIC, 0, 0) + self.raw)
        except Exception:  # noqa: BLE001  whatever it raises, it raises it in the reading task
            return True
        return False

    def get(self, name: str) -> Value:
        """Read one property but the headers; None when it is not there."""
        field = self.fields.get(name)
        if field is None:
            return None
        if _LAYOUT[name] == "text":
            return _text(field[1:])
        return _instant(field) if _LAYOUT[name] == "instant" else field[0]

    def header(self, name: str) -> Value:
        """Read one header; None when it is not there."""
        found = (value for key, value in self.headers if key == name.encode())
        value = next(found, None)
        return None if value is None else _read(value, 0)[0]

    def text_header(self, name: str) -> str | None:
        """Read one header that must be text."""
        value = self.header(name)
        return value if isinstance(value, str) else None

    def all_headers(self) -> dict[str, Value]:
        """Read all headers."""
        return {_name(key): _read(value, 0)[0] for key, value in self.headers}

    def all_fields(self) -> dict[str, Value]:
        """Read all properties but the headers."""
        return {name: self.get(name) for name in _LAYOUT if name in self.fields}

    def changed(
        self,
        *,
        without: Callable[[str], bool],
        headers: Mapping[str, str],
        without_fields: frozenset[str],
    ) -> Properties:
        """Make a persistent copy; what is not named here stays byte for byte.

        Args:
            without: names the headers, in lower case, that are left out.
            headers: what is written in their place or beside them.
            without_fields: the properties that are left out.
        """
        new = {name.encode(): _long_text(text) for name, text in headers.items()}
        kept = tuple(
            (name, value)
            for name, value in self.headers
            if name not in new and not without(_name(name).lower())
        )
        fields = {name: raw for name, raw in self.fields.items() if name not in without_fields}
        fields["delivery_mode"] = _PERSISTENT
        copy = replace(self, fields=fields, headers=(*kept, *new.items()))
        return replace(copy, raw=copy.encode())


def _length(kind: str, raw: bytes, at: int) -> int:
    if kind == "text":
        return 1 + raw[at]
    if kind == "table":
        return 4 + int(struct.unpack_from(">I", raw, at)[0])
    return 8 if kind == "instant" else 1


def _split(table: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Cut a table into names and values, each as it stands there."""
    found, at = [], 0
    while at < len(table):
        value_at = at + 1 + table[at]
        name = table[at + 1 : value_at]
        at = _read(table, value_at)[1]
        found.append((name, table[value_at:at]))
    return tuple(found)


def _read(raw: bytes, at: int) -> tuple[Value, int]:
    """Read the field value that begins here, and say where it ends."""
    kind, at = raw[at : at + 1], at + 1
    if kind in _NUMBERS:
        (number,) = struct.unpack_from(_NUMBERS[kind], raw, at)
        return number, at + struct.calcsize(_NUMBERS[kind])
    if kind == b"V":
        return None, at
    if kind == b"T":
        return _instant(raw[at : at + 8]), at + 8
    if kind == b"D":
        places, digits = struct.unpack_from(">Bi", raw, at)
        return Decimal(digits).scaleb(-places), at + 5
    if kind not in b"SxAF":
        raise ValueError("is of no type that RabbitMQ knows")
    end = at + 4 + int(struct.unpack_from(">I", raw, at)[0])
    if end > len(raw):
        raise ValueError("is cut off")
    return _long(kind, raw[at + 4 : end]), end


def _long(kind: bytes, content: bytes) -> Value:
    """Read what tells its own length: text, bytes, table or array."""
    if kind == b"F":
        return {_name(name): _read(value, 0)[0] for name, value in _split(content)}
    if kind == b"S":
        return _text(content)
    if kind == b"x":
        return content
    found, at = [], 0
    while at < len(content):
        value, at = _read(content, at)
        found.append(value)
    return found


def _instant(raw: bytes) -> datetime | int:
    """Read whole seconds since 1970; those of no calendar stay a number."""
    (seconds,) = struct.unpack(">Q", raw)
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return int(seconds)


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _name(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")


def _short(name: bytes) -> bytes:
    return bytes([len(name)]) + name


def _long_text(text: str) -> bytes:
    content = text.encode()
    return b"S" + struct.pack(">I", len(content)) + content
