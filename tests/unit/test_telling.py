"""What a delivery's headers say, and the messages that settle it."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from aio_pika import DeliveryMode, IncomingMessage, Message
from pamqp import encode

from service.consumers import telling
from service.consumers.telling import Story, event_message, parked_copy, retry_copy
from service.errors import Code, PublishFailed
from service.execution import Retry
from service.messages.encode import Event
from service.messages.wire import now, parse_instant
from tests.unit.making import command, delivery

if TYPE_CHECKING:
    from service.topology.publisher import Publisher

RECEIVED: Final = "2026-03-04T09:12:31.123Z"
AT: Final = datetime(2026, 3, 4, 9, 12, 31, tzinfo=UTC)
EVENT: Final = Event(
    id="e-1",
    source="/courier",
    type="courier.query-sms-balance.finished.v1",
    time=AT,
    outcome="succeeded",
    data=b"{}",
    appliance="fac-1",
    correlation_id="order-7",
)
PROPERTIES: Final[dict[str, Any]] = {
    "content_type": "text/odd",
    "content_encoding": "utf-8",
    "priority": 3,
    "correlation_id": "request-1",
    "reply_to": "answers",
    "message_id": "m-1",
    "timestamp": AT,
    "message_type": "odd",
    "app_id": "portal",
}


def story(
    headers: dict[str, Any] | None = None,
    *,
    redelivered: bool = False,
    queue: str = "courier.quarantine",
) -> Story:
    return Story.of(delivery(headers, redelivered=redelivered), queue)


def facts(found: Story) -> tuple[int, bool, Code | None, int, bool, bool]:
    """All that a story says, but for the instant of the receipt."""
    return (
        *(found.attempts, found.had_intent, found.last_error),
        *(found.deliveries, found.redelivered, found.expired),
    )


NOTHING: Final = (0, False, None, 0, False, False)


class FakePublisher:
    """Remembers what was confirmed, in order; a queue that is gone refuses.

    Attributes:
        sent: (exchange, routing key, message).
        gone: queues that nobody has.
    """

    def __init__(self, *gone: str) -> None:
        self.gone = gone
        self.sent: list[tuple[str, str, Message]] = []

    async def publish_until_confirmed(
        self, message: Message, *, exchange: str, routing_key: str
    ) -> None:
        self.sent.append((exchange, routing_key, message))

    async def publish(
        self, message: Message, *, exchange: str, routing_key: str, mandatory: bool = True
    ) -> None:
        if mandatory and routing_key in self.gone:
            raise PublishFailed("returned")
        self.sent.append((exchange, routing_key, message))

    @property
    def used(self) -> "Publisher":
        return cast("Publisher", self)


def test_a_first_delivery_has_no_story() -> None:
    """Without headers a command is new, received now, and has its whole time."""
    began = now()
    found = story()
    assert NOTHING == facts(found)
    assert began <= found.received_at <= now()


def test_a_retry_copy_tells_its_story() -> None:
    """What the copy was given is what the next delivery knows."""
    found = story(
        {
            "courier-attempt": 3,
            "courier-received-at": RECEIVED,
            "courier-intent": True,
            "courier-last-error": "unreachable",
        }
    )
    assert (3, True, Code.UNREACHABLE, 0, True, False) == facts(found)
    assert parse_instant(RECEIVED) == found.received_at


def test_a_story_is_told_to_the_execution() -> None:
    """Nothing that the headers say gets lost on the way."""
    headers = {"courier-attempt": 3, "courier-received-at": RECEIVED, "courier-intent": True}
    death = {"reason": "expired", "queue": "courier.activate-sms-license"}
    headers |= {"courier-last-error": "unreachable", "x-death": [death]}
    received = story(headers).received(command())
    assert command() == received.command
    assert (parse_instant(RECEIVED), 3, True, True, Code.UNREACHABLE, True) == (
        *(received.received_at, received.attempts, received.had_intent),
        *(received.redelivered, received.last_error, received.expired),
    )


@pytest.mark.parametrize(
    "nonsense", [None, "", "x", -1, 0, False, 1.5, b"x", [], ["x"], {}, {"a": 1}, AT], ids=repr
)
@pytest.mark.parametrize(
    "header",
    [
        *("courier-attempt", "courier-intent", "courier-last-error"),
        *("x-delivery-count", "x-death"),
    ],
)
def test_a_header_that_makes_no_sense_counts_as_absent(header: str, nonsense: object) -> None:
    """Whoever can publish can write headers: none of them may stop a command."""
    found = story({header: nonsense})
    assert NOTHING == facts(found)


@pytest.mark.parametrize("nonsense", [None, "", "yesterday", 7, [], {}, "2026-02-30T00:00:00Z"])
def test_an_instant_that_makes_no_sense_counts_as_absent(nonsense: object) -> None:
    """A command whose receipt cannot be read is received now, and not for the second time."""
    found = story({"courier-received-at": nonsense})
    assert NOTHING == facts(found)
    assert now() - found.received_at < timedelta(minutes=1)


def test_true_is_no_number_of_attempts() -> None:
    """A boolean where a number belongs makes no sense."""
    assert 0 == story({"courier-attempt": True}).attempts


@pytest.mark.parametrize(
    ("redelivered", "headers"),
    [(True, {}), (False, {"x-delivery-count": 1}), (False, {"courier-received-at": RECEIVED})],
)
def test_a_second_delivery_is_known_as_one(redelivered: bool, headers: dict[str, Any]) -> None:
    """The broker's flag, its count and our own copy say the same thing."""
    assert story(headers, redelivered=redelivered).redelivered


@pytest.mark.parametrize(
    ("expected", "deaths"),
    [
        (True, [{"reason": "expired", "queue": "courier.query-devices"}]),
        (False, [{"reason": "expired", "queue": "a-producers-delay-queue"}]),
        (False, [{"reason": "expired", "queue": "courier.retry.5s"}]),
        (False, [{"reason": "delivery_limit", "queue": "courier.query-devices"}]),
        (False, ["expired", None, 7]),
    ],
)
def test_expiring_in_a_work_queue_ends_a_command(expected: bool, deaths: list[object]) -> None:
    """In a retry queue expiring is the way back; what others let expire is their business."""
    assert expected == story({"x-death": deaths}).expired
    assert not story({"x-death": deaths}, queue="courier.query-devices").expired


def test_what_reached_the_delivery_limit_was_delivered_before() -> None:
    """The broker counts anew in the quarantine; the death tells."""
    death = {"reason": "delivery_limit", "queue": "courier.activate-sms-license"}
    assert story({"x-death": [death]}).redelivered


@pytest.mark.parametrize(
    ("headers", "deliveries"),
    [
        ({}, 0),
        ({"x-delivery-count": 4}, 4),
        ({"x-death": [{"reason": "delivery_limit", "queue": "courier.query-devices"}]}, 11),
        (
            {
                "x-death": [{"reason": "delivery_limit", "queue": "courier.query-devices"}],
                "x-delivery-count": 1,
            },
            12,
        ),
        ({"courier-reason": "delivery-limit"}, 15),
        ({"courier-reason": "delivery-limit", "x-delivery-count": 1}, 16),
    ],
)
def test_deliveries_are_counted_on_into_the_quarantine(
    headers: dict[str, Any], deliveries: int
) -> None:
    """Ten redeliveries are allowed in a work queue: the eleventh brings it there."""
    assert deliveries == story(headers).received(command()).deliveries


def test_an_instant_in_the_future_counts_as_absent() -> None:
    """Nobody can have received it then."""
    assert NOTHING == facts(story({"courier-received-at": "9999-12-31T23:59:59Z"}))


def test_a_count_that_nobody_can_have_counted_to_is_absent() -> None:
    """A forged header must not make the result impossible to tell."""
    assert 0 == story({"courier-attempt": 2**53}).attempts


def test_a_header_that_can_be_read_but_not_written_is_copied_as_it_can() -> None:
    """Text that is not UTF-8 as bytes, numbers of double precision as text; all else unchanged."""
    raw = delivery({"latin": b"\xe9t\xe9", "huge": 1e300, "half": 0.5, "in": [{"deep": 0.1}]})
    copy = parked_copy(raw, "not-json", "courier.query-devices")
    written = {name: copy.headers[name] for name in ("latin", "huge", "half", "in")}
    expected = {"latin": bytearray(b"\xe9t\xe9"), "huge": "1e+300", "half": 0.5}
    assert {**expected, "in": [{"deep": "0.1"}]} == written
    assert encode.field_table(written)


def test_an_event_is_sent_as_interface_md_says() -> None:
    """message_id, correlation_id, type and timestamp repeat the event; it outlives the broker."""
    message = event_message(EVENT)
    assert EVENT.body() == message.body
    assert ("e-1", "order-7", EVENT.type, AT, DeliveryMode.PERSISTENT) == (
        *(message.message_id, message.correlation_id, message.type),
        *(message.timestamp, message.delivery_mode),
    )
    assert "application/cloudevents+json" == message.content_type
    assert "request-1" == event_message(EVENT, correlation_id="request-1").correlation_id


def test_a_retry_copy_keeps_the_message() -> None:
    """Body and properties stay; the broker's headers, the expiration and other routes do not."""
    raw = delivery(
        {
            "own": 1,
            "courier-attempt": 1,
            "CC": ["x"],
            "BCC": ["y"],
            "cc": ["z"],
            "x-death": [],
            "x-delivery-count": 3,
            "X-First-Death-Queue": "q",
        },
        **PROPERTIES,
        expiration="1000",
        user_id="portal",
        delivery_mode=1,
    )
    copy, exchange = retry_copy(raw, Retry(30, 2, True, Code.UNREACHABLE), parse_instant(RECEIVED))
    assert "courier.retry.30s" == exchange
    assert {
        "own": 1,
        "courier-attempt": 2,
        "courier-received-at": RECEIVED,
        "courier-intent": True,
        "courier-last-error": "unreachable",
    } == copy.headers
    assert_same(raw, copy)


def test_a_retry_copy_is_read_as_it_was_written() -> None:
    """The way out and the way back are each other's inverse."""
    retry, at = Retry(30, 2, True, Code.APPLIANCE_ERROR), parse_instant(RECEIVED)
    copy, _ = retry_copy(delivery(), retry, at)
    found = story(dict(copy.headers))
    assert (2, True, Code.APPLIANCE_ERROR, 0, True, False) == facts(found)
    assert at == found.received_at


def test_a_parked_copy_says_why_it_lies_there() -> None:
    """Everything stays, the broker's headers too; reason, instant and queue are added."""
    raw = delivery({"own": 1, "x-delivery-count": 3, "CC": ["x"]}, **PROPERTIES, expiration="1000")
    copy = parked_copy(raw, "not-json", "courier.query-devices")
    assert {
        "own": 1,
        "x-delivery-count": 3,
        "courier-reason": "not-json",
        "courier-parked-at": copy.headers["courier-parked-at"],
        "courier-queue": "courier.query-devices",
        "courier-expiration": "1000",
    } == copy.headers
    assert now() - parse_instant(copy.headers["courier-parked-at"]) < timedelta(minutes=1)
    assert "courier-expiration" not in parked_copy(delivery(), "x", "q").headers
    assert_same(raw, copy)


def assert_same(raw: IncomingMessage, copy: Message) -> None:
    assert raw.body == copy.body
    names = [*PROPERTIES.keys() - {"message_type"}, "type"]
    assert {name: getattr(raw, name) for name in names} == {
        name: getattr(copy, name) for name in names
    }
    assert (None, None) == (copy.expiration, copy.user_id)
    assert DeliveryMode.PERSISTENT == copy.delivery_mode


async def test_a_result_is_told_to_all_and_then_to_the_one_who_asked() -> None:
    """The reply carries the request's own correlation id, and comes after the event."""
    publisher = FakePublisher()
    await telling.tell(publisher.used, delivery(**PROPERTIES), EVENT)
    assert [
        ("courier.events", EVENT.routing_key, "order-7"),
        ("", "answers", "request-1"),
    ] == [(exchange, key, message.correlation_id) for exchange, key, message in publisher.sent]
    assert {EVENT.body()} == {message.body for _, _, message in publisher.sent}


async def test_a_reply_holds_nothing_but_the_event() -> None:
    """A producer may name any queue: it chooses ids, and neither headers, routes nor properties."""
    publisher = FakePublisher()
    raw = delivery({"own": 1, "CC": ["x"]}, **PROPERTIES, expiration="1000", user_id="portal")
    await telling.tell(publisher.used, raw, EVENT)
    (_, _, event), (_, _, reply) = publisher.sent
    names = [
        *("body", "headers", "content_type", "content_encoding", "priority", "reply_to"),
        *("expiration", "message_id", "timestamp", "type", "user_id", "app_id"),
    ]
    assert {} == reply.headers
    assert {n: getattr(event, n) for n in names} == {n: getattr(reply, n) for n in names}


@pytest.mark.parametrize("reply_to", [None, "", "courier.activate-sms-license", "courier."])
async def test_nobody_is_answered_who_did_not_ask(reply_to: str | None) -> None:
    """An answer never becomes a command: our own names are not answered."""
    publisher = FakePublisher()
    await telling.tell(publisher.used, delivery(reply_to=reply_to), EVENT)
    assert ["courier.events"] == [exchange for exchange, _, _ in publisher.sent]


async def test_a_reply_queue_that_is_gone_harms_nothing() -> None:
    """The event was told; whoever has gone away does not bring the command back."""
    publisher = FakePublisher("answers")
    await telling.tell(publisher.used, delivery(**PROPERTIES), EVENT)
    assert ["courier.events"] == [exchange for exchange, _, _ in publisher.sent]


async def test_a_direct_reply_needs_no_queue() -> None:
    """RabbitMQ's direct reply-to takes the reply, but returns it where a queue is demanded."""
    name = "amq.rabbitmq.reply-to.g1h2"
    publisher = FakePublisher(name)
    await telling.tell(publisher.used, delivery(reply_to=name), EVENT)
    assert ["courier.events", ""] == [exchange for exchange, _, _ in publisher.sent]


async def test_a_message_is_parked_by_name() -> None:
    """The copy goes straight to courier.parked, where nothing consumes it."""
    publisher = FakePublisher()
    await telling.park(publisher.used, delivery(), "not-json", "courier.query-devices")
    ((exchange, key, message),) = publisher.sent
    assert ("courier.parked", "courier.parked") == (exchange, key)
    assert "not-json" == message.headers["courier-reason"]
