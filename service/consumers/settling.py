"""What is done with each delivery: decode it, have it run, bring it to a confirmed end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.consumers import spans, telling
from service.consumers.telling import Story
from service.errors import Reason, Rejection
from service.execution import Received, Retry
from service.messages.commands import Command, decode, identify
from service.messages.encode import rejected_event
from service.messages.wire import Identity, now
from service.telemetry import about, log, traces
from service.topology import QUARANTINE

if TYPE_CHECKING:
    from aio_pika import IncomingMessage

    from service.execution.flight import Flights
    from service.messages.encode import Event
    from service.topology.publisher import Publisher

_PARK_AT = 2
"""A quarantined message is not run at its second redelivery, but parked."""


@dataclass(frozen=True)
class Delivery:
    """One message as it came: never an error yet, so that every one of them is settled here.

    Attributes:
        raw: the message with its true properties (FastStream replaces missing ones by random).
        queue: where it was consumed.
        first_connection: it came on the connection that this process began with.
    """

    raw: IncomingMessage
    queue: str
    first_connection: bool = False


class Settling:
    """Settles deliveries.

    Args:
        flights: runs commands.
        publisher: tells what came of them.
        source: the `source` of rejections.
    """

    def __init__(self, flights: Flights, publisher: Publisher, *, source: str) -> None:
        """Keep the parts."""
        self._flights = flights
        self._publisher = publisher
        self._source = source

    async def settle(self, delivery: Delivery) -> None:
        """Bring one delivery to a confirmed end. When this returns, it may be acked."""
        try:
            command = decode(
                delivery.raw.body, content_encoding=delivery.raw.properties.content_encoding
            )
        except Rejection as rejection:
            identity = identify(delivery.raw.body)
            with (
                spans.refusing(delivery.raw, delivery.queue, identity),
                about(trace_id=traces.trace_id() or _trace_of(identity.traceparent)),
            ):
                await self._reject(delivery, rejection, identity)
            return
        try:
            await self._process(delivery, command)
        except Exception:  # noqa: BLE001  a nack would bring it back to the same bug
            with about(command_id=command.envelope.id, command_type=command.envelope.type):
                log.exception("internal-error", queue=delivery.queue)
                await self._break_off(delivery, command)

    async def _process(self, delivery: Delivery, command: Command) -> None:
        story = Story.of(delivery.raw, delivery.queue)
        with spans.processing(delivery.raw, delivery.queue, command, story.attempts + 1):
            await self._run(delivery, command, story)

    async def _break_off(self, delivery: Delivery, command: Command) -> None:
        """End a command whose processing failed by a bug, without what its headers say.

        Its age is unknown then: a write that an earlier ledger may have known ends `unknown`.
        """
        received = Received(
            command,
            now(),
            had_intent=delivery.raw.headers.get(telling.INTENT) is True,
            redelivered=True,
            inherited=True,
        )
        try:
            end = await self._flights.give_up(received, broken=True)
        except Rejection as rejection:
            await self._reject(delivery, rejection, _identity(command))
        else:
            await self._publish(delivery, end, received)

    async def _run(self, delivery: Delivery, command: Command, story: Story) -> None:
        with about(
            command_id=command.envelope.id,
            command_type=command.envelope.type,
            correlation_id=command.correlation_id,
            appliance=command.data.appliance,
            trace_id=traces.trace_id() or _trace_of(command.envelope.traceparent),
        ):
            log.info(
                "command-received",
                attempt=story.attempts + 1,
                waited_ms=_waited_ms(delivery, command, story),
            )
            await self._answer(delivery, command, story)

    async def _answer(self, delivery: Delivery, command: Command, story: Story) -> None:
        received = story.received(command, first_connection=delivery.first_connection)
        alone = delivery.queue == QUARANTINE and not story.expired
        hopeless = alone and story.deliveries >= _PARK_AT
        try:
            if hopeless:
                end = await self._flights.give_up(received)
            else:
                end = await self._flights.settle(received)
        except Rejection as rejection:
            await self._reject(delivery, rejection, _identity(command))
            return
        if hopeless and not isinstance(end, Retry):
            reason = Reason.DELIVERY_LIMIT.value
            await telling.park(self._publisher, delivery.raw, reason, delivery.queue)
        await self._publish(delivery, end, received)

    async def _publish(self, delivery: Delivery, end: Event | Retry, received: Received) -> None:
        if isinstance(end, Retry):
            message, exchange = telling.retry_copy(delivery.raw, end, received.received_at)
            with spans.sending(exchange, delivery.queue):
                spans.note_message(message)
                await self._publisher.publish_until_confirmed(
                    message, exchange=exchange, routing_key=delivery.queue
                )
            return
        spans.note_end(end)
        await telling.tell(self._publisher, delivery.raw, end)

    async def _reject(self, delivery: Delivery, rejection: Rejection, identity: Identity) -> None:
        """Park the original and answer with the reason."""
        reason = rejection.reason.value
        event = rejected_event(rejection, identity, delivery.raw.body, self._source)
        spans.note_end(event)
        with about(
            command_id=identity.id,
            command_type=identity.type,
            correlation_id=identity.correlationid,
        ):
            await telling.park(self._publisher, delivery.raw, reason, delivery.queue)
            log.warning(
                "command-rejected",
                reason=reason,
                queue=delivery.queue,
                paths=[path for path, _ in rejection.errors],
            )
            await telling.tell(self._publisher, delivery.raw, event)


def _waited_ms(delivery: Delivery, command: Command, story: Story) -> int | None:
    """Say how long a command waited for its first receipt, in milliseconds; None if unknown.

    A copy, a redelivery and a replay waited for other reasons than too few couriers.
    """
    sent_at = command.envelope.time
    if sent_at is None or story.redelivered or telling.REASON in delivery.raw.headers:
        return None
    return max(0, round((story.received_at - sent_at).total_seconds() * 1000))


def _identity(command: Command) -> Identity:
    envelope = command.envelope
    return Identity(envelope.id, envelope.source, envelope.type, command.correlation_id)


def _trace_of(traceparent: str | None) -> str | None:
    """Cut the trace id out of a W3C traceparent."""
    return traceparent.split("-")[1] if traceparent else None
