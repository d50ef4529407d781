"""FortiVoice's list of phones: the query, the pages, and a row → a `Device`.

Source: FortiVoice 6.4.0 REST API Reference Guide, "Resource: DeviceSip_phone".
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from service.appliances.answers import unexpected
from service.messages.results import Device, DeviceList, Extension

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from service.appliances.answers import Answer
    from service.messages.wire import Json

PAGE_SIZE = 500
MAX_PAGES = 500
"""A list that is longer than this many pages, or never ends, is cut and told as incomplete."""

_UNASSIGNED = {
    "compoundSearch": [
        {"searchValues": [{"filter_content": 1}], "filter_type": 1, "is_negated": False}
    ]
}
_ASSIGNED = {1: True, 2: False}
_REGISTERED = {1: True, 0: False}
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|[\"\\/bfnrt])?")


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
    try:
        text = answer.body.decode("utf-8")
        try:
            document: Json = json.loads(text)
        except json.JSONDecodeError:
            document = json.loads(_ESCAPE.sub(lambda m: m[0] if m[1] else "\\\\", text))
    except (ValueError, RecursionError):
        raise unexpected("is not JSON", answer.status) from None
    return document


async def read(
    page: Callable[[int, int], Awaitable[dict[str, Json]]],
    *,
    search: str | None,
    unassigned_only: bool,
    start: int,
    limit: int,
) -> DeviceList:
    """Read pages until there is nothing left or `limit` rows were read.

    The appliance may cap the page size, so the offset advances by the rows that came. No phone is
    listed twice. `complete` says whether the rows agree with the appliance's own count.

    Args:
        page: reads one page, given its offset and size.
        search: checked here once more, in case a firmware ignores it.
        unassigned_only: checked once more, too.
        start: rows to leave out.
        limit: rows to read at most.
    """
    found: dict[str, Device] = {}
    offset, end, total, repeated = start, start + limit, None, False
    finished = False
    for _ in range(MAX_PAGES):
        body = await page(offset, min(PAGE_SIZE, end - offset))
        rows = _rows(body)
        total = _count(body.get("totalRemoteCount"), total)
        for row in rows[: end - offset]:
            key = str(row.get("mkey") or f"row {offset}.{len(found)}")
            repeated |= key in found
            found.setdefault(key, _device(row))
        offset += min(len(rows), end - offset)
        more = body.get("nextPage") is True
        finished = not rows or (total is not None and offset >= total and not more)
        if finished or offset >= end:
            break
    left = not finished and (total is None or offset < total)
    agree = total is None or (offset <= max(total, start) and (left or offset >= total))
    return DeviceList(
        devices=tuple(
            device for device in found.values() if _matches(device, search, unassigned_only)
        ),
        total=total,
        start=start,
        next=offset if left else None,
        complete=agree and not repeated and (finished or offset >= end),
    )


def _rows(body: dict[str, Json]) -> list[dict[str, Json]]:
    rows = body.get("collection")
    if rows in (None, "", "[]"):
        return []
    if not isinstance(rows, list):
        raise unexpected("has a collection that is no list", 200)
    found = [row for row in rows if isinstance(row, dict)]
    if len(found) != len(rows):
        raise unexpected("has a collection that is no list of rows", 200)
    return found


def _count(value: Json, before: int | None) -> int | None:
    number = _number(value)
    return before if number is None else number


def _number(value: Json) -> int | None:
    """Read a number, which may come as text; an impossible one is none."""
    text = str(value)
    return int(text) if text.isdecimal() and len(text) <= 16 and int(text) < 2**53 else None


def _device(row: dict[str, Json]) -> Device:
    """Map a row; any field may be missing, and "no value" is an empty string."""
    extension = Extension(
        id=_text(row, "associated_id"),
        number=_text(row, "associated_number"),
        display_name=_text(row, "associated_display_name"),
    )
    has_extension = any((extension.id, extension.number, extension.display_name))
    return Device(
        mac=_text(row, "mkey"),
        phone_type=_text(row, "phone_type"),
        name=_text(row, "name"),
        description=_text(row, "description"),
        assigned=_enum(row, "unassigned", _ASSIGNED),
        profile=_text(row, "phone_profile"),
        extension=extension if has_extension else None,
        ip=_text(row, "device_ip"),
        info=_text(row, "phone_info"),
        registered=_enum(row, "registration_status", _REGISTERED),
        last_register=_text(row, "last_register"),
        expiration=_text(row, "expiration"),
    )


def _text(row: dict[str, Json], name: str) -> str | None:
    value = row.get(name)
    # A lone surrogate is legal in JSON and in no encoding.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) and value else None


def _enum(row: dict[str, Json], name: str, meanings: dict[int, bool]) -> bool | None:
    """Translate the vendor's number; one that is not documented is not known."""
    number = _number(row.get(name))
    return None if number is None else meanings.get(number)


def _matches(device: Device, search: str | None, unassigned_only: bool) -> bool:
    if unassigned_only and device.assigned is True:
        return False
    if not search or device.mac is None:
        return True
    return search.replace(":", "").lower() in device.mac.replace(":", "").lower()
