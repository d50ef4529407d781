"""The messages that settle a delivery, and what a delivery's headers say of the ones before it.

Events, replies, retry copies and parked copies; and `Story`, the way back from a copy's headers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from aio_pika import DeliveryMode, Message

from service.consumers import spans
from service.consumers.headers import (
    fitting,
    read_code,
    read_count,
    read_died,
    read_instant,
    writable,
)
from service.errors import PublishFailed, Reason
from service.execution import Received, Retry
from service.messages.wire import format_instant, now
from service.telemetry import log, traces
from service.topology import (
    EVENTS_EXCHANGE,
    OWN_PREFIX,
    PARKED,
    QUARANTINE,
    QUARANTINE_LIMIT,
    WORK_LIMIT,
    retry_name,
)

if TYPE_CHECKING:
    from datetime import datetime

    from aio_pika import IncomingMessage

    from service.errors import Code
    from service.messages.commands import Command
    from service.messages.encode import Event
    from service.topology.publisher import Publisher

CONTENT_TYPE = "application/cloudevents+json"
ATTEMPT = "courier-attempt"
RECEIVED_AT = "courier-received-at"
INTENT = "courier-intent"
LAST_ERROR = "courier-last-error"
REASON = "courier-reason"
PARKED_AT = "courier-parked-at"
CAME_BY = "courier-queue"
EXPIRATION = "courier-expiration"

_USED_UP = WORK_LIMIT + QUARANTINE_LIMIT + 2  # deliveries of what was parked for their number
_PUT_BACK = timedelta(days=1)
"""By how much a clock may have been put back since our own copy was made."""
_DIRECT_REPLY = "amq.rabbitmq.reply-to."
_ROUTES_COPIES = frozenset({"cc", "bcc"})
"""RabbitMQ's sender-selected distribution: in a copy they would send it elsewhere as well."""


@dataclass(frozen=True)
class Story:
    """What happened to a command before this delivery.

    Attributes:
        delayed: this is a copy that waited in a retry queue.
        known_since: since when there has been such a command; None if the AMQP message does not
            tell.
        deliveries: how often the broker has brought this very message before.
        lost: how many deliveries did not come to their end, those before a quarantine included.
        expired: the broker dead-lettered it because the producer's `expiration` passed.
    """

    attempts: int
    received_at: datetime
    delayed: bool
    had_intent: bool
    last_error: Code | None
    known_since: datetime | None
    deliveries: int
    redelivered: bool
    lost: int
    expired: bool

    @classmethod
    def of(cls, raw: IncomingMessage, queue: str) -> Story:
        """Read it from the headers; what makes no sense there counts as absent."""
        headers = raw.headers
        received_at = read_instant(headers.get(RECEIVED_AT), ahead=_PUT_BACK)
        ages = [age for age in (read_instant(headers.get(PARKED_AT)), _sent_at(raw)) if age]
        deliveries = read_count(headers.get("x-delivery-count"))
        exhausted = read_died(headers.get("x-death"), "delivery_limit")
        replayed = headers.get(REASON) == Reason.DELIVERY_LIMIT
        return cls(
            attempts=read_count(headers.get(ATTEMPT)),
            received_at=received_at or now(),
            delayed=received_at is not None,
            had_intent=headers.get(INTENT) is True,
            last_error=read_code(headers.get(LAST_ERROR)),
            # A copy that waited was judged when it was received: nothing older counts any more.
            known_since=received_at or min(ages, default=None),
            deliveries=deliveries,
            redelivered=bool(raw.redelivered or deliveries or received_at)
            or exhausted
            # What had used up its deliveries before it was parked may have run.
            or replayed,
            lost=deliveries + exhausted * (WORK_LIMIT + 1) + replayed * _USED_UP,
            expired=queue == QUARANTINE and read_died(headers.get("x-death"), "expired"),
        )

    def received(self, command: Command, *, first_connection: bool = False) -> Received:
        """Say it to the execution."""
        return Received(
            command,
            self.received_at,
            delayed=self.delayed,
            attempts=self.attempts,
            deliveries=self.lost,
            had_intent=self.had_intent,
            redelivered=self.redelivered,
            inherited=self.redelivered and first_connection,
            last_error=self.last_error,
            known_since=self.known_since,
            expired=self.expired,
        )


def event_message(event: Event, *, correlation_id: str | None = None) -> Message:
    """Make the AMQP message of an event.

    Args:
        event: what is told.
        correlation_id: the request's own, for a reply; else the event's.
    """
    return Message(
        event.below(traces.here()).body(),
        content_type=CONTENT_TYPE,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=event.id,
        correlation_id=correlation_id or event.correlation_id,
        timestamp=event.time,
        type=event.type,
    )


def retry_copy(raw: IncomingMessage, retry: Retry, received_at: datetime) -> tuple[Message, str]:
    """Make the copy that comes back after a while, and name the exchange where it waits."""
    copy = _copy(raw, without_broker_headers=True)
    copy.headers |= {
        ATTEMPT: retry.attempts,
        RECEIVED_AT: format_instant(received_at),
        INTENT: retry.intent,
    }
    if retry.error is not None:
        copy.headers[LAST_ERROR] = retry.error.value
    return copy, retry_name(retry.delay)


def parked_copy(raw: IncomingMessage, reason: str, queue: str) -> Message:
    """Make the copy that a person may look at: body and properties as they came.

    Its `expiration` becomes a header: as a property it would let the broker drop the message.
    """
    copy = _copy(raw)
    copy.headers |= {REASON: reason, PARKED_AT: format_instant(now()), CAME_BY: queue}
    if raw.expiration is not None:
        copy.headers[EXPIRATION] = raw.properties.expiration
    return copy


async def announce(publisher: Publisher, event: Event) -> float:
    """Publish an event to whoever is bound for it.

    Returns:
        How long the broker took to confirm it, in milliseconds.
    """
    began = time.perf_counter()
    with spans.sending(EVENTS_EXCHANGE, event.routing_key):
        message = event_message(event)
        spans.note_message(message)
        await publisher.publish_until_confirmed(
            message, exchange=EVENTS_EXCHANGE, routing_key=event.routing_key
        )
    return round((time.perf_counter() - began) * 1000, 1)


async def tell_page(publisher: Publisher, event: Event) -> None:
    """Publish what is told before a command's end; it goes to no `reply_to`."""
    took = await announce(publisher, event)
    log.debug("page-told", event_id=event.id, duration_ms=took)


async def tell(publisher: Publisher, raw: IncomingMessage, event: Event) -> None:
    """Publish an event, and after its confirm the same to the one who asked for an answer."""
    took = await announce(publisher, event)
    log.info("result-told", event_id=event.id, duration_ms=took)
    queue = raw.reply_to
    if not queue:
        return
    if queue.startswith(OWN_PREFIX):
        log.warning("reply-ignored", reply_to=queue, reason="the name is the courier's own")
        return
    # RabbitMQ's direct reply-to is no queue: it takes the reply and returns it all the same.
    mandatory = not queue.startswith(_DIRECT_REPLY)
    try:
        with spans.sending("", queue):
            reply = event_message(event, correlation_id=raw.correlation_id)
            spans.note_message(reply)
            await publisher.publish(reply, exchange="", routing_key=queue, mandatory=mandatory)
    except PublishFailed as error:
        log.warning("reply-undeliverable", reply_to=queue, reason=str(error))
    except Exception:  # noqa: BLE001  the event is published: a reply must not undo that
        log.exception("internal-error")


async def park(publisher: Publisher, raw: IncomingMessage, reason: str, queue: str) -> None:
    """Keep the original, unchanged, where a person can find it."""
    copy = parked_copy(raw, reason, queue)
    with spans.sending(PARKED, PARKED, name=PARKED):
        spans.note_message(copy)
        await publisher.publish_until_confirmed(copy, exchange=PARKED, routing_key=PARKED)


def _copy(raw: IncomingMessage, *, without_broker_headers: bool = False) -> Message:
    """Copy a message with all its properties.

    But for `user_id`: the broker refuses a publisher who is not that user.
    """
    headers = {
        name: writable(value)
        for name, value in raw.headers.items()
        if name.lower() not in _ROUTES_COPIES
        and not (without_broker_headers and name.lower().startswith("x-"))
    }
    return Message(
        raw.body,
        headers=fitting(headers),
        content_type=raw.content_type,
        content_encoding=raw.content_encoding,
        delivery_mode=DeliveryMode.PERSISTENT,
        priority=raw.priority,
        correlation_id=raw.correlation_id,
        reply_to=raw.reply_to,
        message_id=raw.message_id,
        timestamp=raw.timestamp,
        type=raw.type,
        app_id=raw.app_id,
    )


def _sent_at(raw: IncomingMessage) -> datetime | None:
    """Read when the producer sent it: the property has whole seconds, so it was before the next."""
    sent_at = read_instant(raw.timestamp)
    return sent_at + timedelta(seconds=1) if sent_at is not None else None
