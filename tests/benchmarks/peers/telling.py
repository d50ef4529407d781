"""Publishing an event with pika: persistent, mandatory, confirmed."""

import pika  # type: ignore[import-untyped]  # it says nothing about its types
from pika.adapters.blocking_connection import (  # type: ignore[import-untyped]  # the same
    BlockingChannel,
)

from tests.benchmarks.peers.blocking import encoded
from tests.benchmarks.peers.shared import EVENTS, Finished


def open_channel(broker_url: str) -> BlockingChannel:
    """Connect, and open a channel whose publishes wait for their confirm."""
    parameters = pika.URLParameters(broker_url)
    # A connection that only publishes answers no heartbeat while there is nothing to do.
    parameters.heartbeat = 0
    channel = pika.BlockingConnection(parameters).channel()
    channel.confirm_delivery()
    return channel


def tell(channel: BlockingChannel, event: Finished) -> None:
    """Publish, and wait for the confirm; what is returned or refused raises."""
    properties = pika.BasicProperties(
        content_type="application/cloudevents+json",
        delivery_mode=2,
        message_id=event.id,
        correlation_id=event.correlation_id,
    )
    channel.basic_publish(EVENTS, event.routing_key, encoded(event), properties, mandatory=True)
