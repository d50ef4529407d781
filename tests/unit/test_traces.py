"""Spans: whose child each is, what is said in it, and that nothing secret is."""

import asyncio
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from opentelemetry.trace import StatusCode

from service.appliances.session import Session
from service.consumers import spans as told
from service.consumers.telling import event_message
from service.errors import Code, Failed, Waiting
from service.execution.flight import Flights
from service.ledger.sqlite import SqliteLedger
from service.messages.commands import identify
from service.messages.encode import Event
from service.messages.wire import now, parse_json
from service.telemetry import traces
from service.telemetry.otlp import SpanTracer
from service.telemetry.pacing import Paced
from service.telemetry.traces import Kind, Place
from tests.support.clock import Clock
from tests.support.wait import until
from tests.unit.device import FakeDevice
from tests.unit.fakes import FakeFac, executing
from tests.unit.making import LICENSE, body, command, delivery, received

TRACE, SENDER = "ab" * 16, "cd" * 8
PLACE = Place(f"00-{TRACE}-{SENDER}-01", "vendor=1")
QUEUE = "courier.query-sms-balance"


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    """Traces are on, and kept."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    with traces.made_by(SpanTracer(provider)):
        yield kept


def named(exported: InMemorySpanExporter, name: str) -> ReadableSpan:
    (found,) = [each for each in exported.get_finished_spans() if each.name == name]
    return found


def parent_of(span: ReadableSpan) -> str | None:
    return f"{span.parent.span_id:016x}" if span.parent else None


def id_of(span: ReadableSpan) -> str:
    return f"{span.context.span_id:016x}"


def has_failed(span: ReadableSpan) -> bool:
    return span.status.status_code is StatusCode.ERROR


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_SERVICE_NAME": "courier"}, False),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "false"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "otlp"}, True),
    ],
)
def test_traces_are_on_where_an_exporter_is_named(
    environment: dict[str, str], expected: bool
) -> None:
    """By OpenTelemetry's own variables; an empty one is not set."""
    assert expected == traces.switched(environment)[0]


async def test_traces_that_nobody_wants_are_nothing() -> None:
    """Everything may be said of them, by whoever does not know that they are off."""
    async with traces.exported():
        with traces.delivery("process", PLACE, {}), traces.span("login"):
            traces.note({"a": 1})
            traces.fail("busy")
            traces.link(PLACE)
            assert (None, None) == (traces.here(), traces.trace_id())


async def test_an_event_is_as_its_command_wants_it_while_traces_are_off() -> None:
    """It continues the command's own span."""
    event = Event("e-1", "/c", "courier.x.finished.v1", now(), "succeeded", b"{}")
    assert event == event.below(traces.here())


def test_a_span_stands_below_the_one_of_the_moment(exported: InMemorySpanExporter) -> None:
    """And that below the message's sender, whose state it keeps."""
    with traces.delivery(f"process {QUEUE}", PLACE, {}), traces.span("login fac-1"):
        here = traces.here()
    outer, inner = named(exported, f"process {QUEUE}"), named(exported, "login fac-1")
    assert (SENDER, id_of(outer)) == (parent_of(outer), parent_of(inner))
    assert Place(f"00-{TRACE}-{id_of(inner)}-01", "vendor=1") == here
    assert ("CONSUMER", "INTERNAL") == (outer.kind.name, inner.kind.name)


@pytest.mark.parametrize(
    "traceparent",
    [
        f"00-{'0' * 32}-{SENDER}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SENDER}-01",
        "nonsense",
    ],
)
def test_an_invalid_sender_is_no_sender(exported: InMemorySpanExporter, traceparent: str) -> None:
    """A new trace begins, and not below whatever else is the span of the moment."""
    with (
        traces.span("another"),
        traces.delivery("process a", Place(traceparent), {}),
        traces.delivery("process b", None, {}),
    ):
        pass
    spans = [named(exported, name) for name in ("another", "process a", "process b")]
    assert [None] * 3 == [parent_of(each) for each in spans]
    assert 3 == len({each.context.trace_id for each in spans})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Failed(Code.UNREACHABLE, f"no answer to {LICENSE}"), "unreachable"),
        (RuntimeError(LICENSE), "RuntimeError"),
        (asyncio.CancelledError(LICENSE), "CancelledError"),
    ],
)
def test_an_error_is_told_by_its_kind_alone(
    exported: InMemorySpanExporter, error: BaseException, expected: str
) -> None:
    """What it says may be secret, and so may what its traceback holds."""
    with pytest.raises(type(error)), traces.span("work"):
        raise error
    found = named(exported, "work")
    assert {"error.type": expected} == attributes(found)
    assert ((), True, None) == (found.events, has_failed(found), found.status.description)
    assert LICENSE not in found.to_json()


def test_a_span_has_no_secret(exported: InMemorySpanExporter) -> None:
    """Names, attributes and what a producer passes on are redacted, as the event log is."""
    with traces.delivery(f"process {LICENSE}", Place(PLACE.traceparent, f"v={LICENSE}"), {}):
        traces.note({"key": LICENSE, "url": "amqp://user:hunter2@host/"})
        with traces.span("work", Kind.CLIENT, {"key": LICENSE, "none": None, "many": 7}):
            pass
    outer, inner = named(exported, "process ****-IJ90"), named(exported, "work")
    assert {"key": "****-IJ90", "url": "amqp://***@host/"} == attributes(outer)
    assert {"key": "****-IJ90", "many": 7} == attributes(inner)
    assert "" == outer.context.trace_state.to_header()


def test_an_unsampled_span_is_a_place_all_the_same() -> None:
    """Its trace goes on in the log and in events, unsampled."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    with traces.made_by(SpanTracer(provider)), traces.delivery("process", PLACE, {}):
        here = traces.here()
    assert here is not None
    assert (TRACE, "00") == (here.trace_id, here.traceparent[-2:])
    assert SENDER not in here.traceparent


def test_below_an_unsampled_span_nothing_is_made() -> None:
    """What a command that is not recorded does costs nothing more, and is the same place."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    with traces.made_by(SpanTracer(provider)), traces.delivery("process", None, {}):
        above = traces.here()
        with traces.span("POST /api", Kind.CLIENT, {}):
            assert above == traces.here()
            traces.note({"http.response.status_code": 200})
            traces.fail("timeout")


def test_traces_are_recorded_up_to_a_pace(clock: Clock) -> None:
    """All after a quiet time, ten a second under load; a sampled sender is always followed."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(ParentBased(Paced(rate=10, burst=100)), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))

    def recorded(count: int, sender: Place | None = None) -> int:
        kept.clear()
        for _ in range(count):
            with traces.delivery("process", sender, {}):
                pass
        return len(kept.get_finished_spans())

    with traces.made_by(SpanTracer(provider)):
        assert 100 == recorded(200)
        clock.forward(1)
        assert 10 == recorded(200)
        assert 200 == recorded(200, PLACE)
        clock.forward(3600)
        assert 100 == recorded(200)


async def test_a_delivery_that_joins_points_to_the_first(
    exported: InMemorySpanExporter, sqlite: SqliteLedger, fac: FakeFac
) -> None:
    """The work stands below the first; the second says so."""
    flights = Flights(executing(sqlite, fac))

    async def deliver(name: str) -> None:
        with traces.delivery(name, None, {}):
            await flights.settle(received())

    fac.gate.clear()
    first = asyncio.create_task(deliver("first"))
    await until(lambda: fac.reads)
    second = asyncio.create_task(deliver("second"))
    await asyncio.sleep(0)
    fac.gate.set()
    await asyncio.gather(first, second)
    (link,) = named(exported, "second").links
    assert named(exported, "first").context.span_id == link.context.span_id
    assert () == named(exported, "first").links


async def test_those_who_wait_for_a_login_say_so(
    exported: InMemorySpanExporter, device: FakeDevice, session: Session[str]
) -> None:
    """One logs in, below its own span; the others have waited for that."""

    async def use(name: str) -> None:
        with traces.delivery(name, None, {}):
            await session.opened()

    device.gate.clear()
    users = [asyncio.create_task(use(name)) for name in ("first", "second")]
    await device.asked.wait()
    device.gate.set()
    await asyncio.gather(*users)
    login, waited = named(exported, "login fvc-1"), named(exported, "wait for login fvc-1")
    assert [id_of(named(exported, name)) for name in ("first", "second")] == [
        parent_of(login),
        parent_of(waited),
    ]


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (Failed(Code.UNREACHABLE, "no answer"), True),
        (Waiting(Code.BUSY, "is busy"), False),
    ],
)
async def test_a_command_that_comes_back_says_why_and_when(
    exported: InMemorySpanExporter,
    sqlite: SqliteLedger,
    fac: FakeFac,
    error: Failed | Waiting,
    failed: bool,
) -> None:
    """Whoever only waits has not failed."""
    fac.errors = [error]
    with traces.delivery("process", None, {}):
        await executing(sqlite, fac).settle(received(command("query-sms-balance")))
    found = named(exported, "process")
    assert {"courier.retry_in": 5, "error.type": error.code.value} == attributes(found)
    assert failed == has_failed(found)


@pytest.mark.parametrize(
    ("conclusion", "error", "failed"),
    [
        ("succeeded", None, False),
        ("refused", "license-refused", False),
        ("failed", "unreachable", True),
        ("unknown", "outcome-unknown", True),
    ],
)
def test_a_delivery_tells_how_its_command_ended(
    exported: InMemorySpanExporter, conclusion: str, error: str | None, failed: bool
) -> None:
    """Also when the ledger tells it again: it is read from the event."""
    data = f'{{"error": {{"code": "{error}"}}}}' if error else '{"error": null}'
    event = Event("e-1", "/c", "courier.x.finished.v1", now(), conclusion, data.encode())
    with traces.delivery("process", None, {}):
        told.note_end(event)
    found = named(exported, "process")
    expected = {"courier.conclusion": conclusion} | ({"error.type": error} if error else {})
    assert expected == attributes(found)
    assert failed == has_failed(found)


def test_a_destination_is_named_once(exported: InMemorySpanExporter) -> None:
    """By the conventions: exchange, routing key and queue, without what is empty or said."""
    raw = delivery()
    with told.processing(raw, "key", command(), 1), told.sending("", ""):
        pass
    names = [
        attributes(each)["messaging.destination.name"] for each in exported.get_finished_spans()
    ]
    assert ["amq.default", "exchange:key"] == names


def test_an_event_is_told_below_the_span_that_sends_it(exported: InMemorySpanExporter) -> None:
    """Its data, its id and everything else are what they are without traces."""
    data = b'{"error":null}'
    event = Event("e-1", "/c", "courier.x.finished.v1", now(), "succeeded", data, "fac-1")
    plain = parse_json(event_message(event).body)
    with traces.delivery("process", PLACE, {}), told.sending("courier.events", "key"):
        traced = parse_json(event_message(event).body)
    assert isinstance(plain, dict)
    place = f"00-{TRACE}-{id_of(named(exported, 'send courier.events'))}-01"
    assert plain | {"traceparent": place, "tracestate": "vendor=1"} == traced


@pytest.mark.parametrize(
    ("traceparent", "expected"),
    [(PLACE.traceparent, PLACE.traceparent), ("nonsense", None), (7, None)],
)
def test_the_trace_of_what_is_no_command_is_read_where_it_can_be(
    traceparent: object, expected: str | None
) -> None:
    """As its id is."""
    assert expected == identify(body(traceparent=traceparent, specversion="0.3")).traceparent


async def test_opentelemetry_is_not_imported_by_the_service() -> None:
    """Building everything needs none of it; FastStream looks whether two packages are there."""
    listing = "import sys, service.app, service.cli; print(*sorted(sys.modules))"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", listing), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    found = {name for name in output.decode().split() if name.startswith("opentelemetry")}
    assert found <= {"opentelemetry", "opentelemetry.semconv"}
