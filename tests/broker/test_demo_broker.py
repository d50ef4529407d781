"""The node that the demo and the tests start is a real RabbitMQ and survives what they do to it."""

import asyncio
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from pamqp.common import FieldTable

from service.demo.broker import BrokerUnavailable, Node, PrivateNode, running_broker
from service.demo.probe import reach
from tests.support.rabbit import Queue, Rabbit
from tests.support.wait import until

_DURABLE: FieldTable = {"x-queue-type": "quorum"}


async def test_a_durable_message_survives_kill_and_restart_on_the_same_address(
    node: Node, amqp_url: str
) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("letters", durable=True, arguments=_DURABLE)
        message = aio_pika.Message(b"still here", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, "letters")

        await asyncio.to_thread(node.settle)
        await asyncio.to_thread(node.kill)
        with pytest.raises(BrokerUnavailable):
            await reach(amqp_url)
        await asyncio.to_thread(node.start)

    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("letters", ensure=True)
        async with asyncio.timeout(20), queue.iterator(no_ack=True) as messages:
            survivor = await anext(messages)
    assert survivor.body == b"still here"


async def test_a_frozen_node_does_not_answer_and_goes_on_when_thawed(
    node: Node, amqp_url: str
) -> None:
    node.freeze()
    with pytest.raises(BrokerUnavailable, match=r"no answer within 0\.5 s"):
        await reach(amqp_url, patience=0.5)

    node.thaw()
    await reach(amqp_url)


async def test_a_wrong_password_is_told_without_telling_it(amqp_url: str) -> None:
    wrong = urlsplit(amqp_url)._replace(
        netloc=f"courier:secret@127.0.0.1:{urlsplit(amqp_url).port}"
    )

    with pytest.raises(BrokerUnavailable, match=r"(?i)authentication|refused") as told:
        await reach(wrong.geturl())
    assert "secret" not in str(told.value)


async def test_a_given_broker_is_used_as_it_is(amqp_url: str) -> None:
    async with running_broker(given=amqp_url, say=print) as broker:
        assert (broker.url, broker.how, broker.node) == (amqp_url, "given", None)


async def test_counts_and_connections_are_seen_and_a_connection_can_be_closed(
    broker: Rabbit, amqp_url: str
) -> None:
    vhost = urlsplit(amqp_url).path[1:]
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("letters", durable=True, arguments=_DURABLE)
        await channel.default_exchange.publish(aio_pika.Message(b"1"), "letters")
        await until(lambda: broker.queues(vhost)["letters"] == Queue(1, 0, consumers=0))

        queue = await channel.get_queue("letters")
        await queue.consume(_ignore)
        await until(lambda: broker.queues(vhost)["letters"] == Queue(0, 1, consumers=1))

        closed = asyncio.Event()
        connection.close_callbacks.add(lambda *_: closed.set())
        seen = await until(lambda: broker.connections(vhost))
        broker.close_connection(seen[0])
        async with asyncio.timeout(5):
            await closed.wait()


async def test_a_publisher_is_blocked_during_a_memory_alarm_and_not_after(
    broker: Rabbit, amqp_url: str
) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("letters", durable=True, arguments=_DURABLE)
        with broker.memory_alarm():
            blocked = asyncio.create_task(
                channel.default_exchange.publish(aio_pika.Message(b"1"), "letters")
            )
            done, _ = await asyncio.wait([blocked], timeout=0.5)
            assert not done
        async with asyncio.timeout(10):
            await blocked


def test_a_node_that_ends_while_it_starts_is_told_with_its_last_words(tmp_path: Path) -> None:
    with (
        closing(node_of(tmp_path, "echo eaddrinuse; exit 1")) as node,
        pytest.raises(BrokerUnavailable, match="eaddrinuse"),
    ):
        node.start()


def test_a_node_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    with (
        closing(node_of(tmp_path, "exec sleep 60", patience=0.2)) as node,
        pytest.raises(BrokerUnavailable, match="not ready after"),
    ):
        node.start()


def test_a_closed_node_does_not_start_again(tmp_path: Path) -> None:
    node = node_of(tmp_path, "exit 0")
    node.close()

    with pytest.raises(BrokerUnavailable, match="was closed"):
        node.start()


def test_a_failing_rabbitmqctl_is_an_error_with_its_text(node: Node) -> None:
    with pytest.raises(BrokerUnavailable, match=r"delete_vhost failed: .*no-such-vhost"):
        node.ctl("delete_vhost", "no-such-vhost")


def node_of(folder: Path, script: str, *, patience: float = 10) -> PrivateNode:
    """A node whose server is a shell script."""
    server = folder / "rabbitmq-server"
    server.write_text(f"#!/bin/sh\n{script}\n")
    server.chmod(0o755)
    return PrivateNode(folder, patience=patience)


async def _ignore(_: AbstractIncomingMessage) -> None:
    """Leave it unacknowledged."""
