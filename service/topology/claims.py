"""The queues that a courier holds on a virtual host for its ledger; nothing is published there."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiormq.exceptions import ChannelLockedResource, ChannelNotFoundEntity

from service.topology import LEDGER_HOLD, SQLITE_OWNER
from service.topology.connection import underlay

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection
    from aiormq.abc import AbstractChannel, DeliveredMessage
    from pamqp.common import FieldTable

EXPIRES: Final = 6.0
"""Seconds from the last consumer's end to the earliest deletion. RabbitMQ looks for expired quorum
queues every `quorum_tick_interval` (5 s), so the hold lapses after 6 to 11 s."""
DELETION_PAUSE: Final = 0.25
"""Seconds between a deletion and the next declaration. While the members of the old quorum queue
end, RabbitMQ 3.10 cannot make the new one and closes the connection (`cluster_not_formed`)."""
OTHER_LEDGER: Final = (
    f"COURIER_LEDGER_URL: another courier with another ledger serves this virtual host, or did a"
    f" moment ago: queue {LEDGER_HOLD} is held for it. Let all couriers of a virtual host use one"
    f" PostgreSQL ledger; to replace a ledger, end every courier that uses the old one first"
)
OTHER_OWNER: Final = (
    f"COURIER_LEDGER_URL: another courier with a SQLite ledger serves this virtual host: it holds"
    f" queue {SQLITE_OWNER}; for several couriers let all of them use PostgreSQL"
)
_LAPSE_POLL: Final = 0.5
_NUMBER_BITS: Final = 62


@dataclass(frozen=True)
class Claim:
    """A queue that is held by declaring it and consuming from it.

    Attributes:
        exclusive: it belongs to one connection and is deleted with it.
    """

    name: str
    exclusive: bool = False
    arguments: FieldTable = field(default_factory=dict)

    async def declare(self, channel: AbstractChannel) -> int:
        """Declare the queue; return how many consumers it has.

        Raises:
            ChannelPreconditionFailed: it is declared for another ledger.
            ChannelLockedResource: it is exclusive to another connection.
            ChannelAccessRefused: the broker's user may not declare it.
        """
        found = await channel.queue_declare(
            self.name,
            durable=not self.exclusive,
            exclusive=self.exclusive,
            arguments=self.arguments,
        )
        return found.consumer_count or 0

    async def consume(self, channel: AbstractChannel) -> None:
        """Keep the queue from expiring, and have its deletion announced by `basic.cancel`."""
        await channel.basic_consume(self.name, _discard, no_ack=True, consumer_tag=self.name)


SQLITE_CLAIM: Final = Claim(SQLITE_OWNER, exclusive=True)


def ledger_claim(identity: str) -> Claim:
    """Return the claim to `courier.ledger` for the ledger with this identity."""
    digest = hashlib.sha256(identity.encode()).digest()
    arguments: FieldTable = {
        "x-queue-type": "quorum",
        "x-expires": round(EXPIRES * 1000),
        "x-max-length": int.from_bytes(digest[:8], "big") >> (64 - _NUMBER_BITS),
    }
    return Claim(LEDGER_HOLD, arguments=arguments)


async def wait_for_lapse(connection: AbstractConnection) -> None:
    """Return when `courier.ledger` has expired. Waits for ever while a courier consumes from it."""
    while True:
        await asyncio.sleep(_LAPSE_POLL)
        channel = await underlay(connection).channel(publisher_confirms=False)
        try:
            await channel.queue_declare(LEDGER_HOLD, passive=True)
        except ChannelNotFoundEntity:
            await asyncio.sleep(DELETION_PAUSE)
            return
        await channel.close()


async def is_owned(connection: AbstractConnection) -> bool:
    """Tell whether another connection has `courier.sqlite-owner`."""
    channel = await underlay(connection).channel(publisher_confirms=False)
    try:
        await channel.queue_declare(SQLITE_OWNER, passive=True)
    except ChannelNotFoundEntity:
        return False  # and the broker has closed the channel
    except ChannelLockedResource:
        return True
    await channel.close()
    return False


async def _discard(_: DeliveredMessage) -> None:
    """Drop what others may publish to the queue."""
