"""Consuming on a real RabbitMQ: acked when settled, isolated if it cannot be, stopped in order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aio_pika
import pytest
from aio_pika.abc import AbstractRobustConnection
from yarl import URL

from service.consumers.intake import Intake
from service.consumers.settling import Delivery
from service.topology import COMMANDS_EXCHANGE, LEDGER_HOLD, PARKED, QUARANTINE, SQLITE_OWNER
from service.topology.ledger_hold import LedgerHold
from service.topology.publisher import Publisher
from tests.campaign.proxy import Link
from tests.support.rabbit import Rabbit
from tests.support.wait import until

KEY = "courier.query-devices.v1"
QUEUE = "courier.query-devices"
_CONNECTIONS = 2
"""For the work queues, and for the quarantine."""


@asynccontextmanager
async def consuming(
    url: str,
    settle: Callable[[Delivery], Awaitable[None]],
    *,
    prefetch: int = 10,
    hold: LedgerHold | None = None,
) -> AsyncIterator[Intake]:
    hold = hold or LedgerHold("a ledger", is_sqlite=True)
    intake = Intake([URL(url)], None, prefetch=prefetch, settle=settle, hold=hold)
    await intake.connect()
    maintaining = asyncio.create_task(hold.maintain())
    await intake.start()
    try:
        yield intake
    finally:
        await intake.stop(1.0)
        maintaining.cancel()


async def feed(connection: AbstractRobustConnection, *bodies: bytes) -> None:
    publisher = await Publisher.open(connection)
    for body in bodies:
        message = aio_pika.Message(body, delivery_mode=2)
        await publisher.publish(message, exchange=COMMANDS_EXCHANGE, routing_key=KEY)


def vhost_of(url: str) -> str:
    return url.rsplit("/", 1)[1]


async def test_a_delivery_is_acked_when_it_is_settled_and_not_before(
    connection: AbstractRobustConnection, amqp_url: str, broker: Rabbit
) -> None:
    """While it is being settled the broker still has it."""
    may_end = asyncio.Event()

    async def settle(_: Delivery) -> None:
        await may_end.wait()

    async with consuming(amqp_url, settle):
        await feed(connection, b"1")
        await until(lambda: broker.queues(vhost_of(amqp_url))[QUEUE].unacked == 1)
        may_end.set()
        await until(lambda: broker.queues(vhost_of(amqp_url))[QUEUE].unacked == 0)
        assert 0 == broker.queues(vhost_of(amqp_url))[QUEUE].ready


async def test_no_more_than_the_prefetch_is_looked_at_at_once(
    connection: AbstractRobustConnection, amqp_url: str, broker: Rabbit
) -> None:
    """The rest waits in the queue, where another replica could take it."""
    may_end = asyncio.Event()

    async def settle(_: Delivery) -> None:
        await may_end.wait()

    await feed(connection, *[b"x"] * 5)
    async with consuming(amqp_url, settle, prefetch=2):
        await until(lambda: broker.queues(vhost_of(amqp_url))[QUEUE].unacked == 2)
        assert 3 == broker.queues(vhost_of(amqp_url))[QUEUE].ready
        may_end.set()
        await until(lambda: broker.queues(vhost_of(amqp_url))[QUEUE].unacked == 0)


async def test_what_cannot_be_settled_is_isolated_and_its_neighbours_are_not(
    connection: AbstractRobustConnection, amqp_url: str, broker: Rabbit
) -> None:
    """The delivery limit, the quarantine's limit, then courier.parked; nobody else is hurt."""
    seen: dict[bytes, list[str]] = {}

    async def settle(delivery: Delivery) -> None:
        seen.setdefault(delivery.raw.body, []).append(delivery.queue)
        if delivery.raw.body == b"poison":
            raise RuntimeError("this one cannot be settled")

    async with consuming(amqp_url, settle):
        await feed(connection, b"a", b"poison", b"b")
        await until(lambda: broker.queues(vhost_of(amqp_url))[PARKED].ready == 1)
    assert {b"a": [QUEUE], b"b": [QUEUE]} == {body: seen[body] for body in (b"a", b"b")}
    assert {QUEUE, QUARANTINE} == set(seen[b"poison"])


async def test_stopping_takes_nothing_new_and_lets_what_runs_end(
    connection: AbstractRobustConnection, amqp_url: str, broker: Rabbit
) -> None:
    """What arrives after the stop stays in the queue, untouched."""
    began, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def settle(_: Delivery) -> None:
        began.set()
        await may_end.wait()
        ended.set()

    hold = LedgerHold("a ledger", is_sqlite=True)
    intake = Intake([URL(amqp_url)], None, prefetch=10, settle=settle, hold=hold)
    await intake.connect()
    await intake.start()
    await feed(connection, b"1")
    await began.wait()
    stopping = asyncio.create_task(intake.stop(10.0))
    await until(lambda: intake.idle_reason == "consumer-missing")
    await feed(connection, b"2")
    may_end.set()
    await stopping
    assert ended.is_set()
    await until(lambda: broker.queues(vhost_of(amqp_url))[QUEUE].ready == 1)


@pytest.mark.usefixtures("connection")
async def test_it_says_why_nothing_is_consumed(amqp_url: str) -> None:
    """Not connected, connected without consumers, consuming."""

    async def settle(_: Delivery) -> None:
        """Have nothing to do."""

    hold = LedgerHold("a ledger", is_sqlite=True)
    intake = Intake([URL(amqp_url)], None, prefetch=10, settle=settle, hold=hold)
    assert "broker-disconnected" == intake.idle_reason
    async with consuming(amqp_url, settle) as running:
        assert running.idle_reason is None
    assert "broker-disconnected" == running.idle_reason


async def test_the_hold_is_regained_before_anything_is_run(
    connection: AbstractRobustConnection, amqp_url: str, broker: Rabbit
) -> None:
    """After a dropped connection both queues are held again, and deliveries run on."""
    seen: list[bytes] = []
    hold = LedgerHold("a ledger", is_sqlite=True)

    async def settle(delivery: Delivery) -> None:
        assert hold.is_held
        assert {LEDGER_HOLD, SQLITE_OWNER} <= set(broker.queues(vhost_of(amqp_url)))
        seen.append(delivery.raw.body)

    async with consuming(amqp_url, settle, hold=hold) as intake:
        found = await until(
            lambda: [
                each
                for each in broker.connections(vhost_of(amqp_url))
                if each.given_name == "courier consuming"
            ]
        )
        for each in found:
            await asyncio.to_thread(broker.close_connection, each)
        await feed(connection, b"after")
        await until(lambda: seen == [b"after"])
        await until(lambda: intake.idle_reason is None)


async def test_what_is_handed_back_keeps_its_order(
    connection: AbstractRobustConnection, amqp_url: str, broker: Rabbit
) -> None:
    """What the drain cuts short comes again first, in the order in which it came."""

    async def settle(_: Delivery) -> None:
        await asyncio.Event().wait()

    bodies = [str(number).encode() for number in range(8)]
    async with consuming(amqp_url, settle, prefetch=5):
        await feed(connection, *bodies)
        await until(lambda: broker.queues(vhost_of(amqp_url))[QUEUE].unacked == 5)
    await until(lambda: broker.queues(vhost_of(amqp_url))[QUEUE].ready == len(bodies))
    async with await connection.channel() as channel:
        queue = await channel.get_queue(QUEUE, ensure=False)
        came = [await queue.get(no_ack=True) for _ in bodies]
    assert bodies == [message.body for message in came]


async def test_a_broker_that_takes_a_new_connection_and_is_silent_is_not_waited_for_for_ever(
    connection: AbstractRobustConnection, amqp_url: str
) -> None:
    """Connections that were begun while nothing came back are given up, and begun again."""
    settled = asyncio.Event()

    async def settle(_: Delivery) -> None:
        settled.set()

    url = URL(amqp_url)
    async with (
        Link.opened(url.host or "", url.port or 0) as link,
        consuming(str(url.with_port(link.port)), settle) as intake,
    ):
        link.cut()
        link.heal()
        link.half_open(["to-courier"])
        await until(lambda: link.accepted >= 2 * _CONNECTIONS)
        link.heal()
        await until(lambda: intake.idle_reason is None)
        await feed(connection, b"1")
        async with asyncio.timeout(10):
            await settled.wait()
