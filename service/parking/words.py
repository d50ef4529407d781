"""What may be told of a parked message, and how: never what a command asks for, never raw.

Whoever can publish can write ids, sources and headers, and they end on a person's terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.errors import Rejection
from service.messages.commands import Envelope
from service.messages.wire import format_instant, parse_json
from service.parking.moving import as_json
from service.telemetry import (
    redacted,
)

if TYPE_CHECKING:
    from datetime import datetime

    from service.messages.wire import Json
    from service.parking.message import Held, Message

_ENVELOPE = tuple(name for name in Envelope.model_fields if name != "data_base64")
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def printable(text: str | None) -> str:
    """Show a text in one line: nothing secret, nothing that a terminal would obey."""
    if text is None:
        return "-"
    clean = str(redacted("", text))
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in clean)


def age(since: datetime | None, at: datetime) -> str:
    """Say for how long, in the largest unit that fits."""
    if since is None:
        return "-"
    seconds = max(0, int((at - since).total_seconds()))
    size, unit = next((each for each in _UNITS if seconds >= each[0]), _UNITS[-1])
    return f"{seconds // size} {unit}"


def wrong(rejection: Rejection) -> str:
    """Say what is wrong with a body: paths and rules, never a value."""
    return "; ".join(f"{path or '/'} {text}" for path, text in rejection.errors)


def summary(message: Message) -> dict[str, Json]:
    """Say in JSON what a list shows."""
    return {
        "id": message.identity.id,
        "source": message.identity.source,
        "type": message.identity.type,
        "appliance": message.appliance,
        "reason": message.reason,
        "parked_at": format_instant(message.parked_at) if message.parked_at else None,
        "queue": message.queue,
        "size": message.size,
        "sha256": message.sha256,
    }


def everything(held: Held) -> dict[str, Json]:
    """Say in JSON all that may be told of a message, but what would become of it."""
    headers = as_json(held.properties.all_headers())
    deaths = headers.pop("x-death", None) if isinstance(headers, dict) else None
    return {
        **summary(held.message),
        "envelope": _envelope(held.taken.body),
        "properties": as_json(held.properties.all_fields()),
        "headers": headers,
        "deaths": deaths,
        "readable_properties": not held.message.unreadable,
    }


def clean(told: dict[str, Json]) -> dict[str, object]:
    """Take out what is secret, by its name or by its form."""
    return {name: redacted(name, value) for name, value in told.items()}


def _envelope(body: bytes) -> Json:
    """Read the attributes that the contract names, as far as they can be read."""
    try:
        document = parse_json(body)
    except Rejection:
        return None
    if not isinstance(document, dict):
        return None
    return {name: document[name] for name in _ENVELOPE if isinstance(document.get(name), str)}
