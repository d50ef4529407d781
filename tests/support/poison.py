"""Messages that our own AMQP library can neither write nor read: published with another one."""

import asyncio

import pika  # type: ignore[import-untyped]  # it says nothing about its types


async def poison(url: str, body: bytes, *, exchange: str, routing_key: str) -> None:
    """Publish a message whose correlation id is not UTF-8; it is confirmed when this returns."""
    await asyncio.to_thread(_publish, url, body, exchange, routing_key)


def _publish(url: str, body: bytes, exchange: str, routing_key: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    properties = pika.BasicProperties(delivery_mode=2, correlation_id=b"\xff\xfe")
    channel.basic_publish(exchange, routing_key, body, properties, mandatory=True)
    connection.close()
