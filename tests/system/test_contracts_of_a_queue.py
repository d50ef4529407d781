"""`courier contracts validate --queue`: held against the contracts, and still in the queue."""

import json
from collections.abc import AsyncIterator
from typing import Final

import aio_pika
import pytest
from aio_pika.abc import AbstractRobustChannel

from tests.support.poison import poison
from tests.support.rabbit import Rabbit
from tests.support.stand import CONTRACTS, Stand
from tests.support.wait import until
from tests.support.workflow import command, licence

QUEUE: Final = "portal-commands"
GOOD: Final = command("query-sms-balance", {"appliance": "fac-1"}, id="good")
BAD: Final = command("activate-sms-license", {"appliance": "fac-1"}, id="bad")
ODD: Final = command("brew-coffee", {"license": licence(1)}, id="odd")
VALID: Final = "good  courier.query-sms-balance.v1  valid"
INVALID: Final = (
    "bad  courier.activate-sms-license.v1  invalid: /data/license does not fit `required`"
)


@pytest.fixture
async def channel(amqp_url: str) -> AsyncIterator[AbstractRobustChannel]:
    """A queue of a subscriber's, and a channel on which it can be filled."""
    async with await aio_pika.connect_robust(amqp_url) as connection:
        made = await connection.channel()
        await made.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        yield made


async def put(channel: AbstractRobustChannel, *bodies: bytes) -> None:
    for body in bodies:
        await channel.default_exchange.publish(aio_pika.Message(body, delivery_mode=2), QUEUE)


async def test_each_message_has_its_line_and_stays(
    stand: Stand, channel: AbstractRobustChannel, broker: Rabbit
) -> None:
    """Whatever it is; also one whose properties our own library cannot read."""
    vhost = stand.url.rsplit("/", 1)[1]
    await put(channel, *(json.dumps(each).encode() for each in (GOOD, BAD, ODD)), b"{")
    await poison(stand.url, json.dumps(GOOD).encode(), exchange="", routing_key=QUEUE)
    await until(lambda: broker.queues(vhost)[QUEUE].ready == 5)

    exit_code, output = await stand.courier("contracts", "validate", "--queue", QUEUE)

    assert 1 == exit_code
    first, second, third, fourth, fifth = output.splitlines()
    assert (VALID, INVALID, VALID) == (first, second, fifth)
    assert "odd  courier.brew-coffee.v1  invalid: there is no contract of this type" == third
    assert "  -  invalid: / Expecting property name" in fourth
    await until(lambda: broker.queues(vhost)[QUEUE].ready == 5)
    again, _ = await stand.courier("contracts", "validate", "--queue", QUEUE, "--limit", "1")
    assert 0 == again


async def test_a_queue_in_which_everything_fits_is_exit_code_0(
    stand: Stand, channel: AbstractRobustChannel
) -> None:
    """So is one in which there is nothing."""
    assert (0, "") == await stand.courier("contracts", "validate", "--queue", QUEUE)
    await put(channel, json.dumps(GOOD).encode())
    assert (0, VALID) == await stand.courier("contracts", "validate", "--queue", QUEUE)


@pytest.mark.parametrize(
    "queue", ["courier.query-devices", "courier.quarantine", "courier.retry.5s"]
)
async def test_where_a_look_would_do_harm_nobody_looks(stand: Stand, queue: str) -> None:
    """A delivery more, and the next death of the courier may take a command out: usage, 2."""
    exit_code, output = await stand.courier("contracts", "validate", "--queue", queue)
    assert (2, True) == (exit_code, "the courier's own" in output)


async def test_what_cannot_be_looked_at_is_one_sentence(stand: Stand) -> None:
    """No such queue, one that is another's alone, no broker: exit code 1, no traceback."""
    async with await aio_pika.connect(stand.url) as connection:
        mine = await (await connection.channel()).declare_queue(exclusive=True)
        for queue, url, named in (
            ("nowhere", stand.url, "the broker has no queue nowhere"),
            ("courier.parked", stand.url, "start `courier serve` first"),
            (mine.name, stand.url, "does not let us look"),
            (QUEUE, "amqp://127.0.0.1:9/", "does not answer"),
        ):
            arguments = ("contracts", "validate", "--queue", queue)
            exit_code, output = await stand.courier(*arguments, BROKER_URL=url)
            assert (1, 1, True) == (exit_code, len(output.splitlines()), named in output), output


async def test_several_files_have_a_line_each(stand: Stand) -> None:
    """With the file's name; one that does not fit is exit code 1. Neither, or both, is usage."""
    folder = CONTRACTS / "commands/query-sms-balance"
    good, bad = (str(folder / f"v1.{each}") for each in ("examples/smallest.json", "schema.json"))
    exit_code, output = await stand.courier("contracts", "validate", good, bad)
    first, second = output.splitlines()
    assert (1, True) == (exit_code, first.startswith(f"{good}: ") and first.endswith("valid"))
    assert second.endswith("object  invalid: there is no contract of this type")
    assert 0 == (await stand.courier("contracts", "validate", good, good))[0]
    assert 2 == (await stand.courier("contracts", "validate"))[0]
    assert 2 == (await stand.courier("contracts", "validate", good, "--queue", QUEUE))[0]
    assert 2 == (await stand.courier("contracts", "validate", good, "--contract", "no.v1"))[0]
