"""The publishing connection: nothing counts as told before the broker has confirmed it.

A connection of its own, so that an alarm that blocks publishing does not stop the acks on the
consuming one. Published with aio-pika itself: FastStream's `publish(timeout=)` is ignored.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Self

import aio_pika
from aio_pika.exceptions import AMQPError
from aiormq.exceptions import ChannelAccessRefused, DeliveryError
from pamqp.commands import Basic
from prometheus_client import Histogram

from service.errors import PublishFailed, PublishRefused
from service.telemetry import log
from service.topology import PARKED
from service.topology.connection import DISCONNECTED, LONGEST_PAUSE, Watch, told_to_stop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from aio_pika.abc import AbstractRobustChannel, AbstractRobustConnection

NOWHERE = "courier.nowhere"
"""A routing key that no queue has, nor a binding of the direct exchange of parked messages."""
CONFIRM_TIMEOUT = 10.0
"""Seconds after which a confirm is late."""
REFUSAL_LASTS = 5.0
"""Seconds for which an exchange that the broker's user may not use is not tried again."""
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 10)
PROBE_PAUSE = 1.0
"""Seconds between two questions whether the broker takes messages."""


class Publisher:
    """Publishes with confirms, mandatory and persistent.

    Args:
        connection: used for nothing but publishing and declaring.
        channel: opened with `on_return_raises`, so that a message without a queue is an error.
        once: another one, for what is published once: the broker closes a channel on which it
            refuses something, and whatever waits there for its confirm is in doubt.
        stuck_after: seconds after which whoever cannot publish makes the service not ready.

    Attributes:
        failed: set when the broker did not take a message; whoever looks after that clears it.
        confirms: how long the broker takes to confirm, in seconds.
    """

    def __init__(
        self,
        connection: AbstractRobustConnection,
        channel: AbstractRobustChannel,
        once: AbstractRobustChannel,
        *,
        stuck_after: float = 30.0,
    ) -> None:
        """Use `open`."""
        self._stuck_after = stuck_after
        self.connection = connection
        self.failed = asyncio.Event()
        self.confirms = Histogram(
            "courier_publish_seconds",
            "From publishing a message to the broker's confirm.",
            buckets=_BUCKETS,
            registry=None,
        )
        self._channel = channel
        self._once = once
        self._sending: dict[str, asyncio.Future[None]] = {}
        self._stuck: set[object] = set()
        self._permits: set[str] = set()
        self._refusals: dict[str, float] = {}
        self._asking = asyncio.Lock()

    @property
    def idle_reason(self) -> str | None:
        """Say why nothing can be published, or None when it can."""
        if not self.connected["publishing"]:
            return DISCONNECTED
        return "publishing-blocked" if self._stuck else None

    @property
    def connected(self) -> dict[str, bool]:
        """Tell whether the connection stands, by its name."""
        return {"publishing": self.connection.connected.is_set()}

    @classmethod
    async def open(cls, connection: AbstractRobustConnection) -> Self:
        """Open the publishing channels."""
        watch = Watch("publishing")
        connection.close_callbacks.add(watch.lost)
        connection.reconnect_callbacks.add(watch.restored)
        channel = await connection.channel(on_return_raises=True)
        return cls(connection, channel, await connection.channel(on_return_raises=True))

    async def publish(
        self,
        message: aio_pika.Message,
        *,
        exchange: str,
        routing_key: str,
        mandatory: bool = True,
    ) -> None:
        """Publish once, and wait for the confirm no longer than `CONFIRM_TIMEOUT`.

        Args:
            message: what is published; no two with one `message_id` are in flight at once.
            exchange: where; empty for the default exchange.
            routing_key: its key.
            mandatory: whether it is an error when no queue takes it.

        Raises:
            PublishFailed: returned, refused, or not confirmed in time; it may arrive all the same.
        """
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT):
                async with self._permitted(exchange):
                    await self._confirmed(
                        self._once, message, exchange, routing_key, mandatory=mandatory
                    )
        except TimeoutError:
            raise PublishFailed("no confirm in time") from None

    async def wait_until_taken(self) -> None:
        """Wait until the broker takes messages: what could not be told had better not be begun.

        A process that ends in the middle of a command uses up one of the command's deliveries.
        """
        probe = aio_pika.Message(b"", message_id="courier-probe")
        while True:
            try:
                # RabbitMQ takes the first one even under an alarm, and blocks the connection then.
                for _ in range(2):
                    await self.publish(probe, exchange=PARKED, routing_key=NOWHERE, mandatory=False)
            except PublishFailed as error:
                log.warning(
                    "publish-waiting", exchange=PARKED, seconds=CONFIRM_TIMEOUT, reason=str(error)
                )
                await asyncio.sleep(PROBE_PAUSE)
            else:
                return

    async def publish_until_confirmed(
        self, message: aio_pika.Message, *, exchange: str, routing_key: str
    ) -> None:
        """Publish until the broker confirms. Only cancellation ends it sooner.

        While the broker is silent but connected, as under a memory alarm, the one confirm is
        waited for: publishing again would leave one more copy behind each time.
        """
        pause = 0.1
        with self._watched(exchange) as tell_once:
            while True:
                try:
                    return await self._confirmed(
                        self._channel, message, exchange, routing_key, mandatory=True
                    )
                except PublishFailed as error:
                    self.failed.set()
                    tell_once(str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _confirmed(
        self,
        channel: AbstractRobustChannel,
        message: aio_pika.Message,
        exchange: str,
        routing_key: str,
        *,
        mandatory: bool,
    ) -> None:
        """Publish once and wait for the confirm, or for the end of the channel."""
        try:
            async with self._one_at_a_time(message.message_id):
                target = await channel.get_exchange(exchange, ensure=False)
                began = time.perf_counter()
                answer = await target.publish(message, routing_key, mandatory=mandatory)
        except asyncio.CancelledError:
            if told_to_stop():
                raise
            raise PublishFailed("the connection was lost before the confirm") from None
        except DeliveryError as error:
            raise PublishFailed(f"the broker answered {error.frame.name}") from None
        except ChannelAccessRefused as error:
            raise PublishRefused(str(error)[:200]) from None
        except (AMQPError, OSError, RuntimeError) as error:
            raise PublishFailed(repr(error)[:200]) from None
        if not isinstance(answer, Basic.Ack):
            raise PublishFailed(f"the broker answered {type(answer).__name__}")
        self.confirms.observe(time.perf_counter() - began)

    @asynccontextmanager
    async def _permitted(self, exchange: str) -> AsyncIterator[None]:
        """Let one at a time find out whether we may publish to an exchange; then all at once.

        A refusal closes the channel, and what others write to it in that moment closes the whole
        connection. After one it is believed for a while.
        """
        if exchange in self._permits:
            try:
                yield
            except PublishRefused:
                self._permits.discard(exchange)
                raise
            return
        async with self._asking:
            if time.monotonic() < self._refusals.get(exchange, 0):
                raise PublishRefused("the broker has just refused another one")
            try:
                yield
            except PublishRefused:
                self._refusals[exchange] = time.monotonic() + REFUSAL_LASTS
                raise
            self._permits.add(exchange)

    @contextmanager
    def _watched(self, exchange: str) -> Iterator[Callable[[str], None]]:
        """Tell once that a message is published again, and once that this takes too long."""
        waiting = object()
        reasons: list[str] = []

        def tell_once(reason: str) -> None:
            if not reasons:
                log.warning("publish-repeated", exchange=exchange, reason=reason)
            reasons.append(reason)

        def give_alarm() -> None:
            self._stuck.add(waiting)
            reason = reasons[-1] if reasons else "the broker is silent"
            log.warning(
                "publish-waiting", exchange=exchange, seconds=self._stuck_after, reason=reason
            )

        timer = asyncio.get_running_loop().call_later(self._stuck_after, give_alarm)
        try:
            yield tell_once
        finally:
            timer.cancel()
            self._stuck.discard(waiting)

    @asynccontextmanager
    async def _one_at_a_time(self, message_id: str | None) -> AsyncIterator[None]:
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
