"""Upkeep on a real RabbitMQ: what somebody deletes stands again, and a missing consumer is seen."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractRobustConnection

from service.topology import (
    COMMANDS_EXCHANGE,
    EVENTS_EXCHANGE,
    PARKED,
    QUARANTINE,
    UNHEARD,
    retry_name,
)
from service.topology.publisher import Publisher
from service.topology.upkeep import INTERVAL, Upkeep
from tests.support.wait import until

QUEUE = "courier.query-devices"
Break = Callable[[AbstractChannel], Awaitable[object]]


@asynccontextmanager
async def looked_after(
    connection: AbstractRobustConnection,
    publisher: Publisher,
    *,
    consumed: tuple[str, ...] = (),
    interval: float = 0.2,
) -> AsyncIterator[Upkeep]:
    upkeep = Upkeep(connection, [1], consumed=consumed, hurry=publisher.failed, interval=interval)
    task = asyncio.create_task(upkeep.run())
    try:
        yield upkeep
    finally:
        task.cancel()


def message() -> aio_pika.Message:
    return aio_pika.Message(b"x", message_id="1", delivery_mode=2)


async def _look(_: AbstractIncomingMessage) -> None:
    """Consume."""


DELETIONS: dict[str, tuple[Break, str, str]] = {
    "the events' exchange": (
        lambda channel: channel.exchange_delete(EVENTS_EXCHANGE),
        EVENTS_EXCHANGE,
        "a.b",
    ),
    "the queue of the unheard": (
        lambda channel: channel.queue_delete(UNHEARD),
        EVENTS_EXCHANGE,
        "a.b",
    ),
    "a retry queue": (
        lambda channel: channel.queue_delete(retry_name(1)),
        retry_name(1),
        QUEUE,
    ),
    "a retry exchange": (
        lambda channel: channel.exchange_delete(retry_name(1)),
        retry_name(1),
        QUEUE,
    ),
    "the queue of the parked": (lambda channel: channel.queue_delete(PARKED), "", PARKED),
}


@pytest.mark.parametrize("what", DELETIONS)
async def test_what_is_deleted_stands_again_and_the_message_arrives(
    connection: AbstractRobustConnection, what: str
) -> None:
    """Whoever publishes there goes on trying, and does not have to wait for the next round."""
    delete, exchange, routing_key = DELETIONS[what]
    publisher = await Publisher.open(connection)
    async with await connection.channel() as channel:
        await delete(channel)
    async with looked_after(connection, publisher, interval=INTERVAL), asyncio.timeout(4):
        await publisher.publish_until_confirmed(
            message(), exchange=exchange, routing_key=routing_key
        )


async def test_commands_find_their_queues_again(connection: AbstractRobustConnection) -> None:
    """The exchange that producers publish to comes back with its bindings, without being asked."""
    publisher = await Publisher.open(connection)
    async with await connection.channel() as channel:
        await channel.exchange_delete(COMMANDS_EXCHANGE)
    async with looked_after(connection, publisher) as upkeep:
        await until(lambda: upkeep.counts)
        await publisher.publish(
            message(), exchange=COMMANDS_EXCHANGE, routing_key="courier.query-devices.v1"
        )
        await until(lambda: upkeep.counts[QUEUE].messages == 1)


async def test_a_queue_without_a_consumer_is_a_reason_not_to_be_ready(
    connection: AbstractRobustConnection,
) -> None:
    """The broker is asked: a consumer that it dropped is not missed by anybody else."""
    publisher = await Publisher.open(connection)
    async with looked_after(connection, publisher, consumed=(QUARANTINE,)) as upkeep:
        assert upkeep.idle_reason is None
        await until(lambda: upkeep.idle_reason == "consumer-missing")
        channel = await connection.channel()
        queue = await channel.get_queue(QUARANTINE, ensure=False)
        await queue.consume(_look, no_ack=True)
        await until(lambda: upkeep.idle_reason is None)


async def test_a_queue_that_was_made_otherwise_is_a_reason_not_to_be_ready(
    connection: AbstractRobustConnection,
) -> None:
    """Nothing is deleted to put it right: that is for a person."""
    publisher = await Publisher.open(connection)
    channel = await connection.channel()
    await channel.queue_delete(PARKED)
    await channel.declare_queue(PARKED, durable=True, arguments={"x-queue-type": "quorum"})
    async with looked_after(connection, publisher) as upkeep:
        await until(lambda: upkeep.idle_reason == "topology-differs")
        await channel.queue_delete(PARKED)
        await until(lambda: upkeep.idle_reason is None)
