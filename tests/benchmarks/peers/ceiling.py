"""The practical ceiling: aiormq, aiohttp, uvloop and msgspec: what Python libraries can do here."""

from contextlib import AsyncExitStack

import aiohttp
import aiormq
import msgspec
import uvloop
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic
from yarl import URL

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


class Client:
    """One appliance: its address and headers are made once, its connections stay open."""

    def __init__(self, appliance: Appliance) -> None:
        self._url = URL(appliance.url + BALANCE_PATH)
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=appliance.tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Authorization": appliance.authorization, "Accept": "application/json"},
            timeout=aiohttp.ClientTimeout(total=30),
            raise_for_status=True,
        )

    async def balance(self) -> Json:
        """Read the balance."""
        async with self.session.get(self._url) as answer:
            body: Json = msgspec.json.decode(await answer.read())
            return body

    async def activate(self, license_key: str) -> None:
        """Send a licence."""
        body = msgspec.json.encode({"license": license_key})
        headers = {"Content-Type": "application/json"}
        async with self.session.post(self._url, data=body, headers=headers) as answer:
            await answer.read()


class Worker:
    """Runs the commands that are delivered.

    Args:
        clients: one for each appliance, by name.
        consuming: the channel that brings the commands.
        publishing: another one, with confirms.
    """

    def __init__(
        self, clients: dict[str, Client], consuming: AbstractChannel, publishing: aiormq.Channel
    ) -> None:
        self._clients = clients
        self._consuming = consuming
        self._publishing = publishing

    async def run(self, delivery: DeliveredMessage) -> None:
        """Do the job, and ack when the event was confirmed."""
        command = msgspec.json.decode(delivery.body)
        started = instant()
        client = self._clients[command["data"]["appliance"]]
        before = await client.balance()
        await client.activate(command["data"]["license"])
        event = finished(command, started=started, before=before, after=await client.balance())
        confirm = await self._publishing.basic_publish(
            msgspec.json.encode(event.document),
            exchange=EVENTS,
            routing_key=event.routing_key,
            properties=Basic.Properties(
                content_type="application/cloudevents+json",
                delivery_mode=2,
                message_id=event.id,
                correlation_id=event.correlation_id,
            ),
            mandatory=True,
            # The confirm is awaited; that the bytes left is not news.
            wait=False,
        )
        if not isinstance(confirm, Basic.Ack):
            raise TypeError(f"the broker did not take the event: {confirm}")
        assert delivery.delivery_tag is not None
        await self._consuming.basic_ack(delivery.delivery_tag, wait=False)


async def main() -> None:
    """Consume until told to stop."""
    settings = Settings.read()
    async with AsyncExitStack() as stack:
        clients = {name: Client(each) for name, each in settings.appliances().items()}
        for client in clients.values():
            await stack.enter_async_context(client.session)
        connection = await aiormq.connect(settings.broker_url)
        stack.push_async_callback(connection.close)
        consuming = await connection.channel(publisher_confirms=False)
        publishing = await connection.channel(publisher_confirms=True, on_return_raises=True)
        # Only the concrete class says that it need not wait for the socket.
        assert isinstance(publishing, aiormq.Channel)
        await consuming.basic_qos(prefetch_count=settings.in_flight)
        worker = Worker(clients, consuming, publishing)
        await consuming.basic_consume(settings.queue, worker.run)
        await until_stopped()


if __name__ == "__main__":
    uvloop.run(main())
