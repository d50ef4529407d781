"""FortiVoice's list of phones: the query of a page, its rows, and a row → a `Device`.

Source: FortiVoice 6.4.0 REST API Reference Guide, "Resource: DeviceSip_phone".
"""

from __future__ import annotations

import json
import re
from operator import itemgetter
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_core import from_json

from service.appliances.answers import unexpected
from service.messages.results import Device

if TYPE_CHECKING:
    from service.appliances.answers import Answer
    from service.messages.wire import Json

_UNASSIGNED = {
    "compoundSearch": [
        {"searchValues": [{"filter_content": 1}], "filter_type": 1, "is_negated": False}
    ]
}
_TEXTS = {
    "mac": "mkey",
    "phone_type": "phone_type",
    "name": "name",
    "description": "description",
    "profile": "phone_profile",
    "ip": "device_ip",
    "info": "phone_info",
    "last_register": "last_register",
    "expiration": "expiration",
}
_EXTENSION = {
    "id": "associated_id",
    "number": "associated_number",
    "display_name": "associated_display_name",
}
_GET_TEXTS = itemgetter(*_TEXTS.values(), *_EXTENSION.values())
_ASSIGNED = {1: True, 2: False}
_REGISTERED = {1: True, 0: False}
_NO_ESCAPE = re.compile(r"\\(?![\"/bfnrt]|u[0-9A-Fa-f]{4})")
_PAIR = "\0"
"""Two backslashes, while single ones are looked for; as itself it stands in no JSON."""


def query(search: str | None, unassigned_only: bool, offset: int, size: int) -> dict[str, str]:
    """Make one page's query, in the order of the vendor's examples; the client encodes it once."""
    params = {
        "reqAction": "1",
        "mdomain": "system",
        "startIndex": str(offset),
        "pageSize": str(size),
        # ASSUMED: the appliance compares text, and it writes MAC addresses with colons.
        "extraParam": f"quickSearch:{search}" if _is_literal(search) else "",
    }
    if unassigned_only:
        params["jsonPayload"] = json.dumps(_UNASSIGNED, separators=(",", ":"))
    return params


def _is_literal(search: str | None) -> bool:
    """Tell a fragment that stands in a MAC address as it is; others are looked for by us alone."""
    return search is not None and (":" in search or len(search) <= 2)


def parse_lenient(answer: Answer) -> Json:
    r"""Read JSON; only when that fails, double each backslash that starts no legal escape.

    The vendor's first sample has `FortiFone-550i\560i`; both spellings mean the same name.

    Raises:
        Failed: `unexpected-answer`; it is not JSON even so.
    """
    document: Json
    try:
        # Twice as fast as Python's own, but stricter about what no encoding has.
        document = from_json(answer.body, cache_strings="keys")
    except ValueError:
        pass
    else:
        return document
    try:
        text = answer.body.decode("utf-8")
        try:
            document = json.loads(text)
        except json.JSONDecodeError:
            document = json.loads(_mended(text))
    except (ValueError, RecursionError):
        raise unexpected("is not JSON", answer.status) from None
    return document


def _mended(text: str) -> str:
    """Double each backslash that starts no legal escape, without a call for each of millions."""
    if _PAIR in text:
        raise ValueError("is not JSON")
    single = text.replace("\\\\", _PAIR)
    return _NO_ESCAPE.sub(r"\\\\", single).replace(_PAIR, "\\\\")


def rows_of(body: dict[str, Json]) -> list[dict[str, Json]]:
    """Find a page's rows.

    Raises:
        Failed: `unexpected-answer`; there is something else where they belong.
    """
    rows = body.get("collection")
    if rows in (None, "", "[]"):
        return []
    if not isinstance(rows, list):
        raise unexpected("has a collection that is no list", 200)
    found = [row for row in rows if isinstance(row, dict)]
    if len(found) != len(rows):
        raise unexpected("has a collection that is no list of rows", 200)
    return found


def total_of(body: dict[str, Json]) -> int | None:
    """Read how many rows there are in all, as the appliance counts; None if it does not say."""
    return _number(body.get("totalRemoteCount"))


def _number(value: Json) -> int | None:
    """Read a number, which may come as text; an impossible one is none."""
    text = str(value)
    return int(text) if text.isdecimal() and len(text) <= 16 and int(text) < 2**53 else None


def device_of(row: dict[str, Json]) -> Device:
    """Map a row; any field may be missing, and "no value" is an empty string."""
    try:
        return _usual(row)
    except (KeyError, ValidationError):
        return _unusual(row)


def _usual(row: dict[str, Json]) -> Device:
    """Map a row that has all fields, and texts where the guide has texts.

    As fast as it can be written down: an inventory may have a hundred thousand.
    """
    mac, kind, name, about, profile, ip, info, since, until, key, number, shown = _GET_TEXTS(row)
    assigned, registered = row["unassigned"], row["registration_status"]
    extension = {"id": key or None, "number": number or None, "display_name": shown or None}
    return Device.model_validate(
        {
            "mac": mac or None,
            "phone_type": kind or None,
            "name": name or None,
            "description": about or None,
            "assigned": _enum(assigned, _ASSIGNED),
            "profile": profile or None,
            "extension": extension if key or number or shown else None,
            "ip": ip or None,
            "info": info or None,
            "registered": _enum(registered, _REGISTERED),
            "last_register": since or None,
            "expiration": until or None,
        }
    )


def _unusual(row: dict[str, Json]) -> Device:
    """Map any row."""
    extension = _texts(row, _EXTENSION)
    return Device.model_validate(
        {
            **_texts(row, _TEXTS),
            "assigned": _enum(row.get("unassigned"), _ASSIGNED),
            "registered": _enum(row.get("registration_status"), _REGISTERED),
            "extension": extension if any(extension.values()) else None,
        }
    )


def _texts(row: dict[str, Json], names: dict[str, str]) -> dict[str, str | None]:
    return {name: _text(row.get(key)) for name, key in names.items()}


def _text(value: Json) -> str | None:
    # A lone surrogate is legal in JSON and in no encoding.
    text = value.encode("utf-8", "replace").decode() if isinstance(value, str) else None
    return text or None


def _enum(value: Json, meanings: dict[int, bool]) -> bool | None:
    """Translate the vendor's number; one that is not documented is not known."""
    number = value if type(value) is int else _number(value)
    return None if number is None else meanings.get(number)


def is_asked_for(device: Device, *, search: str | None, unassigned_only: bool) -> bool:
    """Check once more what the query asked for, in case a firmware ignores it."""
    if unassigned_only and device.assigned is True:
        return False
    if not search or device.mac is None:
        return True
    return search.replace(":", "").lower() in device.mac.replace(":", "").lower()
