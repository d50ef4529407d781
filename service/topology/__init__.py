"""What stands on the broker, and the one way to publish there.

The names and arguments are public (they cannot change later), so they are written down once,
here, declared at start and held against what the broker has. `publisher` sends with confirms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed

from service.errors import ConfigurationError, TopologyMismatch
from service.messages.commands import COMMANDS, name_of
from service.topology.connection import underlay

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aio_pika.abc import AbstractRobustConnection
    from aiormq.abc import AbstractChannel
    from pamqp.common import FieldTable

COMMANDS_EXCHANGE = "courier.commands"
EVENTS_EXCHANGE = "courier.events"
UNROUTED = "courier.unrouted"
UNHEARD = "courier.unheard"
UNKNOWN_COMMAND = "courier.unknown-command"
QUARANTINE = "courier.quarantine"
PARKED = "courier.parked"
SQLITE_OWNER = "courier.sqlite-owner"
LEDGER_HOLD = "courier.ledger"
OWN_PREFIX = "courier."
WORK_LIMIT = 10
QUARANTINE_LIMIT = 3

# Quorum queues from RabbitMQ 4 on drop a message after 20 deliveries unless told otherwise, and
# 3.10 knows no word for "unlimited". A parked message must survive any number of looks.
_NO_LIMIT = 2**31 - 1
_SAFE: FieldTable = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
_DIFFERENCE = re.compile(r"inequivalent arg '(?P<argument>[^']+)' for .*?: (?P<what>.*)")


@dataclass(frozen=True)
class Exchange:
    """A durable exchange.

    Attributes:
        kind: topic or fanout.
        alternate: where messages go that no queue is bound for.
    """

    name: str
    kind: str
    alternate: str | None = None

    @property
    def arguments(self) -> FieldTable:
        """The AMQP arguments."""
        return {"alternate-exchange": self.alternate} if self.alternate else {}


@dataclass(frozen=True)
class Queue:
    """A durable quorum queue.

    Attributes:
        arguments: beside the queue type.
        bound_to: the exchange that it is bound to.
        routing_key: the binding's key.
    """

    name: str
    arguments: FieldTable = field(default_factory=dict)
    bound_to: str | None = None
    routing_key: str = ""

    @property
    def all_arguments(self) -> FieldTable:
        """The AMQP arguments."""
        return {"x-queue-type": "quorum", **self.arguments}


def _dead_letters_to(queue: str, *, after: int) -> FieldTable:
    return {
        "x-delivery-limit": after,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        **_SAFE,
    }


def retry_name(delay: int) -> str:
    """Name the exchange and queue in which a copy waits for so many seconds."""
    return f"{OWN_PREFIX}retry.{delay}s"


def work_queues() -> list[Queue]:
    """List the queues that bring commands; the last one brings what no other was bound for."""
    limit = _dead_letters_to(QUARANTINE, after=WORK_LIMIT)
    names = [OWN_PREFIX + name_of(command_type) for command_type in COMMANDS]
    bound = [Queue(name, limit, COMMANDS_EXCHANGE, f"{name}.*") for name in names]
    return [*bound, Queue(UNKNOWN_COMMAND, limit, UNROUTED)]


def quarantine_queue() -> Queue:
    """Give the queue in which a message that was delivered too often is run alone."""
    return Queue(QUARANTINE, _dead_letters_to(PARKED, after=QUARANTINE_LIMIT))


def exchanges(delays: Iterable[int]) -> list[Exchange]:
    """List all exchanges."""
    return [
        Exchange(UNROUTED, "fanout"),
        Exchange(UNHEARD, "fanout"),
        # The default exchange would do, but who may write to that one may write to every queue.
        Exchange(PARKED, "direct"),
        Exchange(COMMANDS_EXCHANGE, "topic", UNROUTED),
        Exchange(EVENTS_EXCHANGE, "topic", UNHEARD),
        *(Exchange(retry_name(delay), "fanout") for delay in delays),
    ]


def queues(delays: Iterable[int]) -> list[Queue]:
    """List all queues."""
    return [
        Queue(PARKED, {"x-delivery-limit": _NO_LIMIT}, PARKED, PARKED),
        quarantine_queue(),
        *work_queues(),
        Queue(UNHEARD, {"x-max-length": 100_000, "x-overflow": "drop-head"}, UNHEARD),
        # No dead-letter routing key: the copy's own key, its work queue, brings it back there.
        *(
            Queue(
                retry_name(delay),
                {"x-message-ttl": delay * 1000, "x-dead-letter-exchange": "", **_SAFE},
                retry_name(delay),
            )
            for delay in delays
        ),
    ]


@dataclass(frozen=True)
class Count:
    """How many messages wait in a queue, and how many consumers it has."""

    messages: int
    consumers: int


async def declare(connection: AbstractRobustConnection, delays: Sequence[int]) -> dict[str, Count]:
    """Declare everything that does not stand, and find what stands there differently.

    Args:
        connection: with permission to configure `courier.*`.
        delays: the retry delays, in whole seconds.

    Returns:
        How full each queue is, by name.

    Raises:
        TopologyMismatch: one line per exchange or queue, with the argument that differs.
        ConfigurationError: the broker's user may not declare.
    """
    unique = sorted(set(delays))
    counts, differences = {}, []
    transport = underlay(connection)
    channel = await transport.channel(publisher_confirms=False)
    items: list[Exchange | Queue] = [*exchanges(unique), *queues(unique)]
    for item in items:
        try:
            if isinstance(item, Exchange):
                await _declare_exchange(channel, item)
            else:
                counts[item.name] = await _declare_queue(channel, item)
        except ChannelPreconditionFailed as error:
            differences.append(_explain(item, str(error)))
            channel = await transport.channel(publisher_confirms=False)  # closed by the broker
        except ChannelAccessRefused as error:
            raise ConfigurationError(f"COURIER_BROKER_URL: {error}") from None
    await channel.close()
    if differences:
        raise TopologyMismatch("\n".join(differences))
    return counts


async def _declare_exchange(channel: AbstractChannel, exchange: Exchange) -> None:
    await channel.exchange_declare(
        exchange.name, exchange_type=exchange.kind, durable=True, arguments=exchange.arguments
    )


async def _declare_queue(channel: AbstractChannel, queue: Queue) -> Count:
    found = await channel.queue_declare(queue.name, durable=True, arguments=queue.all_arguments)
    if queue.bound_to:
        await channel.queue_bind(queue.name, queue.bound_to, routing_key=queue.routing_key)
    return Count(found.message_count or 0, found.consumer_count or 0)


def _explain(item: Exchange | Queue, text: str) -> str:
    kind = type(item).__name__.lower()
    found = _DIFFERENCE.search(text)
    if found is None:
        return f"{kind} {item.name} on the broker is not ours: {text}"
    return f"{kind} {item.name} on the broker differs in {found['argument']}: {found['what']}"
