"""One parked message as it is talked about: who sent it, why and since when it lies there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from service.consumers.telling import CAME_BY, PARKED_AT, REASON
from service.errors import Reason, Rejection
from service.messages.commands import identify
from service.messages.wire import (
    MAX_BYTES,
    ApplianceName,
    Identity,
    now,
    parse_instant,
    parse_json,
)
from service.parking.properties import Properties
from service.topology import QUARANTINE

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator
    from datetime import timedelta

    from service.parking.parked import HeldQueue, Taken

UNREADABLE = "unreadable-properties"
"""Why the broker parked what the service cannot read. Ours to name: no header is there."""

LOOKS = frozenset({"x-delivery-count", "x-acquired-count"})
"""The broker's headers that change whenever somebody looks."""

_SHORT = 12
_SHORTEST = 8
_APPLIANCE: TypeAdapter[str] = TypeAdapter(ApplianceName)


@dataclass(frozen=True)
class Message:
    """A parked message; nothing of what a command asks for is in here, nor the body.

    Attributes:
        identity: the command's id, source and type, as far as they can be read.
        reason: why it was parked; None for what somebody put there by hand.
        parked_at: when; None where nothing says so.
        queue: where it was consumed.
        unreadable: the service would lose its connection over the AMQP properties.
        mark: the same whenever this very message is looked at, and for no other.
    """

    identity: Identity
    appliance: str | None
    reason: str | None
    parked_at: datetime | None
    queue: str | None
    size: int
    sha256: str
    unreadable: bool
    mark: bytes

    @classmethod
    def of(cls, taken: Taken, properties: Properties) -> Message:
        """Read one, whatever it holds; never raises."""
        digest = hashlib.sha256(taken.body)
        # The broker writes a count into each; the rest of the bytes is the same at every look.
        still = properties.changed(
            without=LOOKS.__contains__, headers={}, without_fields=frozenset()
        )
        reason, parked_at, queue = _parked_by_the_broker(properties) or (
            properties.text_header(REASON),
            _instant(properties.text_header(PARKED_AT)),
            properties.text_header(CAME_BY),
        )
        unreadable = properties.unreadable
        return cls(
            identity=identify(taken.body),
            appliance=_appliance(taken.body),
            reason=UNREADABLE if unreadable else reason,
            parked_at=parked_at,
            queue=queue,
            size=len(taken.body),
            sha256=digest.hexdigest(),
            unreadable=unreadable,
            mark=hashlib.sha256(still.raw + digest.digest()).digest(),
        )

    @property
    def short_id(self) -> str:
        """Name it: the command's id, or the beginning of the body's digest."""
        return self.identity.id or self.sha256[:_SHORT]


@dataclass(frozen=True)
class Held:
    """A parked message while this program holds it, with all that it is."""

    taken: Taken
    properties: Properties
    message: Message

    @classmethod
    def of(cls, taken: Taken) -> Held:
        """Read one, whatever it holds; never raises."""
        properties = Properties.parse(taken.properties)
        return cls(taken, properties, Message.of(taken, properties))


@dataclass(frozen=True)
class Selection:
    """Which messages are meant; what is given must all hold.

    Attributes:
        id: the command's id, or at least eight digits of the beginning of the body's SHA-256.
        older_than: since when it must lie there; what nobody knows the age of is never older.
        everything: all of them, as far as nothing else is said.
    """

    id: str | None = None
    reason: str | None = None
    older_than: timedelta | None = None
    everything: bool = False

    @property
    def says_nothing(self) -> bool:
        """Tell that nobody has chosen anything."""
        return not (self.id or self.reason or self.older_than is not None or self.everything)

    def takes(self, message: Message, at: datetime) -> bool:
        """Tell whether a message is meant."""
        if self.id is not None and not self._names(message):
            return False
        if self.reason is not None and self.reason != message.reason:
            return False
        if self.older_than is None:
            return True
        return message.parked_at is not None and at - message.parked_at >= self.older_than

    def _names(self, message: Message) -> bool:
        wanted = self.id or ""
        digits = len(wanted) >= _SHORTEST and message.sha256.startswith(wanted.lower())
        return wanted == message.identity.id or digits


def _parked_by_the_broker(
    properties: Properties,
) -> tuple[str, datetime | None, str | None] | None:
    """Read reason, instant and queue out of the broker's own words, if it was the broker.

    It parks what has used up its deliveries in the quarantine too. A replay takes its words out, so
    they are newer than a reason that the service wrote.
    """
    deaths = properties.header("x-death")
    found = [each for each in deaths if isinstance(each, dict)] if isinstance(deaths, list) else []
    last = next((each for each in found if each.get("queue") == QUARANTINE), None)
    if last is None:
        return None
    time = last.get("time")
    queues = (each.get("queue") for each in found if each is not last)
    came_by = next((queue for queue in queues if isinstance(queue, str)), QUARANTINE)
    return Reason.DELIVERY_LIMIT.value, time if isinstance(time, datetime) else None, came_by


def _instant(text: str | None) -> datetime | None:
    try:
        return parse_instant(text)
    except ValueError:
        return None


def _appliance(body: bytes) -> str | None:
    if len(body) > MAX_BYTES:
        return None
    try:
        document = parse_json(body)
    except Rejection:
        return None
    data = document.get("data") if isinstance(document, dict) else None
    try:
        named = data.get("appliance") if isinstance(data, dict) else None
        return _APPLIANCE.validate_python(named, strict=True)
    except ValidationError:
        return None


def selected(queue: HeldQueue, selection: Selection) -> Iterator[Held]:
    """Look at every message and give those that are meant."""
    at = now()
    for held in map(Held.of, queue.messages()):
        if selection.takes(held.message, at):
            yield held


def marked(queue: HeldQueue, marks: Counter[bytes]) -> Iterator[Held]:
    """Look for messages that were seen before, until all are found or there is nothing left.

    Args:
        queue: where they lie.
        marks: how many there were of each; two may be the same to the last byte.
    """
    left = marks.copy()
    messages = map(Held.of, queue.messages())
    while left.total() and (held := next(messages, None)):
        if left[held.message.mark]:
            left[held.message.mark] -= 1
            yield held
