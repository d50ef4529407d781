"""AMQP properties as any client can write them, byte by byte: those that libraries refuse too."""

import struct
from typing import Final

FLAGS: Final = {
    name: 1 << (15 - number)
    for number, name in enumerate(
        (
            *("content_type", "content_encoding", "headers", "delivery_mode", "priority"),
            *("correlation_id", "reply_to", "expiration", "message_id", "timestamp"),
            *("type", "user_id", "app_id", "cluster_id"),
        )
    )
}


def short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def long(kind: bytes, content: bytes) -> bytes:
    """A value that tells its own length: S text, x bytes, A array, F table."""
    return kind + struct.pack(">I", len(content)) + content


def text(value: str) -> bytes:
    return long(b"S", value.encode())


def table(headers: dict[bytes, bytes]) -> bytes:
    return b"".join(short(name) + value for name, value in headers.items())


def properties(headers: dict[bytes, bytes] | None = None, **fields: bytes) -> bytes:
    """The properties of one message.

    Args:
        headers: names and values with their types.
        fields: the other properties as they stand on the wire.
    """
    wire = dict(fields)
    if headers is not None:
        wire["headers"] = struct.pack(">I", len(table(headers))) + table(headers)
    flags = sum(FLAGS[name] for name in wire)
    return struct.pack(">H", flags) + b"".join(wire[name] for name in FLAGS if name in wire)
