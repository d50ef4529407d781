"""A client of the courier, as any producer could write it: one command out, one answer back."""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import aio_pika
from aio_pika.exceptions import ChannelNotFoundEntity, DeliveryError
from aiormq.exceptions import ChannelAccessRefused

from service.consumers.telling import CONTENT_TYPE
from service.errors import ConfigurationError
from service.messages.encode import page_type
from service.messages.wire import Json, format_instant
from service.topology import COMMANDS_EXCHANGE, EVENTS_EXCHANGE
from service.topology.connection import closed, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from aio_pika.abc import AbstractExchange, AbstractIncomingMessage, AbstractQueue

    from service.settings import Settings


@dataclass(frozen=True)
class Draft:
    """A command that is about to be sent.

    Attributes:
        name: such as `query-devices`.
        data: the contract's `data`.
        id: the idempotency key, together with `source`.
        correlation_id: what the result shall be correlated by.
        expires_in: seconds after which it shall not be begun any more.
    """

    name: str
    data: Mapping[str, Json] = field(repr=False)
    id: str
    source: str = "/courier/cli"
    correlation_id: str | None = None
    expires_in: float | None = None

    @property
    def streams(self) -> bool:
        """Tell whether pages come before the event that ends it."""
        return self.data.get("stream") is True

    def document(self) -> dict[str, Json]:
        """Make the CloudEvent."""
        now = datetime.now(UTC)
        document: dict[str, Json] = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": f"courier.{self.name}.v1",
            "time": format_instant(now),
            "datacontenttype": "application/json",
        }
        if self.correlation_id is not None:
            document["correlationid"] = self.correlation_id
        if self.expires_in is not None:
            document["expirytime"] = format_instant(now + timedelta(seconds=self.expires_in))
        return {**document, "data": dict(self.data)}


class Client:
    """Sends commands and waits for their answers."""

    def __init__(self, exchange: AbstractExchange, replies: AbstractQueue) -> None:
        """Use `opened`."""
        self._exchange = exchange
        self._replies = replies
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._pages: dict[tuple[str, str], Callable[[bytes], None]] = {}

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings) -> AsyncIterator[Client]:
        """Connect.

        Raises:
            ConfigurationError: the broker refuses us, or no courier has ever run there.
        """
        connection, _ = await connect(
            settings.broker_addresses("courier send"), settings.broker_tls()
        )
        try:
            channel = await connection.channel(on_return_raises=True)
            try:
                exchange = await channel.declare_exchange(COMMANDS_EXCHANGE, passive=True)
            except ChannelNotFoundEntity:
                raise ConfigurationError(
                    f"the broker has no exchange {COMMANDS_EXCHANGE}: start `courier serve` first"
                ) from None
            replies = await channel.declare_queue(exclusive=True, auto_delete=True)
            client = cls(exchange, replies)
            await replies.consume(client._on_reply, no_ack=True)
            yield client
        except ChannelAccessRefused as error:
            raise ConfigurationError(f"COURIER_BROKER_URL: {error}") from None
        finally:
            await closed(connection.close())

    async def send(self, draft: Draft, *, wait: bool) -> bytes | None:
        """Send a command, and wait for its answer if that is wanted.

        Args:
            draft: the command.
            wait: until the answer is there; else only until the broker has it.

        Returns:
            The event that ends the command, as it came; None when nobody waits for it.

        Raises:
            ConfigurationError: the broker has no queue for it.
        """
        document = draft.document()
        key = str(uuid.uuid4())
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[key] = answer
        message = aio_pika.Message(
            json.dumps(document).encode(),
            content_type=CONTENT_TYPE,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=str(document["id"]),
            correlation_id=key,
            reply_to=self._replies.name if wait else None,
        )
        try:
            await self._exchange.publish(message, str(document["type"]))
            return await answer if wait else None
        except DeliveryError as error:
            raise ConfigurationError(f"the broker did not take the command: {error!r}") from None
        finally:
            del self._waiting[key]

    async def hear_pages(self, draft: Draft, hear: Callable[[bytes], None]) -> None:
        """Be told the pages of a command that is sent after this, each before its answer.

        Args:
            draft: the command.
            hear: called with each page's event, as it came; one that comes twice is heard twice.
        """
        event_type = page_type(str(draft.document()["type"]))
        key = f"{event_type}.page.{draft.data['appliance']}"
        await self._replies.bind(EVENTS_EXCHANGE, key)
        self._pages[draft.source, draft.id] = hear

    async def _on_reply(self, message: AbstractIncomingMessage) -> None:
        if message.exchange == EVENTS_EXCHANGE:
            self._on_page(message.body)
            return
        answer = self._waiting.get(message.correlation_id or "")
        if answer is not None and not answer.done():
            answer.set_result(message.body)

    def _on_page(self, body: bytes) -> None:
        """Pass a page on, unless it is another's: all of an appliance come by here."""
        command = json.loads(body)["data"]["command"]
        hear = self._pages.get((command["source"], command["id"]))
        if hear is not None:
            hear(body)
