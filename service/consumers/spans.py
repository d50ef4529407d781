"""What a trace tells of deliveries and of the messages that settle them.

Named by OpenTelemetry's semantic conventions for messaging and for RabbitMQ (1.44, development);
what no convention has a word for begins with `courier.`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from service.messages.encode import REJECTED
from service.messages.results import Conclusion
from service.telemetry import traces
from service.telemetry.traces import Kind, Place

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from aio_pika import IncomingMessage, Message

    from service.messages.commands import Command
    from service.messages.encode import Event
    from service.messages.wire import Identity
    from service.telemetry.traces import Attributes

_DEFAULT_EXCHANGE = "amq.default"
_FAILURES = frozenset({Conclusion.FAILED.value, Conclusion.UNKNOWN.value})


def processing(
    raw: IncomingMessage, queue: str, command: Command, attempt: int
) -> AbstractContextManager[None]:
    """Tell of a delivery that brings a command.

    Args:
        raw: the message.
        queue: where it was consumed.
        command: what it says.
        attempt: the how manieth that sends a request, if it does.
    """
    if not traces.are_on():
        return traces.NOTHING
    envelope = command.envelope
    attributes: Attributes = {
        "messaging.message.id": raw.message_id or envelope.id,
        "messaging.message.conversation_id": command.correlation_id,
        "cloudevents.event_id": envelope.id,
        "cloudevents.event_source": envelope.source,
        "courier.command.type": envelope.type,
        "courier.appliance": command.data.appliance,
        "courier.attempt": attempt,
    }
    return _delivery(raw, queue, _place(envelope.traceparent, envelope.tracestate), attributes)


def refusing(raw: IncomingMessage, queue: str, identity: Identity) -> AbstractContextManager[None]:
    """Tell of a delivery that brings no command, as far as it can be read."""
    if not traces.are_on():
        return traces.NOTHING
    attributes = {
        "messaging.message.id": raw.message_id or identity.id,
        "messaging.message.conversation_id": identity.correlationid or identity.id,
        "cloudevents.event_id": identity.id,
        "cloudevents.event_source": identity.source,
        "courier.command.type": identity.type,
    }
    return _delivery(raw, queue, _place(identity.traceparent, identity.tracestate), attributes)


def sending(
    exchange: str, routing_key: str, *, name: str | None = None
) -> AbstractContextManager[None]:
    """Tell of a message from its making to its confirm.

    Args:
        exchange: where it is published; empty for the default exchange.
        routing_key: its key.
        name: what the span is called by, where the exchange does not say it.
    """
    if not traces.are_on():
        return traces.NOTHING
    attributes = {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": "send",
        "messaging.operation.name": "send",
        "messaging.destination.name": _destination(exchange, routing_key),
        "messaging.rabbitmq.destination.routing_key": routing_key or None,
    }
    return traces.span(f"send {name or exchange or _DEFAULT_EXCHANGE}", Kind.PRODUCER, attributes)


def note_message(message: Message) -> None:
    """Say of the message that is being sent what its properties say."""
    if traces.are_on():
        traces.note(
            {
                "messaging.message.id": message.message_id,
                "messaging.message.conversation_id": message.correlation_id,
                "messaging.message.body.size": len(message.body),
            }
        )


def note_end(event: Event) -> None:
    """Say how the command of the delivery ended."""
    if not traces.are_on():
        return
    if event.type == REJECTED:
        traces.note({"courier.conclusion": "rejected", "error.type": event.outcome})
        return
    traces.note({"courier.conclusion": event.outcome})
    # The event may be one of the ledger's, of which nothing else is known any more.
    error = json.loads(event.data)["error"] if event.outcome != Conclusion.SUCCEEDED.value else None
    if error and event.outcome in _FAILURES:
        traces.fail(error["code"])
    elif error:
        traces.note({"error.type": error["code"]})


def _delivery(
    raw: IncomingMessage,
    queue: str,
    sender: Place | None,
    attributes: Attributes,
) -> AbstractContextManager[None]:
    routing_key = raw.routing_key or ""
    return traces.delivery(
        f"process {queue}",
        sender,
        {
            "messaging.system": "rabbitmq",
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.destination.name": _destination(raw.exchange or "", routing_key, queue),
            "messaging.rabbitmq.destination.routing_key": routing_key or None,
            "messaging.rabbitmq.message.delivery_tag": raw.delivery_tag,
            "messaging.message.body.size": len(raw.body),
            **attributes,
        },
    )


def _destination(*parts: str) -> str:
    """Join exchange, routing key and queue, without what is empty or said already."""
    return ":".join(dict.fromkeys(part for part in parts if part)) or _DEFAULT_EXCHANGE


def _place(traceparent: str | None, tracestate: str | None) -> Place | None:
    return Place(traceparent, tracestate) if traceparent else None
