"""FortiVoice's session cookie, as `Set-Cookie` says it: opened, rotated or over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from service.appliances.answers import http_date

if TYPE_CHECKING:
    from service.appliances.answers import Answer

_COOKIE = "apscookie"


def session_cookie(answer: Answer) -> str | None:
    """Find the session in `Set-Cookie`, as `name=value` and undecoded.

    Returns:
        None when nothing is said about it, "" when the appliance says that it is over.
    """
    said: str | None = None
    for header in answer.headers.getall("Set-Cookie", []):
        pair, *attributes = header.split(";")
        name, _, value = pair.strip().partition("=")
        if name.lower().startswith(_COOKIE):
            over = value in {"", "0&0", "0%260"} or any(_is_past(part) for part in attributes)
            said = (said or "") if over else f"{name}={value}"
    return said


def _is_past(attribute: str) -> bool:
    """Tell an attribute by which a server ends a cookie (RFC 6265, section 5.2)."""
    name, _, value = attribute.strip().lower().partition("=")
    if name == "expires":
        instant = http_date(value)
        return instant is not None and instant <= time.time()
    try:
        return name == "max-age" and float(value) <= 0
    except ValueError:
        return False
