"""What is asked of an appliance, and what its answers mean."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING, TypedDict

from service.errors import Code, Failed

if TYPE_CHECKING:
    import httpx

    from service.messages.wire import Json


class Request(TypedDict, total=False):
    """What goes with a request, in httpx's words."""

    params: dict[str, str]
    json: Json
    files: list[tuple[str, tuple[str | None, bytes] | tuple[str, bytes, str]]]


class Kind(Enum):
    """What a request that got no answer may have done."""

    READ = "nothing; it may be sent again at once"
    STEP = "nothing that counts (a login, a token, an upload); it is not sent again by itself"
    WRITE = "spent a licence; only reading back can tell"


@dataclass(frozen=True)
class Operation:
    """One of the vendor's requests. Paths stand here exactly as the vendor's examples have them."""

    name: str
    method: str
    path: str
    kind: Kind = Kind.READ


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Json:
        """Read the body as JSON.

        Raises:
            Failed: `unexpected-answer`; it is something else.
        """
        try:
            document: Json = json.loads(self.body)
        except (ValueError, RecursionError):
            raise unexpected("is not JSON", self.status) from None
        return document


def unexpected(what: str, status: int | None = None) -> Failed:
    """Make the error for an answer that the vendor's documents do not allow."""
    return Failed(Code.UNEXPECTED_ANSWER, f"the appliance's answer {what}", status=status)


def trouble(answer: Answer) -> Failed:
    """Say what an answer means that is neither a success nor the operation's own business."""
    status = answer.status
    if status in {408, 429} or status >= 500:
        return Failed(
            Code.APPLIANCE_ERROR,
            f"the appliance answered {status}",
            status=status,
            retry_after=_retry_after(answer.headers),
        )
    if 300 <= status < 400:
        return unexpected(f"is a redirect ({status}): check the url in the inventory", status)
    return unexpected(f"is the status {status}", status)


def _retry_after(headers: httpx.Headers) -> float | None:
    """Read `Retry-After` in either form (RFC 9110, section 10.2.3), in seconds."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, IndexError):
        return None
