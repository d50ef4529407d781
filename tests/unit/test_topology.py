"""The table of interface.md: names and arguments cannot change once a broker has them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed

from service import topology
from service.errors import ConfigurationError, TopologyMismatch
from service.topology import (
    PARKED,
    Count,
    claims,
    declare,
    exchanges,
    ledger_hold,
    quarantine_queue,
    queues,
    retry_name,
    work_queues,
)
from service.topology.claims import ledger_claim

if TYPE_CHECKING:
    from aio_pika.abc import AbstractRobustConnection

SAFE: Final = {
    "x-queue-type": "quorum",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}
WORK: Final = SAFE | {
    "x-delivery-limit": 10,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "courier.quarantine",
}
COMMANDS: Final = [
    *("activate-sms-license", "query-sms-balance"),
    *("apply-voice-license", "query-devices", "query-appliance-status"),
]
QUEUES: Final[dict[str, tuple[dict[str, Any], tuple[str | None, str]]]] = {
    **{f"courier.{name}": (WORK, ("courier.commands", f"courier.{name}.*")) for name in COMMANDS},
    "courier.unknown-command": (WORK, ("courier.unrouted", "")),
    "courier.quarantine": (
        WORK | {"x-delivery-limit": 3, "x-dead-letter-routing-key": "courier.parked"},
        (None, ""),
    ),
    "courier.parked": (
        {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1},
        ("courier.parked", "courier.parked"),
    ),
    "courier.unheard": (
        {"x-queue-type": "quorum", "x-max-length": 100_000, "x-overflow": "drop-head"},
        ("courier.unheard", ""),
    ),
    "courier.retry.5s": (
        SAFE | {"x-message-ttl": 5_000, "x-dead-letter-exchange": ""},
        ("courier.retry.5s", ""),
    ),
    "courier.retry.600s": (
        SAFE | {"x-message-ttl": 600_000, "x-dead-letter-exchange": ""},
        ("courier.retry.600s", ""),
    ),
}
EXCHANGES: Final = {
    "courier.commands": ("topic", {"alternate-exchange": "courier.unrouted"}),
    "courier.events": ("topic", {"alternate-exchange": "courier.unheard"}),
    "courier.unrouted": ("fanout", {}),
    "courier.unheard": ("fanout", {}),
    "courier.parked": ("direct", {}),
    "courier.retry.5s": ("fanout", {}),
    "courier.retry.600s": ("fanout", {}),
}


@dataclass(frozen=True)
class DeclareOk:
    """The broker's answer: how many messages wait, and how many consumers there are."""

    message_count: int
    consumer_count: int


class FakeBroker:
    """Remembers what is declared; answers as RabbitMQ does when something stands there already.

    Attributes:
        differs: by name, what the broker says of an exchange or queue; it closes the channel.
        channels: how many were opened.
    """

    def __init__(self, differs: dict[str, Exception] | None = None) -> None:
        self.differs = differs or {}
        self.declared: dict[str, dict[str, object]] = {}
        self.bindings: list[tuple[str, str, str]] = []
        self.channels = 0

    @property
    def transport(self) -> "FakeBroker":
        return self

    @property
    def connection(self) -> "FakeBroker":
        return self

    async def channel(self, *, publisher_confirms: bool) -> "FakeChannel":
        assert not publisher_confirms
        self.channels += 1
        return FakeChannel(self)


class FakeChannel:
    """A channel, which is gone once the broker has found a difference."""

    def __init__(self, broker: FakeBroker) -> None:
        self._broker = broker
        self._closed = False

    async def exchange_declare(self, name: str, *, exchange_type: str, **told: object) -> None:
        self._take(f"exchange {name}", {"kind": exchange_type, **told})

    async def queue_declare(self, name: str, **told: object) -> DeclareOk:
        self._take(f"queue {name}", told)
        return DeclareOk(len(name), 1)

    async def queue_bind(self, queue: str, exchange: str, *, routing_key: str) -> None:
        self._broker.bindings.append((queue, exchange, routing_key))

    async def close(self) -> None:
        assert not self._closed

    def _take(self, name: str, told: dict[str, object]) -> None:
        assert not self._closed, "the broker has closed this channel"
        self._broker.declared[name] = told
        if name in self._broker.differs:
            self._closed = True
            raise self._broker.differs[name]


async def declared(broker: FakeBroker, *delays: int) -> FakeBroker:
    await declare(cast("AbstractRobustConnection", broker), delays)
    return broker


def test_the_queues_are_those_of_interface_md() -> None:
    """Each queue has exactly the public arguments and binding."""
    assert QUEUES == {
        queue.name: (queue.all_arguments, (queue.bound_to, queue.routing_key))
        for queue in queues([5, 600])
    }


def test_the_exchanges_are_those_of_interface_md() -> None:
    """Each exchange has its kind, and its alternate where a message must not get lost."""
    found = {exchange.name: (exchange.kind, exchange.arguments) for exchange in exchanges([5, 600])}
    assert EXCHANGES == found


def test_a_retry_queue_has_no_dead_letter_routing_key() -> None:
    """A copy comes back by its own routing key, the work queue's name."""
    retrying = next(queue for queue in queues([5]) if queue.name == retry_name(5))
    assert "x-dead-letter-routing-key" not in retrying.all_arguments
    assert retrying.bound_to == retrying.name == "courier.retry.5s"


def test_commands_come_by_their_own_queues() -> None:
    """One queue per command and one for the unrouted are consumed; the quarantine apart."""
    expected = [f"courier.{name}" for name in [*COMMANDS, "unknown-command"]]
    assert sorted(expected) == sorted(queue.name for queue in work_queues())
    assert "courier.quarantine" == quarantine_queue().name


def test_the_owners_queue_is_declared_by_its_owner_only() -> None:
    """`courier.sqlite-owner` is exclusive: whoever declares it, holds it."""
    assert "courier.sqlite-owner" == topology.SQLITE_OWNER
    assert topology.SQLITE_OWNER not in {queue.name for queue in queues([5])}


def test_the_hold_stands_for_a_ledger_and_says_nothing_else() -> None:
    """`courier.ledger` differs between ledgers in one argument; its arguments are public."""
    one, same, other = (ledger_claim(identity) for identity in ("one", "one", "other"))
    assert "courier.ledger" == one.name
    assert one == same
    assert one != other
    assert {"x-queue-type": "quorum", "x-expires": 6000, "x-max-length": 0} == {
        **one.arguments,
        "x-max-length": 0,
    }
    assert topology.LEDGER_HOLD not in {queue.name for queue in queues([5])}


def test_the_hold_is_given_up_before_the_queue_can_expire() -> None:
    """A courier that hears nothing stops writing, confirms several times before, and only then."""
    assert 3 * ledger_hold.CONFIRM_INTERVAL < ledger_hold.LEASE < claims.EXPIRES
    assert claims.EXPIRES + 5 < ledger_hold.LAPSE_TIMEOUT


async def test_everything_is_declared_durable_and_bound() -> None:
    """One start declares the whole table, whatever the order and number of the delays."""
    broker = await declared(FakeBroker(), 600, 5, 5)
    expected = {f"queue {name}" for name in QUEUES} | {f"exchange {name}" for name in EXCHANGES}
    assert expected == set(broker.declared)
    assert all(told["durable"] for told in broker.declared.values())
    bound = [(name, *binding) for name, (_, binding) in QUEUES.items() if binding[0]]
    assert sorted(map(str, bound)) == sorted(map(str, broker.bindings))


async def test_every_difference_is_told_at_once() -> None:
    """What stands there differently is listed by name and argument, and the rest is declared."""
    numbers = "received '2147483647' but current is '20'"
    text = (
        "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'courier.parked'"
        f" in vhost '/': {numbers}"
    )
    odd = "PRECONDITION_FAILED - something else"
    broker = FakeBroker(
        {
            "queue courier.parked": ChannelPreconditionFailed(text),
            "exchange courier.events": ChannelPreconditionFailed(odd),
        }
    )
    with pytest.raises(TopologyMismatch) as caught:
        await declared(broker, 5)
    expected = [
        f"exchange courier.events on the broker is not ours: {odd}",
        f"queue courier.parked on the broker differs in x-delivery-limit: {numbers}",
    ]
    assert expected == str(caught.value).splitlines()
    assert 1 + len(broker.differs) == broker.channels
    assert len(exchanges([5])) + len(queues([5])) == len(broker.declared)


async def test_how_full_the_queues_are_is_told() -> None:
    """Declaring what stands already is asking how it stands."""
    counts = await declare(cast("AbstractRobustConnection", FakeBroker()), [5])
    assert {queue.name for queue in queues([5])} == set(counts)
    assert Count(len(PARKED), 1) == counts[PARKED]


async def test_a_user_who_may_not_declare_is_a_clear_error() -> None:
    """Missing permission names the setting that says which user it is."""
    broker = FakeBroker({"queue courier.parked": ChannelAccessRefused("ACCESS_REFUSED")})
    with pytest.raises(ConfigurationError, match=r"^COURIER_BROKER_URL: ACCESS_REFUSED"):
        await declared(broker, 5)
