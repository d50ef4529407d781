"""The publishing connection: nothing counts as told before the broker has confirmed it.

A connection of its own, so that an alarm that blocks publishing does not stop the acks on the
consuming one. Published with aio-pika itself: FastStream's `publish(timeout=)` is ignored.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aio_pika.exceptions import AMQPError
from aiormq.exceptions import DeliveryError
from pamqp.commands import Basic

from service.errors import PublishFailed
from service.telemetry import log
from service.topology.connection import LONGEST_PAUSE, Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aio_pika
    from aio_pika.abc import AbstractRobustChannel, AbstractRobustConnection

CONFIRM_TIMEOUT = 10.0
"""Seconds to wait for a confirm. A publish that timed out may arrive all the same."""


class Publisher:
    """Publishes with confirms, mandatory and persistent.

    Args:
        connection: used for nothing but publishing and declaring.
        channel: opened with `on_return_raises`, so that a message without a queue is an error.
    """

    def __init__(
        self, connection: AbstractRobustConnection, channel: AbstractRobustChannel
    ) -> None:
        """Use `open`."""
        self.connection = connection
        self._channel = channel
        self._sending: dict[str, asyncio.Future[None]] = {}

    @property
    def idle_reason(self) -> str | None:
        """Say why nothing can be published, or None when it can."""
        return None if self.connection.connected.is_set() else "broker-disconnected"

    @classmethod
    async def open(cls, connection: AbstractRobustConnection) -> Publisher:
        """Open the publishing channel."""
        watch = Watch("publishing")
        connection.close_callbacks.add(watch.lost)
        connection.reconnect_callbacks.add(watch.restored)
        channel = await connection.channel(on_return_raises=True)
        return cls(connection, channel)

    async def publish(
        self,
        message: aio_pika.Message,
        *,
        exchange: str,
        routing_key: str,
        mandatory: bool = True,
    ) -> None:
        """Publish once.

        Args:
            message: what is published; no two with one `message_id` are in flight at once.
            exchange: where; empty for the default exchange.
            routing_key: its key.
            mandatory: whether it is an error when no queue takes it.

        Raises:
            PublishFailed: returned, refused, or not confirmed in time.
        """
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT), self._alone(message.message_id):
                target = await self._channel.get_exchange(exchange, ensure=False)
                answer = await target.publish(message, routing_key, mandatory=mandatory)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise PublishFailed("the connection was lost before the confirm") from None
        except DeliveryError as error:
            raise PublishFailed(f"the broker answered {error.frame.name}") from None
        except (AMQPError, OSError, RuntimeError, TimeoutError) as error:
            raise PublishFailed(repr(error)[:200]) from None
        if not isinstance(answer, Basic.Ack):
            raise PublishFailed(f"the broker answered {type(answer).__name__}")

    async def publish_until_confirmed(
        self, message: aio_pika.Message, *, exchange: str, routing_key: str
    ) -> None:
        """Publish, again and again, until the broker confirms. Only cancellation ends it sooner."""
        pause = 0.1
        while True:
            try:
                return await self.publish(message, exchange=exchange, routing_key=routing_key)
            except PublishFailed as error:
                log.warning(
                    "publish-repeated", exchange=exchange, reason=str(error), retry_in=pause
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    @asynccontextmanager
    async def _alone(self, message_id: str | None) -> AsyncIterator[None]:
        """Never have two messages with one id in flight: their outcomes would be mixed up."""
        if message_id is None:
            yield
            return
        while (other := self._sending.get(message_id)) is not None:
            await asyncio.wait([other])
        mine = self._sending[message_id] = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            del self._sending[message_id]
            mine.set_result(None)
