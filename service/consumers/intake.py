"""The consuming connections: what FastStream does for us, and what it must be kept from doing."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, cast

from aio_pika import DeliveryMode
from faststream import AckPolicy
from faststream.rabbit import Channel, ExchangeType, QueueType, RabbitBroker, RabbitExchange
from faststream.rabbit import RabbitQueue as FastStreamQueue

from service.consumers.settling import Delivery
from service.telemetry import log
from service.topology import quarantine_queue, work_queues
from service.topology.connection import (
    DISCONNECTED,
    Watch,
    closed,
    node_of,
    opened,
    told_to_stop,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

    from aio_pika import RobustConnection, RobustQueue
    from faststream.rabbit import RabbitMessage
    from faststream.rabbit.schemas.queue import QuorumQueueArgs
    from faststream.rabbit.subscriber.usecase import RabbitSubscriber
    from yarl import URL

    from service.topology import Queue
    from service.topology.ledger_hold import LedgerHold

_CANCEL_TIMEOUT = 2.0
"""Seconds that a broker has to take a consumer away."""


class _Broker(RabbitBroker):
    """FastStream's broker, on a connection of ours; the administrator reads its name beside it."""

    def __init__(self, addresses: Sequence[URL], tls: ssl.SSLContext | None, watch: Watch) -> None:
        super().__init__(
            addresses[0], graceful_timeout=None, apply_types=False, logger=None, fail_fast=True
        )
        name = f"courier {watch.name}"
        self._addresses = [each.update_query({"name": name}) for each in addresses]
        self._tls = tls
        self._watch = watch

    async def _connect(self) -> RobustConnection:
        """Connect, and give it to FastStream as its own method does."""
        connection = await opened(self._addresses, self._tls)
        try:
            self._watch.follow(connection)
            self.config.connect(connection)
            self._channel = await self.config.channel_manager.get_channel()
        except BaseException:
            await closed(connection.close())
            raise
        return connection


class Intake:
    """Consumes every work queue and the quarantine.

    Args:
        addresses: of the broker's nodes; the first is the one to begin at.
        tls: for `amqps://`.
        prefetch: deliveries per queue that are looked at at once.
        settle: brings one delivery to its end; when it returns, the delivery is acked.
        hold: the ledger's, on the connection of the work queues; nothing is run without it.
    """

    def __init__(
        self,
        addresses: Sequence[URL],
        tls: ssl.SSLContext | None,
        *,
        prefetch: int,
        settle: Callable[[Delivery], Awaitable[None]],
        hold: LedgerHold,
    ) -> None:
        """Build the two consuming connections; `connect` opens the first."""
        takes_any_delivery_mode()
        self._settle = settle
        self._running: set[asyncio.Task[object]] = set()
        self._hold = hold
        working, quarantine = Watch("consuming"), Watch("quarantine")
        self._working = _Broker(addresses, tls, working)
        self._quarantine = _Broker(addresses, tls, quarantine)
        for queue in work_queues():
            self._subscribe(self._working, working, queue, prefetch)
        self._subscribe(self._quarantine, quarantine, quarantine_queue(), 1)

    async def connect(self) -> None:
        """Connect, and hold the virtual host for the ledger.

        Raises:
            ConfigurationError: another ledger serves it; see `LedgerHold.acquire`.
        """
        await self._hold.acquire(await self._working.connect())

    async def start(self) -> None:
        """Begin to consume."""
        await self._working.start()
        await self._quarantine.start()

    async def stop(self, seconds: float) -> None:
        """Stop intake, let what runs come to its end, disconnect.

        What is not finished in time goes back to its queue when the connection closes.

        Args:
            seconds: how long that may take.
        """
        await asyncio.gather(_stop_intake(self._working), _stop_intake(self._quarantine))
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        left = len(self._running)
        if left:
            log.warning("drain-incomplete", deliveries=left)
        await asyncio.gather(closed(self._working.stop()), closed(self._quarantine.stop()))

    @property
    def idle_reason(self) -> str | None:
        """Say why nothing is consumed, or None when everything is."""
        for broker in (self._working, self._quarantine):
            if not _node(broker):
                return DISCONNECTED
            subscribers = cast("list[RabbitSubscriber]", broker.subscribers)
            if any(_consumer(subscriber) is None for subscriber in subscribers):
                return "consumer-missing"
        return None

    @property
    def connected(self) -> dict[str, str]:
        """Name the node that each consuming connection leads to; empty while it is lost."""
        return {"consuming": _node(self._working), "quarantine": _node(self._quarantine)}

    def _subscribe(self, broker: RabbitBroker, watch: Watch, queue: Queue, prefetch: int) -> None:
        exchange = RabbitExchange(
            queue.bound_to or "", type=ExchangeType.TOPIC, durable=True, declare=False
        )

        async def read(message: RabbitMessage) -> Delivery:
            return Delivery(message.raw_message, queue.name, first_connection=not watch.was_lost)

        subscriber = broker.subscriber(
            FastStreamQueue(
                queue.name,
                queue_type=QueueType.QUORUM,
                durable=True,
                routing_key=queue.routing_key,
                arguments=cast("QuorumQueueArgs", queue.arguments),
            ),
            exchange,
            # Safety net: whatever escapes `_settle` comes back and ends in quarantine.
            ack_policy=AckPolicy.NACK_ON_ERROR,
            channel=Channel(prefetch_count=prefetch),
            decoder=read,
            no_reply=True,
        )
        subscriber(self._consume)

    async def _consume(self, delivery: Delivery) -> None:
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._running.add(task)
        try:
            await self._hold.wait_until_held()
            await self._settle(delivery)
        except Exception:
            # FastStream would keep it to itself. The nack that follows counts towards quarantine.
            log.exception("internal-error", queue=delivery.queue)
            raise
        finally:
            self._running.discard(task)


def _consumer(subscriber: RabbitSubscriber) -> tuple[RobustQueue, str] | None:
    """Look where FastStream keeps a subscriber's consumer; it has no public word for it."""
    queue, tag = subscriber._queue_obj, subscriber._consumer_tag  # noqa: SLF001
    return None if queue is None or tag is None else (queue, tag)


def _node(broker: RabbitBroker) -> str:
    connection = broker._connection  # noqa: SLF001  FastStream has no public word for it
    return "" if connection is None else node_of(connection)


async def _stop_intake(broker: RabbitBroker) -> None:
    """Cancel the consumers first: FastStream by itself waits first and swallows what arrives."""
    subscribers = cast("list[RabbitSubscriber]", broker.subscribers)
    await asyncio.gather(*(_cancel(subscriber) for subscriber in subscribers))


async def _cancel(subscriber: RabbitSubscriber) -> None:
    consumer = _consumer(subscriber)
    if consumer is None:
        return
    queue, tag = consumer
    subscriber._consumer_tag = None  # noqa: SLF001
    # On a connection that has just closed the library raises what ended it, or a bare Exception.
    with contextlib.suppress(Exception):
        try:
            async with asyncio.timeout(_CANCEL_TIMEOUT):
                await queue.cancel(tag)
        except asyncio.CancelledError:
            if told_to_stop():
                raise


def takes_any_delivery_mode() -> None:
    """Have aio-pika take a delivery mode that AMQP does not know, which RabbitMQ 4 passes on.

    Otherwise it raises before anybody sees the message: never acked, never answered, and one place
    less in the prefetch window for good.
    """

    def known(_: type[DeliveryMode], mode: object) -> DeliveryMode | None:
        return DeliveryMode.PERSISTENT if isinstance(mode, int) else None

    DeliveryMode._missing_ = classmethod(known)  # type: ignore[assignment,method-assign]
