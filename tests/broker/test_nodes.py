"""A broker with several addresses: begun at one that answers, gone on with at the next.

The nodes are links to one and the same RabbitMQ, which can be cut and made silent one by one. What
three real ones make of being killed stands in tests/broker/test_cluster.py.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import ClassVar, Final, cast

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from structlog.testing import capture_logs
from yarl import URL

from service.errors import ConfigurationError
from service.topology.connection import Channel, Roaming, Watch, node, node_of, opened
from service.topology.nodes import connect, look_at_others
from tests.campaign.proxy import DIRECTIONS, Link
from tests.support.rabbit import Rabbit
from tests.support.wait import until

NODES: Final = 3
NOBODY: Final = URL("amqp://guest:guest@127.0.0.1:9/")


@pytest.fixture
async def links(amqp_url: str) -> AsyncIterator[list[Link]]:
    """The ways to three nodes."""
    url = URL(amqp_url)
    async with AsyncExitStack() as stack:
        ways = [Link.opened(url.host or "", url.port or 5672) for _ in range(NODES)]
        yield [await stack.enter_async_context(each) for each in ways]


@pytest.fixture
def addresses(amqp_url: str, links: Sequence[Link]) -> list[URL]:
    """A heartbeat that is not waited for."""
    return [URL(amqp_url).with_port(each.port).with_query(heartbeat="60") for each in links]


async def test_a_start_takes_whichever_node_answers(addresses: list[URL]) -> None:
    """However many do not, and wherever they stand in the list."""
    beginning = addresses[1].with_path("/not-there-yet")
    connection = await connect([NOBODY, beginning, addresses[0], NOBODY, beginning], None)
    async with connection:
        assert f"127.0.0.1:{addresses[0].port}" == node_of(connection)


async def test_starts_spread(addresses: list[URL]) -> None:
    """Replicas have the same list; if all began with its first one, that would have them all."""
    begun = set()
    async with AsyncExitStack() as stack:
        for _ in range(20):
            begun.add(node_of(await stack.enter_async_context(await connect(addresses, None))))
    assert NODES == len(begun)


async def test_a_lost_connection_is_restored_at_the_next_node_that_answers(
    addresses: list[URL], links: list[Link]
) -> None:
    """A node that takes connections and says nothing costs four seconds, a dead one nothing."""
    heard: list[bytes] = []

    async def hear(message: AbstractIncomingMessage) -> None:
        heard.append(message.body)

    connection = await opened([addresses[0], NOBODY, *addresses[1:]], None)
    async with connection:
        Watch("consuming").follow(connection)
        channel = await connection.channel()
        queue = await channel.declare_queue("q")
        await queue.consume(hear, no_ack=True)
        links[1].half_open(DIRECTIONS)
        with capture_logs() as told:
            links[0].cut()
            await until(lambda: not connection.connected.is_set())
            assert "" == node_of(connection)
            last = f"127.0.0.1:{addresses[2].port}"
            await until(lambda: node_of(connection) == last)
            await until(lambda: told[-1]["event"] == "broker-connection-restored")
        await channel.default_exchange.publish(aio_pika.Message(b"again"), "q")
        await until(lambda: heard == [b"again"])
    path = addresses[0].path
    assert [
        ("broker-connection-lost", f"127.0.0.1:{addresses[0].port}{path}"),
        ("broker-unreachable", "127.0.0.1:9/"),
        ("broker-unreachable", f"127.0.0.1:{addresses[1].port}{path}"),
        ("broker-connection-restored", f"{last}{path}"),
    ] == [(each["event"], each["broker"]) for each in told]


async def test_another_broker_is_no_node_of_ours(
    addresses: list[URL], links: list[Link], broker: Rabbit
) -> None:
    """Its commands are not ours; it is left again, and the next address tried."""
    broker.create_vhost("elsewhere")
    try:
        other = addresses[1].with_path("/elsewhere")
        async with await opened([addresses[0], other, addresses[2]], None) as connection:
            Watch("publishing").follow(connection)
            with capture_logs() as told:
                links[0].cut()
                last = f"127.0.0.1:{addresses[2].port}"
                await until(lambda: node_of(connection) == last)
        reasons = [each["reason"] for each in told if each["event"] == "broker-unreachable"]
        assert ["elsewhere, and not" in each for each in reasons] == [True]
        links[0].heal()
        async with await opened([addresses[0], other], None) as connection:
            with pytest.raises(ConfigurationError, match="set_cluster_name"):
                await look_at_others(connection, None)
    finally:
        broker.delete_vhost("elsewhere")


async def test_a_wrong_password_for_any_node_is_found_at_the_start(addresses: list[URL]) -> None:
    """And not in the night in which that node is needed; a dead node may come back by itself."""
    wrong = addresses[1].with_password("canary")
    with capture_logs() as told:
        async with await opened([addresses[0], NOBODY], None) as connection:
            await look_at_others(connection, None)
    assert [("broker-unreachable", "127.0.0.1:9/")] == [
        (each["event"], each["broker"]) for each in told
    ]
    async with await opened([addresses[0], NOBODY, wrong], None) as connection:
        with pytest.raises(ConfigurationError, match="refuses the login") as caught:
            await look_at_others(connection, None)
    assert "canary" not in str(caught.value)


class Hanging(Channel):
    """A channel that cannot be restored at one node, which hangs and answers heartbeats."""

    where: ClassVar[str]

    async def restore(self, channel: object = None) -> None:
        connection = cast("Roaming", self._connection)
        if connection.connected.is_set() and node(connection.url) == self.where:
            await asyncio.Event().wait()
        await super().restore(channel)


class Impatient(Roaming):
    """A connection that gives up soon."""

    CHANNEL_CLASS = Hanging
    restore_timeout = 0.2


async def test_a_node_where_nothing_can_be_restored_is_left(
    addresses: list[URL], links: list[Link]
) -> None:
    """aio-pika would wait there for as long as the node answers heartbeats."""
    _, Hanging.where, last = (f"127.0.0.1:{each.port}" for each in addresses)
    connection = Impatient(addresses, None)
    await connection.connect()
    async with connection:
        await connection.channel()
        links[0].cut()
        await until(lambda: node_of(connection) == last)


async def test_consumers_are_not_waited_for_on_a_connection_that_is_lost(
    addresses: list[URL],
) -> None:
    """aio-pika would wait in the very task that has to restore the connection: for ever."""
    connection = Roaming(addresses, None)
    await connection.connect()
    async with connection:
        channel = await connection.channel()
        assert isinstance(channel, Channel)
        channel.recovery_timeout = 0.05
        connection.connected.clear()  # it is lost, and its channels have not heard of it yet
        async with asyncio.timeout(5):
            assert await channel._restore_consumers() is True  # noqa: SLF001 - by that aio-pika asks
        connection.connected.set()
