"""What is asked of an appliance, and what each answer means.

A status has a meaning for the operation that it answers; the vendors' tables stand with their
operations, as data. No status is without a meaning: what no table names is unexpected, and tells
nothing of a write.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING, TypedDict

from service.errors import AnswerLost, Code, CommandError, Failed, Refused

if TYPE_CHECKING:
    from multidict import MultiMapping

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


class Meaning(Enum):
    """What a status says of the operation that it answers."""

    DONE = "carried out, if the body agrees"
    NO_SESSION = "the session is over, or the account lacks the permission"
    NO_CREDENTIALS = "the credentials are refused"
    DENIED = "the account lacks the permission"
    LICENSE_REFUSED = "the licence, or its file, is not taken"
    TROUBLE = "the appliance cannot serve this now"
    UNEXPECTED = "something that the vendor's documents do not allow"
    LOST = "nobody can tell from this whether the write was carried out"


Meanings = Mapping[int | str, Meaning]
"""By status (404), or by class ("4xx"); a status wins over its class."""

USUAL: Meanings = {
    200: Meaning.DONE,
    408: Meaning.TROUBLE,
    429: Meaning.TROUBLE,
    "5xx": Meaning.TROUBLE,
}
"""What answers mean that are no answer to a write."""


@dataclass(frozen=True)
class Operation:
    """One of the vendor's requests. Paths stand here exactly as the vendor's examples have them.

    Attributes:
        meanings: what its answers mean; for all but writes where that differs from `USUAL`.
    """

    name: str
    method: str
    path: str
    kind: Kind = Kind.READ
    meanings: Meanings = field(default_factory=dict)

    def meaning(self, status: int) -> Meaning:
        """Say what a status means here; any number has a meaning."""
        is_write = self.kind is Kind.WRITE
        table = self.meanings if is_write else {**USUAL, **self.meanings}
        usual = Meaning.LOST if is_write else Meaning.UNEXPECTED
        return table.get(status) or table.get(f"{status // 100}xx") or usual


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        is_whole: the body was read to its end; if not, none of it is here.
    """

    operation: Operation
    status: int
    headers: MultiMapping[str] = field(repr=False)
    body: bytes = field(repr=False)
    is_whole: bool = True

    @property
    def meaning(self) -> Meaning:
        """What the status says of the operation."""
        return self.operation.meaning(self.status)

    @property
    def retry_after(self) -> float | None:
        """Seconds that the appliance asks to be left alone (RFC 9110, section 10.2.3)."""
        value = self.headers.get("Retry-After", "").strip()
        if value.isdecimal():
            return float(value)
        instant = http_date(value)
        return None if instant is None else max(0.0, instant - time.time())

    def json(self) -> Json:
        """Read the body as JSON, whatever its content type says.

        Raises:
            Failed: `unexpected-answer`; it is something else.
        """
        try:
            document: Json = json.loads(self.body)
        except (ValueError, RecursionError):
            raise unexpected("is not JSON", self.status) from None
        return document


def http_date(text: str) -> float | None:
    """Read an instant as HTTP writes it (RFC 9110, section 5.6.7), in seconds since 1970."""
    try:
        instant = parsedate_to_datetime(text)
        # One of the three forms does not say that it is UTC.
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def clock_skew(date: str, asked: float, answered: float) -> float | None:
    """Tell by its `Date` header how many seconds an appliance's clock is ahead of ours.

    Args:
        date: the header (RFC 9110, section 6.6.1); it counts whole seconds.
        asked: when the request left, in seconds since 1970.
        answered: when its answer began.

    Returns:
        None when the header tells nothing.
    """
    told = http_date(date)
    # Dated half-way, as far as anybody knows; what is cut off is half a second on average.
    return None if told is None else told + 0.5 - (asked + answered) / 2


def known_status(status: int | None) -> int | None:
    """Leave out numbers that are no HTTP status; appliances have been seen to answer with some."""
    return status if status is not None and 100 <= status < 600 else None


def unexpected(what: str, status: int | None = None) -> Failed:
    """Make the error for an answer that the vendor's documents do not allow."""
    return Failed(Code.UNEXPECTED_ANSWER, f"the appliance's answer {what}", status=status)


def denied(appliance: str, status: int) -> Refused:
    """Make the error for what the account may not do."""
    return Refused(
        Code.PERMISSION_DENIED,
        f"{appliance} denies this to the account that the courier uses",
        status=status,
    )


def problem(answer: Answer, appliance: str) -> CommandError:
    """Make the error for an answer that means anything but `DONE`."""
    status, meaning = answer.status, answer.meaning
    if meaning in {Meaning.DENIED, Meaning.NO_SESSION}:
        return denied(appliance, status)
    if meaning is Meaning.LICENSE_REFUSED:
        return Refused(Code.LICENSE_REFUSED, f"{appliance} refuses the licence", status=status)
    if meaning is Meaning.TROUBLE:
        return Failed(
            Code.APPLIANCE_ERROR,
            f"{appliance} answered {status}",
            status=status,
            retry_after=answer.retry_after,
        )
    if meaning is Meaning.LOST:
        what = f"{appliance} did not confirm the licence (status {status})"
        return AnswerLost(Code.UNEXPECTED_ANSWER, what, status=status)
    if 300 <= status < 400:
        return unexpected(f"is a redirect ({status}): check the url in the inventory", status)
    return unexpected(f"is the status {status}", status)
