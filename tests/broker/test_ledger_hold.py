"""The ledger's identity held on a real RabbitMQ: one ledger serves a virtual host at a time."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Final

import aio_pika
import pytest
from aiormq.abc import AbstractChannel
from yarl import URL

from service.errors import ConfigurationError
from service.topology import LEDGER_HOLD, SQLITE_OWNER
from service.topology.claims import EXPIRES, Claim
from service.topology.connection import Roaming, opened
from service.topology.ledger_hold import LAPSE_TIMEOUT, LEASE, LedgerHold
from tests.campaign.proxy import Link
from tests.support.rabbit import Rabbit
from tests.support.wait import until

TICK: Final = 5.0
"""Seconds between two looks of RabbitMQ for expired quorum queues."""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Roaming]:
    connection = await opened([URL(url)], None)
    async with connection:
        yield connection


@asynccontextmanager
async def holding(
    url: str, identity: str = "one", *, is_sqlite: bool = False
) -> AsyncIterator[LedgerHold]:
    """A courier's hold for as long as the body lasts; its connection ends with it."""
    hold = LedgerHold(identity, is_sqlite=is_sqlite)
    maintaining = asyncio.create_task(hold.maintain())
    try:
        async with connected(url) as connection:
            await hold.acquire(connection)
            yield hold
    finally:
        maintaining.cancel()


@asynccontextmanager
async def linked(url: str) -> AsyncIterator[tuple[Link, str]]:
    """A link to the broker, and the URL that leads over it."""
    at = URL(url)
    async with Link.opened(at.host or "", at.port or 0) as link:
        yield link, str(at.with_port(link.port))


async def delete(url: str, queue: str) -> None:
    """Delete a queue as an operator does."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        await channel.queue_delete(queue)


def vhost_of(url: str) -> str:
    return url.rsplit("/", 1)[1]


async def test_couriers_with_one_ledger_share_a_virtual_host(amqp_url: str) -> None:
    """Each holds it, whatever the others do."""
    async with holding(amqp_url) as one:
        async with holding(amqp_url) as other:
            assert (True, True) == (one.is_held, other.is_held)
        assert one.is_held


@pytest.mark.parametrize("sqlite_first", [False, True])
async def test_a_second_ledger_is_refused(amqp_url: str, *, sqlite_first: bool) -> None:
    """It names the queue and what to do; the first one keeps the hold."""
    async with holding(amqp_url, "one", is_sqlite=sqlite_first) as first:
        began = time.monotonic()
        with pytest.raises(ConfigurationError, match=r"courier\..*PostgreSQL"):
            async with holding(amqp_url, "two", is_sqlite=not sqlite_first):
                """Never come here."""
        # Who sees the SQLite courier itself knows that nothing is going to lapse.
        assert sqlite_first is (time.monotonic() - began < LAPSE_TIMEOUT)
        assert (True, None) == (first.is_held, first.idle_reason)


async def test_copies_of_one_file_are_two_ledgers(amqp_url: str) -> None:
    """They have one identity; the exclusive queue tells them apart, and goes with its owner."""
    async with holding(amqp_url, is_sqlite=True):
        with pytest.raises(ConfigurationError, match="use PostgreSQL"):
            async with holding(amqp_url, is_sqlite=True):
                """Never come here."""
    async with holding(amqp_url, is_sqlite=True) as again:
        assert again.is_held


async def test_a_courier_that_knows_only_the_owner_queue_is_seen(amqp_url: str) -> None:
    """One of an older release holds the exclusive queue and nothing else."""
    async with connected(amqp_url) as older, older.channel() as channel:
        await channel.declare_queue(SQLITE_OWNER, exclusive=True)
        with pytest.raises(ConfigurationError, match="a SQLite ledger serves"):
            async with holding(amqp_url):
                """Never come here."""


async def test_a_replaced_ledger_waits_until_the_lost_ones_hold_has_lapsed(amqp_url: str) -> None:
    """No operator has to do anything, and it takes no longer than a start waits."""
    async with holding(amqp_url, "lost", is_sqlite=True):
        """End."""
    ended = time.monotonic()
    async with holding(amqp_url, "new", is_sqlite=True) as new:
        took = time.monotonic() - ended
        assert new.is_held
    assert LEASE < took < LAPSE_TIMEOUT


@pytest.mark.parametrize("queue", [LEDGER_HOLD, SQLITE_OWNER])
async def test_a_deleted_queue_is_noticed_at_once_and_held_again(amqp_url: str, queue: str) -> None:
    """By the end of the consumer, long before the next confirmation."""
    hold = LedgerHold("one", is_sqlite=True)  # and nothing maintains it
    async with connected(amqp_url) as connection:
        await hold.acquire(connection)
        deleting = connection if queue == SQLITE_OWNER else None
        if deleting is None:
            await delete(amqp_url, queue)
        else:
            async with deleting.channel() as channel:
                await channel.queue_delete(queue)
        await until(lambda: not hold.is_held, patience=LEASE / 4)
        maintaining = asyncio.create_task(hold.maintain())
        await until(lambda: hold.is_held)
        assert hold.idle_reason is None
        maintaining.cancel()


async def test_whoever_lost_it_to_another_ledger_says_so_until_that_is_gone(
    amqp_url: str,
) -> None:
    """Not held and not ready; held again when the other one's hold has lapsed."""
    async with linked(amqp_url) as (link, through), holding(through, "one") as first:
        link.cut()
        async with holding(amqp_url, "two") as second:
            link.heal()
            await until(lambda: first.idle_reason == "ledger-conflict")
            assert (False, True) == (first.is_held, second.is_held)
        await until(lambda: first.is_held)
        assert first.idle_reason is None
        assert first.taken_over_at is not None


async def test_it_is_not_held_while_the_connection_is_lost(amqp_url: str) -> None:
    """From the moment that the connection is cut until it is held on a new one."""
    async with linked(amqp_url) as (link, through), holding(through, is_sqlite=True) as hold:
        link.cut()
        await until(lambda: not hold.is_held, patience=LEASE / 4)
        assert "consumer-missing" == hold.idle_reason
        link.heal()
        await until(lambda: hold.is_held)


async def test_it_ends_by_itself_when_only_the_broker_knows_that_the_connection_is_lost(
    amqp_url: str, broker: Rabbit
) -> None:
    """Before the queue can expire, so before another ledger can have the virtual host."""
    async with linked(amqp_url) as (link, through), holding(through) as hold:
        link.half_open(["to-courier"])
        for each in await until(lambda: broker.connections(vhost_of(amqp_url))):
            await asyncio.to_thread(broker.close_connection, each)
        await until(lambda: not hold.is_held, patience=LEASE + 1)
        assert LEDGER_HOLD in broker.queues(vhost_of(amqp_url))
        async with holding(amqp_url, "two") as other:
            assert (True, False) == (other.is_held, hold.is_held)


async def test_a_policy_for_all_queues_does_no_harm(amqp_url: str, broker: Rabbit) -> None:
    """Neither queue expires while its consumer is there, and the ledger keeps the virtual host."""
    definition = {"expires": 100, "message-ttl": 1, "max-length": 0}
    policy = {"name": "all", "pattern": ".*", "apply-to": "queues", "definition": definition}
    broker.load({"policies": [{"vhost": vhost_of(amqp_url), **policy}]})
    async with holding(amqp_url, is_sqlite=True) as hold:
        began = time.monotonic()
        await until(lambda: not hold.is_held or time.monotonic() > began + EXPIRES + TICK)
        assert hold.is_held
        with pytest.raises(ConfigurationError):
            async with holding(amqp_url, "two", is_sqlite=True):
                """Never come here."""


@pytest.mark.parametrize("right", ["configure", "read"])
async def test_a_user_who_may_not_hold_it_is_told_its_name(
    amqp_url: str, broker: Rabbit, right: str
) -> None:
    """A permission is missing: which queue, and which setting names the user."""
    broker.set_password("limited", "secret")
    everything = {"configure": ".*", "write": ".*", "read": ".*", right: "^$"}
    vhost = vhost_of(amqp_url)
    broker.load({"permissions": [{"user": "limited", "vhost": vhost, **everything}]})
    url = str(URL(amqp_url).with_user("limited").with_password("secret"))
    try:
        with pytest.raises(ConfigurationError, match=r"COURIER_BROKER_URL.*courier\.ledger"):
            async with holding(url):
                """Never come here."""
    finally:
        broker.delete_user("limited")


class Nameless(Claim):
    """A claim whose next call ends as aiormq ends one on a channel that is closed for no reason."""

    calls: ClassVar[int] = 0

    async def declare(self, channel: AbstractChannel) -> int:
        type(self).calls += 1
        if type(self).calls == 1:
            raise Exception  # noqa: TRY002  # as `aiormq.base.FutureStore.reject_all` does
        return await super().declare(channel)


async def test_it_is_held_again_after_a_call_that_failed_without_a_reason(amqp_url: str) -> None:
    """Or the courier would write nothing more until the watchdog ends it."""
    async with holding(amqp_url) as hold:
        (claim,) = hold._claims  # noqa: SLF001  # there is no other way to meet the bare error
        hold._claims[:] = [Nameless(claim.name, claim.exclusive, claim.arguments)]  # noqa: SLF001
        await until(lambda: Nameless.calls)
        await until(lambda: Nameless.calls > 1 and hold.is_held, patience=2 * LEASE)
