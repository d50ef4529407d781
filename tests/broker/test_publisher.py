"""Publishing on a real RabbitMQ: told means confirmed."""

import asyncio

import aio_pika
import pytest
from aio_pika.abc import AbstractRobustConnection

from service.demo.broker import Node
from service.errors import PublishFailed
from service.topology import EVENTS_EXCHANGE, PARKED, UNHEARD
from service.topology.connection import identity_of
from service.topology.publisher import Publisher
from tests.support.rabbit import Rabbit
from tests.support.wait import until


def message(message_id: str = "1") -> aio_pika.Message:
    return aio_pika.Message(b"x", message_id=message_id, delivery_mode=2)


async def test_a_message_without_a_queue_is_an_error(connection: AbstractRobustConnection) -> None:
    """A result must not be lost in silence."""
    publisher = await Publisher.open(connection)
    with pytest.raises(PublishFailed, match="Return"):
        await publisher.publish(message(), exchange="", routing_key="nobody")


async def test_a_full_queue_that_refuses_is_an_error(connection: AbstractRobustConnection) -> None:
    """A nack is no confirm."""
    publisher = await Publisher.open(connection)
    async with await connection.channel() as channel:
        arguments: dict[str, str | int] = {"x-max-length": 1, "x-overflow": "reject-publish"}
        await channel.declare_queue("full", exclusive=True, arguments=dict(arguments))
        await publisher.publish(message(), exchange="", routing_key="full")
        with pytest.raises(PublishFailed, match="Nack"):
            await publisher.publish(message(), exchange="", routing_key="full")


async def test_a_result_that_nobody_listens_to_is_kept(
    connection: AbstractRobustConnection, amqp_url: str, broker: Rabbit
) -> None:
    """It goes to courier.unheard and counts as told."""
    publisher = await Publisher.open(connection)
    await publisher.publish(message(), exchange=EVENTS_EXCHANGE, routing_key="a.b")
    await until(lambda: broker.queues(amqp_url.rsplit("/", 1)[1])[UNHEARD].ready == 1)


async def test_two_messages_with_one_id_do_not_mix_up_their_outcomes(
    connection: AbstractRobustConnection,
) -> None:
    """One is returned and one is confirmed, however often they are sent at once."""
    publisher = await Publisher.open(connection)
    for _ in range(20):
        lost, kept = await asyncio.gather(
            publisher.publish(message("same"), exchange="", routing_key="nobody"),
            publisher.publish(message("same"), exchange="", routing_key=PARKED),
            return_exceptions=True,
        )
        assert (PublishFailed, None) == (type(lost), kept)


async def test_it_publishes_until_the_broker_confirms(
    connection: AbstractRobustConnection, amqp_url: str, broker: Rabbit
) -> None:
    """A connection that is closed in between is repaired, and the message arrives."""
    publisher = await Publisher.open(connection)
    vhost = amqp_url.rsplit("/", 1)[1]
    for each in await until(lambda: broker.connections(vhost)):
        await asyncio.to_thread(broker.close_connection, each)
    async with asyncio.timeout(20):
        await publisher.publish_until_confirmed(message(), exchange="", routing_key=PARKED)
    await until(lambda: broker.queues(vhost)[PARKED].ready == 1)
    assert publisher.idle_reason is None


async def test_a_cancelled_publish_is_cancelled(connection: AbstractRobustConnection) -> None:
    """Being told to stop is no failure of the broker."""
    publisher = await Publisher.open(connection)
    task = asyncio.create_task(
        publisher.publish_until_confirmed(message(), exchange="", routing_key="nobody")
    )
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_broker_has_a_name_that_survives_a_change_of_address(
    connection: AbstractRobustConnection, amqp_url: str
) -> None:
    """Cluster and virtual host, not host and port."""
    assert identity_of(connection).endswith("/" + amqp_url.rsplit("/", 1)[1])
    assert "127.0.0.1" not in identity_of(connection)


async def test_an_alarm_leaves_no_copies_behind(
    connection: AbstractRobustConnection, amqp_url: str, broker: Rabbit
) -> None:
    """While the broker takes nothing the one publish is waited for, and told to be stuck."""
    channel = await connection.channel(on_return_raises=True)
    publisher = Publisher(connection, channel, channel, stuck_after=1.0)
    vhost = amqp_url.rsplit("/", 1)[1]
    with broker.memory_alarm():
        task = asyncio.create_task(
            publisher.publish_until_confirmed(message(), exchange="", routing_key=PARKED)
        )
        await until(lambda: publisher.idle_reason == "publishing-blocked")
        assert not task.done()
    async with asyncio.timeout(20):
        await task
    await until(lambda: broker.queues(vhost)[PARKED].ready == 1)
    assert publisher.idle_reason is None


async def test_a_broker_that_dies_in_its_alarm_is_published_to_again(
    connection: AbstractRobustConnection, amqp_url: str, broker: Rabbit, node: Node
) -> None:
    """The channel opens on the next connection though the last one was blocked to its end."""
    publisher = await Publisher.open(connection)
    await asyncio.to_thread(node.settle)
    with broker.memory_alarm():
        blocked = [
            asyncio.create_task(
                publisher.publish_until_confirmed(message(each), exchange="", routing_key=PARKED)
            )
            for each in ("1", "2")
        ]
        done, _ = await asyncio.wait(blocked, timeout=1)
        assert set() == done
        await asyncio.to_thread(node.kill)
        await asyncio.to_thread(node.start)
        async with asyncio.timeout(20):
            await asyncio.gather(*blocked)
    await until(lambda: broker.queues(amqp_url.rsplit("/", 1)[1])[PARKED].ready >= 2)


async def test_a_subscriber_who_refuses_is_told_to_be_in_the_way(
    connection: AbstractRobustConnection,
) -> None:
    """One full queue that rejects stops everybody: not ready, until it has room."""
    async with await connection.channel() as other:
        arguments: dict[str, str | int] = {"x-max-length": 1, "x-overflow": "reject-publish"}
        full = await other.declare_queue("full", exclusive=True, arguments=dict(arguments))
        await full.bind(EVENTS_EXCHANGE, "#")
        channel = await connection.channel(on_return_raises=True)
        publisher = Publisher(connection, channel, channel, stuck_after=1.0)
        await publisher.publish(message(), exchange=EVENTS_EXCHANGE, routing_key="a")
        task = asyncio.create_task(
            publisher.publish_until_confirmed(message(), exchange=EVENTS_EXCHANGE, routing_key="a")
        )
        await until(lambda: publisher.idle_reason == "publishing-blocked")
        assert not task.done()
        await full.purge()
        async with asyncio.timeout(10):
            await task
        assert publisher.idle_reason is None


async def test_who_refuses_lets_the_others_hear_it_again_and_again(
    connection: AbstractRobustConnection, amqp_url: str, broker: Rabbit
) -> None:
    """Each try is a copy more for whoever has room: `contracts/README.md` warns of it."""
    vhost = amqp_url.rsplit("/", 1)[1]
    async with await connection.channel() as channel:
        arguments: dict[str, str | int] = {"x-max-length": 1, "x-overflow": "reject-publish"}
        full = await channel.declare_queue("full", exclusive=True, arguments=dict(arguments))
        other = await channel.declare_queue("other", durable=True)
        await other.bind(EVENTS_EXCHANGE, "#")
        await full.bind(EVENTS_EXCHANGE, "#")
        publisher = await Publisher.open(connection)
        await publisher.publish(message(), exchange=EVENTS_EXCHANGE, routing_key="a")
        task = asyncio.create_task(
            publisher.publish_until_confirmed(message(), exchange=EVENTS_EXCHANGE, routing_key="a")
        )
        await until(lambda: broker.queues(vhost)["other"].ready > 3)
        await full.purge()
        async with asyncio.timeout(10):
            await task


@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_a_full_queue_that_drops_its_oldest_harms_nobody(
    connection: AbstractRobustConnection, kind: str
) -> None:
    """What is published is confirmed, and the newest lies there."""
    publisher = await Publisher.open(connection)
    async with await connection.channel() as channel:
        arguments: dict[str, str | int] = {"x-max-length": 1, "x-overflow": "drop-head"}
        queue = await channel.declare_queue(
            "bounded", durable=True, arguments={"x-queue-type": kind, **arguments}
        )
        await queue.bind(EVENTS_EXCHANGE, "#")
        for number in range(5):
            newest = aio_pika.Message(str(number).encode(), delivery_mode=2)
            await publisher.publish(newest, exchange=EVENTS_EXCHANGE, routing_key="a")
        left = await queue.get(no_ack=True)
    assert b"4" == left.body


async def test_a_broker_that_takes_nothing_is_waited_for_before_anything_is_begun(
    connection: AbstractRobustConnection, amqp_url: str, broker: Rabbit
) -> None:
    """And the question leaves nothing behind."""
    publisher = await Publisher.open(connection)
    with broker.memory_alarm():
        task = asyncio.create_task(publisher.wait_until_taken())
        await asyncio.wait([task], timeout=1)
        assert not task.done()
    async with asyncio.timeout(15):
        await task
    assert {0} == {queue.ready for queue in broker.queues(amqp_url.rsplit("/", 1)[1]).values()}
