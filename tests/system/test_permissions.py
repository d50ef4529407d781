"""The broker's users of `deploy/rabbitmq/`: enough for all that the courier does, and no more."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Final

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aiormq.exceptions import ChannelAccessRefused

from tests.support.fences import fenced
from tests.support.rabbit import Rabbit
from tests.support.stand import Stand
from tests.support.wait import until
from tests.support.workflow import Json, Workflow, command, gather_answers, licence, working

FILE: Final = {"name": "voice.lic", "content": "QUJD"}
EACH: Final[list[tuple[str, Json]]] = [
    ("activate-sms-license", {"appliance": "fac-1", "license": licence(1)}),
    ("query-sms-balance", {"appliance": "fac-1"}),
    ("apply-voice-license", {"appliance": "fvc-1", "file": FILE}),
    ("query-devices", {"appliance": "fvc-1"}),
    ("query-devices", {"appliance": "fvc-1", "stream": True}),
    ("query-appliance-status", {"appliance": "fac-1"}),
]
"""One command of each kind."""
COURIER: Final = "courier"
OPERATOR: Final = "courier-operator"
Try = Callable[[AbstractChannel], Awaitable[object]]


@pytest.fixture
def users(broker: Rabbit, amqp_url: str) -> Iterator[dict[str, str]]:
    with fenced(broker, amqp_url, "users.json") as urls:
        yield urls


@pytest.fixture
def mute(broker: Rabbit, amqp_url: str) -> Iterator[dict[str, str]]:
    """The users of a courier that answers no `reply_to`, and what it may not declare itself."""
    with fenced(broker, amqp_url, "users.json", "topology.json", "without-replies.json") as urls:
        yield urls


async def test_the_courier_does_everything_with_its_permissions(
    stand: Stand, amqp_url: str, users: dict[str, str]
) -> None:
    """It declares all by itself; commands, replies, retries, quarantine, parking, a restart."""
    appliances = await stand.appliances()
    service = await stand.service(BROKER_URL=users[COURIER], RETRY_DELAYS="1")
    async with working(amqp_url) as workflow:
        sent = [command(name, dict(data)) for name, data in EACH]
        await workflow.send(*sent, reply_to=await workflow.reply_to())
        for each in sent:
            await until(partial(ended, workflow, each["id"]))
            assert ["succeeded"] == ended(workflow, each["id"])
        await until(lambda: len(workflow.replies) >= len(sent))
        await appliances.fault("fac-1", operation="balance", action="answer", status=503, times=1)
        delayed = command("query-sms-balance", {"appliance": "fac-1"})
        await workflow.send(delayed)
        assert "succeeded" == (await workflow.answer(delayed["id"])).data["conclusion"]
        assert service.events("command-delayed", command_id=delayed["id"])
        lone = command("query-sms-balance", {"appliance": "fac-1"})
        quarantine = workflow.channel.default_exchange
        await workflow.put(json.dumps(lone).encode(), "courier.quarantine", quarantine)
        assert "succeeded" == (await workflow.answer(lone["id"])).data["conclusion"]
        for number, key in enumerate(("courier.query-devices.v1", "elsewhere")):
            await workflow.put(b"{", key)
            await until(partial(rejections, workflow, above=number))
        assert await workflow.parked()
    assert 0 == await service.end()
    again = await stand.service(BROKER_URL=users[COURIER], RETRY_DELAYS="1")
    assert 0 == await again.end()


async def test_the_operators_tools_work_with_their_permissions(
    stand: Stand, users: dict[str, str]
) -> None:
    """`check`, `send`, `parked` and `contracts validate`, as somebody else than the service."""
    await stand.appliances()
    await stand.service(BROKER_URL=users[COURIER])
    operator = {"BROKER_URL": users[OPERATOR]}
    query: tuple[str, ...] = ("send", "query-devices", "-a", "fvc-1", "--wait")
    tools: list[tuple[str, ...]] = [("check",), query, (*query, "--stream")]
    for arguments in tools:
        exit_code, output = await stand.courier(*arguments, **operator)
        assert 0 == exit_code, output
    assert 1 == (await stand.courier(*query[:-2], "A B", "--wait", **operator))[0]
    tools = [("parked", "list"), ("contracts", "validate", "--queue", "courier.unheard")]
    for arguments in (*tools, ("parked", "replay", "--all", "--yes")):
        exit_code, output = await stand.courier(*arguments, **operator)
        assert 0 == exit_code, output


async def bind(channel: AbstractChannel, exchange: str, queue: str = "theirs") -> None:
    await (await channel.get_queue(queue, ensure=False)).bind(exchange, "#")


async def unbind(channel: AbstractChannel, exchange: str) -> None:
    await (await channel.get_queue("theirs", ensure=False)).unbind(exchange, "#")


async def get(channel: AbstractChannel) -> None:
    await (await channel.get_queue("theirs", ensure=False)).get(fail=False)


async def never(_: AbstractIncomingMessage) -> None:
    """Be called for what is consumed."""


async def consume(channel: AbstractChannel) -> None:
    queue = await channel.get_queue("theirs", ensure=False)
    await queue.consume(never)


async def purge(channel: AbstractChannel) -> None:
    await (await channel.get_queue("theirs", ensure=False)).purge()


async def publish(channel: AbstractChannel, exchange: str) -> None:
    target = await channel.get_exchange(exchange, ensure=False)
    await target.publish(aio_pika.Message(b"canary"), "theirs")


FORBIDDEN: Final[dict[str, Try]] = {
    "declare a queue": lambda channel: channel.declare_queue("theirs-2"),
    "declare a queue without a name": lambda channel: channel.declare_queue(exclusive=True),
    "declare an exchange": lambda channel: channel.declare_exchange("theirs-2"),
    "bind another's queue": lambda channel: bind(channel, "courier.events"),
    "unbind another's queue": lambda channel: unbind(channel, "amq.topic"),
    "bind to another's exchange": lambda channel: bind(channel, "amq.topic", "courier.parked"),
    "read another's queue": get,
    "consume another's queue": consume,
    "empty another's queue": purge,
    "delete another's queue": lambda channel: channel.queue_delete("theirs"),
    "delete another's exchange": lambda channel: channel.exchange_delete("theirs"),
    "publish to another's exchange": lambda channel: publish(channel, "theirs"),
    "publish to the broker's exchange": lambda channel: publish(channel, "amq.topic"),
}
"""What the courier's user tries."""


@pytest.mark.parametrize("files", [("users.json",), ("users.json", "without-replies.json")])
async def test_the_courier_may_do_nothing_else(
    files: tuple[str, ...], broker: Rabbit, amqp_url: str
) -> None:
    """Whatever is not its own is refused: to declare, bind, read, empty, delete or publish."""
    with fenced(broker, amqp_url, "topology.json", *files) as users:
        async with await aio_pika.connect(amqp_url) as admin:
            channel = await admin.channel()
            theirs = await channel.declare_queue("theirs", durable=True)
            await theirs.bind(await channel.declare_exchange("theirs", durable=True))
        async with await aio_pika.connect(users[COURIER]) as connection:
            refused = [name for name in FORBIDDEN if await is_refused(connection, FORBIDDEN[name])]
        assert [*FORBIDDEN] == refused
        assert 0 == broker.queues(amqp_url.rsplit("/", 1)[1])["theirs"].ready


async def test_only_the_default_exchange_reaches_every_queue(
    broker: Rabbit, amqp_url: str, users: dict[str, str], mute: dict[str, str]
) -> None:
    """That is what replies cost: without them the courier cannot write to another's queue."""
    vhost = amqp_url.rsplit("/", 1)[1]
    async with await aio_pika.connect(amqp_url) as admin:
        await (await admin.channel()).declare_queue("theirs", durable=True)
    for url, expected in ((users[COURIER], False), (mute[COURIER], True)):
        async with await aio_pika.connect(url) as connection:
            publish_there = partial(publish, exchange="")
            assert expected is await is_refused(connection, publish_there)
    await until(lambda: broker.queues(vhost)["theirs"].ready == 1)


async def is_refused(connection: aio_pika.abc.AbstractConnection, what: Try) -> bool:
    channel = await connection.channel()
    try:
        await what(channel)
    except ChannelAccessRefused:
        return True
    return False


async def test_without_replies_every_command_still_ends_exactly_once(
    stand: Stand, amqp_url: str, mute: dict[str, str]
) -> None:
    """Whoever wants a reply gets none and is told so in the log; nobody else notices."""
    await stand.appliances()
    service = await stand.service(BROKER_URL=mute[COURIER], RETRY_DELAYS="5,30,120,600")
    async with working(amqp_url) as workflow:
        reply_to = await workflow.reply_to()
        asking = [command(name, dict(data)) for name, data in EACH]
        silent = [command("query-sms-balance", {"appliance": "fac-1"}) for _ in range(60)]
        await asyncio.gather(
            workflow.send(*asking, *silent[:30], reply_to=reply_to), workflow.send(*silent[30:])
        )
        await workflow.put(b"{", "courier.query-devices.v1", reply_to=reply_to)
        answers = await gather_answers(workflow, [each["id"] for each in silent])
        assert {"succeeded"} == {each.data["conclusion"] for each in answers}
        await until(lambda: all(ended(workflow, each["id"]) for each in asking))
        assert await until(lambda: rejections(workflow))
        assert await workflow.parked()
        wanted = len(asking) + 30 + 1
        await until(lambda: len(service.events("reply-undeliverable")) == wanted)
        told = [each.event["id"] for each in workflow.heard]
        assert sorted(set(told)) == sorted(told)
        assert ([], []) == (workflow.replies, service.events("publish-repeated"))
        reasons = {each["reason"] for each in service.events("reply-undeliverable")}
        assert any("ACCESS_REFUSED" in each for each in reasons), reasons
    exit_code, output = await stand.courier(
        "check", BROKER_URL=mute[COURIER], RETRY_DELAYS="5,30,120,600"
    )
    assert (0, True) == (exit_code, "no `reply_to` is answered" in output), output
    assert 0 == await service.end()


async def test_a_courier_that_may_not_declare_says_what_is_missing(
    stand: Stand, broker: Rabbit, amqp_url: str
) -> None:
    """Without replies somebody else has to declare what stands there; it does not hang."""
    await stand.appliances()
    with fenced(broker, amqp_url, "users.json", "without-replies.json") as users:
        service = await stand.service(ready=False, BROKER_URL=users[COURIER])
        assert 1 == await service.ended()
        (refused,) = service.events("start-refused")
        assert "access to exchange 'amq.default'" in refused["reason"], refused


def ended(workflow: Workflow, command_id: str) -> list[str]:
    """The conclusions that were told of a command."""
    found = [each.data for each in workflow.answers(command_id)]
    return [each["conclusion"] for each in found if "conclusion" in each]


def rejections(workflow: Workflow, *, above: int = 0) -> list[str]:
    """Why something was rejected; nothing until it happened often enough."""
    keys = [each.routing_key for each in workflow.heard if ".rejected." in each.routing_key]
    return keys if len(keys) > above else []
