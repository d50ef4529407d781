"""The reference: aio-pika and httpx on aiohttp's transport, and nothing around the three calls.

As somebody writes it who wants it fast: a client per appliance whose connections stay open, TLS
contexts made once, the header of Basic made once, each delivery in a task of its own (aio-pika
sees to that), confirms that other deliveries need not wait for.
"""

import asyncio
import json
from contextlib import AsyncExitStack

import aio_pika
import httpx
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from httpx_aiohttp import AiohttpTransport

from tests.benchmarks.peers.shared import (
    BALANCE_PATH,
    EVENTS,
    Appliance,
    Json,
    Settings,
    finished,
    instant,
    until_stopped,
)


def client_of(appliance: Appliance) -> httpx.AsyncClient:
    """Make the client for one appliance; it connects when it is used."""
    return httpx.AsyncClient(
        base_url=appliance.url,
        headers={"Authorization": appliance.authorization, "Accept": "application/json"},
        transport=AiohttpTransport(verify=appliance.tls, trust_env=False),
        timeout=30,
        trust_env=False,
    )


class Worker:
    """Runs the commands that are delivered.

    Args:
        clients: one for each appliance, by name.
        events: where the events are published.
    """

    def __init__(self, clients: dict[str, httpx.AsyncClient], events: AbstractExchange) -> None:
        self._clients = clients
        self._events = events

    async def run(self, delivery: AbstractIncomingMessage) -> None:
        """Do the job, and ack when the event was confirmed."""
        command = json.loads(delivery.body)
        started = instant()
        client = self._clients[command["data"]["appliance"]]
        before = await _balance(client)
        answer = await client.post(BALANCE_PATH, json={"license": command["data"]["license"]})
        answer.raise_for_status()
        event = finished(command, started=started, before=before, after=await _balance(client))
        message = aio_pika.Message(
            json.dumps(event.document, separators=(",", ":")).encode(),
            content_type="application/cloudevents+json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=event.id,
            correlation_id=event.correlation_id,
        )
        await self._events.publish(message, event.routing_key)
        await delivery.ack()


async def _balance(client: httpx.AsyncClient) -> Json:
    answer = await client.get(BALANCE_PATH)
    body: Json = answer.raise_for_status().json()
    return body


async def main() -> None:
    """Consume until told to stop."""
    settings = Settings.read()
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(client_of(appliance))
            for name, appliance in settings.appliances().items()
        }
        connection = await aio_pika.connect_robust(settings.broker_url)
        await stack.enter_async_context(connection)
        publishing = await connection.channel(on_return_raises=True)
        worker = Worker(clients, await publishing.get_exchange(EVENTS, ensure=False))
        consuming = await connection.channel(publisher_confirms=False)
        await consuming.set_qos(prefetch_count=settings.in_flight)
        queue = await consuming.get_queue(settings.queue)
        await queue.consume(worker.run)
        await until_stopped()


if __name__ == "__main__":
    asyncio.run(main())
