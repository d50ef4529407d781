"""Whatever a producer's headers hold, and whatever bug they meet, a command ends once."""

import asyncio
import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
import structlog
from aio_pika import Message
from hypothesis import given
from hypothesis import strategies as st
from pamqp.header import ContentHeader

from service.consumers.settling import Delivery, Settling
from service.consumers.telling import Story, parked_copy, retry_copy
from service.errors import Code, Failed
from service.execution import Retry
from service.execution.flight import Flights
from service.ledger import Entry
from service.ledger.sqlite import SqliteLedger
from service.messages.wire import now
from service.telemetry import configure
from tests.unit.fakes import FakeFac, executing
from tests.unit.making import LICENSE, body, command, delivery

if TYPE_CHECKING:
    from service.topology.publisher import Publisher

HEADERS: Final = (
    *("courier-attempt", "courier-received-at", "courier-intent", "courier-last-error"),
    *("courier-reason", "courier-parked-at", "courier-queue", "courier-expiration"),
    *("x-death", "x-delivery-count", "traceparent", "tracestate", "CC", "BCC", "own"),
)
WORDS: Final = (
    *("expired", "delivery_limit", "courier.query-sms-balance", "courier.retry.5s"),
    *(
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00+01:00",
        "2026-03-04T09:12:31Z",
        "delivery-limit",
    ),
    *(code.value for code in Code),
)
SCALARS: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.decimals(),
    st.text(max_size=5),
    st.sampled_from(WORDS),
    st.binary(max_size=5),
    st.binary(max_size=5).map(bytearray),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
)
DEATHS: Final = st.lists(
    st.dictionaries(st.sampled_from(("reason", "queue", "count")), SCALARS | st.lists(SCALARS)),
    max_size=2,
)
VALUES: Final = (
    SCALARS
    | DEATHS
    | st.recursive(
        SCALARS,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
TABLES: Final = st.dictionaries(st.sampled_from(HEADERS), VALUES, max_size=4)


class Broker:
    """Confirms what an AMQP library can write.

    Attributes:
        sent: the exchange, and the body's `type`, of each message.
        broken: exchanges at which the next message meets a bug.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.broken: set[str] = set()

    async def publish_until_confirmed(
        self, message: Message, *, exchange: str, routing_key: str
    ) -> None:
        del routing_key
        if exchange in self.broken:
            self.broken.discard(exchange)
            raise ZeroDivisionError
        ContentHeader(0, len(message.body), message.properties).marshal()
        self.sent.append((exchange, json.loads(message.body)))

    async def publish(
        self, message: Message, *, exchange: str, routing_key: str, mandatory: bool = True
    ) -> None:
        del mandatory
        await self.publish_until_confirmed(message, exchange=exchange, routing_key=routing_key)

    def settling(self, flights: Flights) -> Settling:
        return Settling(flights, cast("Publisher", self), source="/courier")

    def answers(self) -> list[tuple[str, str | None]]:
        """Conclusion, or reason, and error code of each event; the name of a retry copy's queue."""
        found: list[tuple[str, str | None]] = []
        for exchange, document in self.sent:
            data = document["data"]
            if exchange == "courier.events":
                error = data.get("error") or {}
                found.append((data.get("conclusion") or data["reason"], error.get("code")))
            elif exchange.startswith("courier.retry."):
                found.append((exchange, None))
        return found


class BrokenLedger(SqliteLedger):
    """Meets a bug whenever it is asked for the first time."""

    asked = 0

    async def find(self, key: tuple[str, str]) -> Entry | None:
        self.asked += 1
        if self.asked == 1:
            raise ZeroDivisionError
        return await super().find(key)


@contextmanager
def lines() -> Iterator[list[dict[str, Any]]]:
    """Give the lines of the event log, after the body."""
    stream = io.StringIO()
    found: list[dict[str, Any]] = []
    configure(log_format="json", level="INFO", stream=stream)
    try:
        yield found
        found += [json.loads(line) for line in stream.getvalue().splitlines()]
    finally:
        structlog.reset_defaults()


async def settled(
    raw_headers: dict[str, Any], queue: str, *, error: bool, redelivered: bool
) -> Broker:
    """Settle one query with these headers, at an appliance that answers or not."""
    broker, fac = Broker(), FakeFac()
    fac.errors = [Failed(Code.UNREACHABLE, "no answer")] if error else []
    with tempfile.TemporaryDirectory() as directory:
        ledger = await SqliteLedger.open(Path(directory) / "courier.db")
        flights = Flights(executing(ledger, fac))
        raw = delivery(raw_headers, redelivered=redelivered)
        raw.body = body("query-sms-balance")
        await broker.settling(flights).settle(Delivery(raw, queue))
        await ledger.close()
    return broker


@given(
    headers=TABLES,
    queue=st.sampled_from(("courier.query-sms-balance", "courier.quarantine")),
    error=st.booleans(),
    redelivered=st.booleans(),
)
def test_no_headers_keep_a_command_from_ending_once(
    headers: dict[str, Any], queue: str, error: bool, redelivered: bool
) -> None:
    """Any AMQP field table leads to one event or one retry copy, and to no internal error."""
    with lines() as told:
        broker = asyncio.run(settled(headers, queue, error=error, redelivered=redelivered))
    assert [] == [line for line in told if line["event"] == "internal-error"]
    assert 1 == len(broker.answers())


@pytest.mark.parametrize(
    "code",
    [
        each
        for each in Code
        if each
        not in {
            *(Code.UNREACHABLE, Code.APPLIANCE_ERROR, Code.UNEXPECTED_ANSWER),
            *(Code.CREDENTIALS_REFUSED, Code.EXPIRED, Code.INTERNAL_ERROR),
        }
    ],
)
async def test_a_last_error_that_no_failure_may_carry_counts_as_absent(
    code: Code, sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """A command whose time has passed then ends `expired`."""
    broker = Broker()
    raw = delivery({"courier-last-error": code.value})
    raw.body = body("query-sms-balance", expirytime="2020-01-01T00:00:00Z")
    await broker.settling(Flights(executing(sqlite, fac))).settle(Delivery(raw, "courier.retry"))
    assert [("failed", "expired")] == broker.answers()


def test_a_header_nested_deeper_than_the_library_writes_is_replaced() -> None:
    """The copy is made and can be written, wherever its writer stands in the stack."""
    deep: Any = "end"
    for _ in range(400):
        deep = [deep]
    copy, _ = retry_copy(delivery({"deep": deep, "own": 1}), Retry(5, 0, False, None), now())
    header = ContentHeader(0, 1, copy.properties)
    assert b"cannot be copied" in header.marshal()
    assert 1 == copy.headers["own"]


@pytest.mark.parametrize(
    "headers",
    [
        {"large": "h" * (128 * 1024 - 200), "own": 1},
        {f"{number:05}": "h" for number in range(12_000)} | {"own": 1},
    ],
    ids=["one large", "many small"],
)
def test_a_copys_properties_fit_into_a_frame(headers: dict[str, Any]) -> None:
    """A delivery may fill its frame to the last byte: the largest of its headers are left out."""
    properties: dict[str, Any] = dict.fromkeys(
        ("message_id", "correlation_id", "app_id", "reply_to"), "p" * 255
    )
    raw = delivery(headers, **properties, expiration="1000")
    for copy in (
        retry_copy(raw, Retry(5, 9, True, Code.UNEXPECTED_ANSWER), now())[0],
        parked_copy(raw, "delivery-limit", "courier.query-appliance-status"),
    ):
        assert len(ContentHeader(0, 1, copy.properties).marshal()) <= 128 * 1024 - 8
        assert 1 == copy.headers["own"]


@pytest.mark.parametrize("header", ["courier-received-at", "courier-parked-at"])
def test_an_instant_without_a_time_zone_counts_as_absent(header: str) -> None:
    """Nobody can say when it was."""
    found = Story.of(delivery({header: datetime(2026, 3, 4, 9, 12)}), "q")  # noqa: DTZ001
    assert found.known_since is None


async def test_a_bug_before_the_write_ends_the_command(path: Path, fac: FakeFac) -> None:
    """It ends `failed`, published and not run; run again, it would meet the bug again."""
    broker, ledger = Broker(), await BrokenLedger.open(path)
    raw = delivery()
    await broker.settling(Flights(executing(ledger, fac))).settle(
        Delivery(raw, "courier.activate-sms-license")
    )
    assert [("failed", "internal-error")] == broker.answers()
    assert [] == fac.posts
    await ledger.close()


async def test_a_bug_beside_an_open_intent_ends_unknown(path: Path, fac: FakeFac) -> None:
    """A write was announced and may have been sent."""
    broker, ledger = Broker(), await BrokenLedger.open(path)
    before = b'{"total_sms":100,"used_sms":10,"available_sms":90}'
    await ledger.intend(command(), before, fac.origin)
    await broker.settling(Flights(executing(ledger, fac))).settle(
        Delivery(delivery(redelivered=True), "courier.activate-sms-license")
    )
    assert [("unknown", "outcome-unknown")] == broker.answers()
    await ledger.close()


@pytest.mark.parametrize(
    ("expected", "headers"),
    [
        (("failed", "internal-error"), {}),
        (("unknown", "outcome-unknown"), {"courier-intent": True}),
    ],
)
async def test_a_bug_after_the_run_ends_the_command(
    expected: tuple[str, str], headers: dict[str, Any], sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """A retry copy that cannot be made does not bring the delivery back."""
    broker = Broker()
    broker.broken = {"courier.retry.5s", "courier.events"} if headers else {"courier.retry.5s"}
    fac.errors = [Failed(Code.UNREACHABLE, "no answer")]
    sent_at = now() + timedelta(minutes=1)
    raw = delivery(headers)
    raw.body = body(time=sent_at.isoformat())
    await broker.settling(Flights(executing(sqlite, fac))).settle(
        Delivery(raw, "courier.activate-sms-license")
    )
    assert [expected] == broker.answers()


async def test_a_reply_that_meets_a_bug_harms_nothing(sqlite: SqliteLedger, fac: FakeFac) -> None:
    """The event is published; the delivery may be acked."""
    broker = Broker()
    broker.broken = {""}
    await broker.settling(Flights(executing(sqlite, fac))).settle(
        Delivery(delivery(reply_to="answers"), "courier.activate-sms-license")
    )
    assert [("succeeded", None)] == broker.answers()
    assert [LICENSE] == fac.posts
