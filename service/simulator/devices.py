"""FortiVoice's phone list: which rows a query gets, honestly or not.

Follows the FortiVoice 6.4.0 REST API Reference Guide, "Resource: DeviceSip_phone".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from service.simulator import phones
from service.simulator.actions import (
    DuplicateRows,
    EmptyPage,
    Endless,
    PageCap,
    ShrinkPages,
    Total,
)

if TYPE_CHECKING:
    from service.simulator.faults import Plan

_REQUIRED: Final = {"reqAction", "mdomain", "startIndex", "pageSize", "extraParam"}
_UNASSIGNED: Final = {
    "compoundSearch": [
        {"searchValues": [{"filter_content": 1}], "filter_type": 1, "is_negated": False}
    ]
}
_QUICK_SEARCH: Final = "quickSearch:"


class QueryError(ValueError):
    """A query that is not as the guide's examples show it; the text says what is wrong."""


def listing(query: str, count: int, plan: Plan) -> str:
    """Return the body for a query over the first ``count`` phones.

    Raises:
        QueryError: the query differs from the guide's examples in more than its values.
    """
    asked = _parse(query)
    start, size = _whole(asked, "startIndex", 0), _whole(asked, "pageSize", 1)
    fragment = _fragment(asked["extraParam"])
    unassigned = _wants_unassigned(asked.get("jsonPayload"))
    filtered = bool(fragment) or unassigned
    found: range | list[int] = range(count)
    if filtered:
        found = [index for index in found if _matches(index, fragment, unassigned=unassigned)]
    return _page(found, start, size, plan, filtered=filtered)


def _parse(query: str) -> dict[str, str]:
    """Every example has the five parameters; only ``jsonPayload`` may stand beside them."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        raise QueryError("the query string cannot be read") from None
    asked = dict(pairs)
    if len(pairs) != len(asked) or asked.keys() - {"jsonPayload"} != _REQUIRED:
        raise QueryError("the query's parameters are not the documented ones")
    if asked["reqAction"] != "1" or asked["mdomain"] != "system":
        raise QueryError("reqAction must be 1 and mdomain must be system")
    return asked


def _whole(asked: dict[str, str], name: str, low: int) -> int:
    if not (asked[name].isascii() and asked[name].isdigit()) or int(asked[name]) < low:
        raise QueryError(f"{name} must be a whole number from {low} on")
    return int(asked[name])


def _fragment(extra: str) -> str:
    """Read "a devices with 'ff' pattern": case does not matter, an empty pattern fits all.

    The guide shows neither (appliances.md); its MAC addresses are in lower case.
    """
    if extra and not extra.startswith(_QUICK_SEARCH):
        raise QueryError("extraParam must be empty or quickSearch:<fragment>")
    return extra.removeprefix(_QUICK_SEARCH).lower()


def _wants_unassigned(payload: str | None) -> bool:
    """Read "Get non assigned devices": the guide knows this one search."""
    if payload is None:
        return False
    try:
        given = json.dumps(json.loads(payload), sort_keys=True)
    except ValueError:
        given = ""
    if given != json.dumps(_UNASSIGNED, sort_keys=True):
        raise QueryError("jsonPayload is not the documented search")
    return True


def _matches(index: int, fragment: str, *, unassigned: bool) -> bool:
    """Say whether a phone is asked for; unassigned ones have 2 there, as in the guide's answer."""
    row = phones.phone(index)
    return fragment in str(row["mkey"]) and (not unassigned or row["unassigned"] == 2)  # noqa: PLR2004  # the vendor's code


def _page(found: range | list[int], start: int, size: int, plan: Plan, *, filtered: bool) -> str:
    """Cut the page out: ``startIndex`` is a row offset (appliances.md), then let faults bend it."""
    for cap, _ in plan.all(PageCap):
        size = min(size, cap.size)
    for shrink, number in plan.all(ShrinkPages):
        size = min(size, max(1, shrink.size - (number - 1) * shrink.step))
    first = max(0, start - sum(early.count for early, _ in plan.all(DuplicateRows)))
    rows, total = found[first : first + size], len(found)
    more = first + len(rows) < total
    if plan.all(EmptyPage):
        rows, more = [], True
    if plan.all(Endless):
        rows, total, more = range(first, first + size), first + 2 * size, True
    for lie, _ in plan.all(Total):
        total = max(0, (total if lie.value is None else lie.value) + lie.add)
    return phones.listed(rows, total, more=more, filtered=filtered)
