"""Headers of any content: each reader gives a value or None, and never raises.

Whoever may publish a command chooses its headers, those of the broker and of the courier included.
What makes no sense counts as absent.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from pamqp import encode

from service.errors import Code
from service.messages.events import CODES
from service.messages.results import Conclusion
from service.messages.wire import now, parse_instant
from service.topology import work_queues

if TYPE_CHECKING:
    from pamqp.common import FieldValue

UNWRITABLE: Final = "(cannot be copied)"
"""Replaces a value that the library reads and cannot write."""
MAX_HEADERS: Final = 124 * 1024
"""Bytes of a copy's foreign headers: 4 KiB of RabbitMQ's default `frame_max` of 128 KiB are left
for the other properties, of at most 255 bytes each, and for the courier's headers."""
_MAX_COUNT: Final = 1_000_000
_MAX_DEPTH: Final = 100
"""Levels of tables and arrays that are copied: the library's encoder is recursive."""
_WORK: Final = frozenset(queue.name for queue in work_queues())


def read_count(value: FieldValue) -> int:
    """Read a count; 0 for a negative or an impossible one."""
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return value if 0 < value < _MAX_COUNT else 0


def read_code(value: FieldValue) -> Code | None:
    """Read the code of an earlier failure: one that a `failed` result may carry, else None."""
    failed = CODES[Conclusion.FAILED]
    return Code(value) if isinstance(value, str) and value in failed else None


def read_instant(value: FieldValue, *, ahead: timedelta = timedelta(0)) -> datetime | None:
    """Read an instant of the past, or one that lies at most `ahead` in the future."""
    try:
        instant = parse_instant(value)
        return instant if instant - now() <= ahead else None
    except (ValueError, TypeError, OverflowError):  # TypeError: an instant without a time zone
        return None


def read_died(deaths: FieldValue, reason: str) -> bool:
    """Tell whether `x-death` says that a work queue dead-lettered the message, and why."""
    return isinstance(deaths, list) and any(
        isinstance(death, dict) and death.get("reason") == reason and _is_work(death.get("queue"))
        for death in deaths
    )


def _is_work(queue: FieldValue) -> bool:
    return isinstance(queue, str) and queue in _WORK


def writable(value: FieldValue) -> FieldValue:
    """Turn what the library can read but not write into what it can."""
    # Any exception: what cannot be written in a copy must not keep the copy from being made.
    with suppress(Exception):
        found = _writable(value, _MAX_DEPTH)
        encode.encode_table_value(found)
        return found
    return UNWRITABLE


def fitting(headers: dict[str, FieldValue]) -> dict[str, FieldValue]:
    """Leave out the largest headers if all of them do not fit into a copy's frame.

    AMQP splits no message's properties: a frame that is too large ends the publisher's connection,
    and published again it would end the next. A delivery may fill its frame to the last byte, and
    the broker's own headers come on top.
    """
    left, kept = MAX_HEADERS, set()
    sizes = {name: len(name.encode()) + _size(value) for name, value in headers.items()}
    for name in sorted(sizes, key=sizes.__getitem__):
        left -= sizes[name]
        if left < 0:
            break
        kept.add(name)
    return {name: value for name, value in headers.items() if name in kept}


def _size(value: FieldValue) -> int:
    return 1 + len(encode.encode_table_value(value))


def _writable(value: FieldValue, depth: int) -> FieldValue:
    if depth == 0:
        return UNWRITABLE
    if isinstance(value, bytes):
        return bytearray(value)  # a text that is not UTF-8
    if isinstance(value, dict):
        return {name: _writable(each, depth - 1) for name, each in value.items()}
    if isinstance(value, list):
        return [_writable(each, depth - 1) for each in value]
    # It writes single precision only; a number that this would change is told as text.
    return str(value) if isinstance(value, float) and not _is_single(value) else value


def _is_single(value: float) -> bool:
    try:
        return bool(struct.unpack("f", struct.pack("f", value))[0] == value)
    except OverflowError:
        return False
