"""Whoever scales the courier asks the broker how full its queues are, as a user that may look."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aio_pika
import pytest

from tests.support.rabbit import Rabbit

README: Final = Path(__file__).parents[2] / "deploy" / "kubernetes" / "README.md"
USER: Final = "courier-queues"
QUEUE: Final = "courier.query-devices"


@pytest.fixture
def watcher(broker: Rabbit, amqp_url: str) -> Iterator[str]:
    """The user that the page makes, on the test's virtual host; its password."""
    vhost, password = urlsplit(amqp_url).path[1:], "looks only"
    for line in re.findall(r"^rabbitmqctl (.*)$", README.read_text("utf-8"), re.MULTILINE):
        words = [vhost if word == "courier" else word.strip("'") for word in line.split()]
        broker.node.ctl(*words, *([password] if words[0] == "add_user" else []))
    yield password
    broker.node.ctl("delete_user", USER)


async def test_who_scales_the_courier_may_look_and_nothing_else(
    broker: Rabbit, amqp_url: str, watcher: str
) -> None:
    """It reads how many messages there are, and cannot read, send or delete one."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        await channel.default_exchange.publish(aio_pika.Message(b"x"), QUEUE)
    place = f"{urlsplit(amqp_url).path}/{QUEUE}"
    sent = {"properties": {}, "routing_key": QUEUE, "payload": "x", "payload_encoding": "string"}
    read = {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}
    with broker.asked_by(USER, watcher) as client:
        # The same request as KEDA's.
        assert 200 == client.get(f"queues{place}").status_code
        answers = [
            client.post(f"queues{place}/get", json=read),
            client.post(f"exchanges{urlsplit(amqp_url).path}/amq.default/publish", json=sent),
            client.delete(f"queues{place}/contents"),
            client.delete(f"queues{place}"),
            client.put(f"queues{urlsplit(amqp_url).path}/other", json={"durable": True}),
        ]
    assert [True] * 5 == [each.is_client_error for each in answers]
    assert [True] * 5 == ["refused" in each.text.lower() for each in answers]
    async with await aio_pika.connect(amqp_url) as connection:
        queue = await (await connection.channel()).get_queue(QUEUE)
        assert 1 == queue.declaration_result.message_count
