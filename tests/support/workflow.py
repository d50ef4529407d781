"""A provisioning workflow, written from the contracts alone: sends commands, hears events."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypedDict
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractRobustConnection
from jsonschema import Draft202012Validator
from pamqp.common import FieldValue
from typing_extensions import Unpack

from tests.support.canaries import Canaries, Told
from tests.support.wait import until

CONTRACTS = Path(__file__).parents[2] / "contracts"
SOURCE = "/workflow"
_CONNECTED = 10.0
_RESTORED = 5.0
Json = dict[str, Any]


class Properties(TypedDict, total=False):
    """The AMQP properties that a test may set."""

    message_id: str
    correlation_id: str
    reply_to: str
    content_encoding: str
    expiration: float
    headers: dict[str, FieldValue]


@cache
def schema_of(event_type: str) -> Draft202012Validator:
    """The contract of an event, found by its type as `contracts/README.md` says."""
    name, version = event_type.removeprefix("courier.").rsplit(".", 1)
    path = CONTRACTS / "events" / name / f"{version}.schema.json"
    return Draft202012Validator(json.loads(path.read_text()))


@dataclass(frozen=True)
class Heard:
    """One event as it was delivered."""

    routing_key: str
    event: Json
    message: AbstractIncomingMessage

    @property
    def data(self) -> Json:
        return dict(self.event["data"])


def licence(number: int) -> str:
    return f"AB12-CD34-{number:04d}-EF56-{number:04d}"


def command(name: str, data: Json, *, id: str | None = None, **attributes: object) -> Json:  # noqa: A002
    return {
        "specversion": "1.0",
        "id": id or str(uuid4()),
        "source": SOURCE,
        "type": f"courier.{name}.v1",
        **attributes,
        "data": data,
    }


class Workflow:
    """Bound to events before it sends anything.

    Attributes:
        at: all workflows that there were, by the address that they worked at.
        heard: the events, in order.
        replies: what came to the queue of `reply_to`.
        canaries: the licences and files that it sent.
    """

    at: ClassVar[dict[str, list["Workflow"]]] = defaultdict(list)

    def __init__(self, connection: AbstractRobustConnection, channel: AbstractChannel) -> None:
        self._connection = connection
        self.channel = channel
        self.heard: list[Heard] = []
        self.replies: list[AbstractIncomingMessage] = []
        self.canaries = Canaries()

    @property
    def is_connected(self) -> bool:
        return self._connection.connected.is_set()

    async def listen(self, routing_key: str) -> None:
        queue = await self.channel.declare_queue(
            f"workflow-{uuid4().hex}", durable=True, arguments={"x-queue-type": "quorum"}
        )
        await queue.bind("courier.events", routing_key)
        await queue.consume(self._on_event)

    async def _on_event(self, message: AbstractIncomingMessage) -> None:
        event = json.loads(message.body)
        self.heard.append(Heard(message.routing_key or "", event, message))
        await message.ack()

    async def reply_to(self) -> str:
        """Name a queue of its own, for those who shall answer it directly."""
        queue = await self.channel.declare_queue(exclusive=True)
        await queue.consume(self._on_reply, no_ack=True)
        return queue.name

    async def _on_reply(self, message: AbstractIncomingMessage) -> None:
        self.replies.append(message)

    def told(self) -> list[Told]:
        """Everything that it heard: bodies, headers, properties."""
        messages = [(f"the event {each.routing_key}", each.message) for each in self.heard]
        messages += [("a reply", each) for each in self.replies]
        return [
            (where, f"{message.body.decode()}\n{message.info()}") for where, message in messages
        ]

    async def send(self, *documents: Json, **properties: Unpack[Properties]) -> None:
        exchange = await self.channel.get_exchange("courier.commands", ensure=False)
        for document in documents:
            await self.put(json.dumps(document).encode(), document["type"], exchange, **properties)

    async def put(
        self,
        body: bytes,
        routing_key: str,
        exchange: aio_pika.abc.AbstractExchange | None = None,
        **properties: Unpack[Properties],
    ) -> None:
        """Publish any bytes as a command."""
        if exchange is None:
            exchange = await self.channel.get_exchange("courier.commands", ensure=False)
        self.canaries.add_message(body)
        message = aio_pika.Message(body, delivery_mode=2, **properties)
        await exchange.publish(message, routing_key)

    def answers(self, command_id: str) -> list[Heard]:
        """Every event that was told about a command."""
        return [each for each in self.heard if each.event.get("causationid") == command_id]

    async def answer(self, command_id: str, *, patience: float = 90.0) -> Heard:
        """The first event about a command; it must follow its contract."""
        found = await until(lambda: self.answers(command_id), patience=patience)
        schema_of(found[0].event["type"]).validate(found[0].event)
        return found[0]

    async def parked(self) -> AbstractIncomingMessage | None:
        queue = await self.channel.get_queue("courier.parked", ensure=False)
        return await queue.get(no_ack=True, fail=False)


class _Steady(aio_pika.RobustConnection):
    """A connection that does not wait for ever: aio-pika's own may, when it is lost once more."""

    async def _on_connected(self) -> None:
        try:
            async with asyncio.timeout(_RESTORED):
                await super()._on_connected()
        except TimeoutError as error:
            if self.transport is not None:
                await asyncio.gather(self.transport.connection.close(error), return_exceptions=True)
            raise


@asynccontextmanager
async def working(url: str, routing_key: str = "#") -> AsyncIterator[Workflow]:
    """A workflow, bound to all events unless it says otherwise.

    The service must have declared its exchanges before.
    """
    connection = await aio_pika.connect_robust(
        url, reconnect_interval=0.5, timeout=_CONNECTED, connection_class=_Steady
    )
    async with connection:
        workflow = Workflow(connection, await connection.channel())
        Workflow.at[url].append(workflow)
        await workflow.listen(routing_key)
        yield workflow


async def gather_answers(
    workflow: Workflow, ids: list[str], *, patience: float = 120.0
) -> list[Heard]:
    """One answer for each command, in order."""
    async with asyncio.timeout(patience):
        return [await workflow.answer(each, patience=patience) for each in ids]
