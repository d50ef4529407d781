"""Replay, save, discard: what was promised comes first, and the broker forgets afterwards.

Whoever dies in between leaves the message parked and its copy sent or saved. That harms nobody: the
copy has the same idempotency key, and a file is written over.
"""

from __future__ import annotations

import base64
import json
import os
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING

from service.consumers.telling import (
    ATTEMPT,
    CAME_BY,
    EXPIRATION,
    LAST_ERROR,
    PARKED_AT,
    REASON,
    RECEIVED_AT,
)
from service.messages.wire import format_instant

if TYPE_CHECKING:
    from pathlib import Path

    from service.messages.wire import Json
    from service.parking.forecast import Route
    from service.parking.message import Held
    from service.parking.parked import HeldQueue
    from service.parking.properties import Properties, Value

_LEFT_OUT = frozenset({ATTEMPT, LAST_ERROR, RECEIVED_AT, EXPIRATION, "cc", "bcc"})
"""A replay's time and attempts begin anew; CC and BCC would send it elsewhere as well."""
_NOT_OURS_TO_SAY = frozenset({"user_id", "expiration"})
"""The broker refuses a publisher who is not that user."""


def replay(queue: HeldQueue, held: Held, route: Route) -> None:
    """Publish a copy where it belongs, and let the parked one go after the confirm.

    Raises:
        PublishFailed: the copy did not get there; the message stays parked.
    """
    copy = replayed(held)
    queue.publish(copy.raw, held.taken.body, exchange=route.exchange, routing_key=route.routing_key)
    queue.settle(held.taken)


def replayed(held: Held) -> Properties:
    """Make the properties of a copy that is sent again.

    Why, when and whence it was parked stays on it: a message that reached the delivery limit may
    have run before, and the execution must know. Where the broker parked it, that is written here.
    """
    message = held.message
    parked_at = format_instant(message.parked_at) if message.parked_at else None
    evidence = {REASON: message.reason, PARKED_AT: parked_at, CAME_BY: message.queue}
    return held.properties.changed(
        without=lambda name: name.startswith("x-") or name in _LEFT_OUT,
        headers={name: text for name, text in evidence.items() if text is not None},
        without_fields=_NOT_OURS_TO_SAY,
    )


def save(held: Held, directory: Path) -> None:
    """Write a message to two files, for its owner's eyes only, durable when this returns.

    Raises:
        OSError: it cannot be written.
    """
    message, properties = held.message, held.properties
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{message.sha256[:16]}-{message.mark.hex()[:8]}"
    told = {
        "reason": message.reason,
        "parked_at": format_instant(message.parked_at) if message.parked_at else None,
        "queue": message.queue,
        "properties": as_json(properties.all_fields()),
        "headers": as_json(properties.all_headers()),
        "properties_base64": base64.b64encode(properties.raw).decode("ascii"),
        "body_sha256": message.sha256,
    }
    _write(directory / f"{name}.body", held.taken.body)
    _write(directory / f"{name}.json", json.dumps(told, indent=2).encode() + b"\n")
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def as_json(value: Value) -> Json:
    """Say in JSON what properties hold; bytes as text with escapes for what is none."""
    if isinstance(value, dict):
        return {name: as_json(each) for name, each in value.items()}
    if isinstance(value, list):
        return [as_json(each) for each in value]
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, datetime):
        return format_instant(value)
    if (
        value is None
        or isinstance(value, str | int)
        or (isinstance(value, float) and isfinite(value))
    ):
        return value
    return str(value)  # JSON knows neither infinity nor decimals


def _write(path: Path, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
