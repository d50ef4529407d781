"""A command is one trace, from the one who sent it to whoever hears its event."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.collector import Collector, Span, collecting, traced
from tests.support.rabbit import Rabbit
from tests.support.stand import Appliances, Service, Stand, standing
from tests.support.wait import until
from tests.support.workflow import Workflow, command, licence

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRACE, SENDER = "ab" * 16, "cd" * 8
TRACEPARENT = f"00-{TRACE}-{SENDER}-01"
BALANCE = "GET /api/v1/fortiguardmessages/"
ACTIVATE = "POST /api/v1/fortiguardmessages/"
QUEUE = "courier.activate-sms-license"
DESTINATION = "messaging.destination.name"
Tree = dict[str, Any]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_stand(
    shared_url: str, tmp_path_factory: pytest.TempPathFactory, collector: Collector
) -> AsyncIterator[Stand]:
    """As everywhere; and what was exported is looked through for secrets as well."""
    async with standing(shared_url, tmp_path_factory.mktemp("stand")) as made:
        yield made
    assert collector.told()
    made.canaries.check(collector.told())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(
    shared_stand: Stand,
    appliances: Appliances,  # noqa: ARG001 - its inventory
    collector: Collector,
) -> Service:
    return await shared_stand.service(RETRY_DELAYS="1", program=traced(collector.url))


def fresh(number: int) -> str:
    """A traceparent of a trace that is nobody else's."""
    return f"00-{number:032x}-{SENDER}-01"


def tree(spans: list[Span], parent: str) -> list[Tree]:
    """What stands below a span: names and kinds, in the order in which they ended."""
    return [
        {f"{each.kind} {each.name}": tree(spans, each.id)}
        for each in spans
        if each.parent == parent
    ]


async def whole(collector: Collector, trace: str, count: int = 1) -> list[Span]:
    """A trace, when as many deliveries have come to their end."""

    def ended() -> bool:
        kinds = [each.kind for each in collector.trace(trace)]
        return kinds.count("CONSUMER") >= count

    await until(ended)
    return collector.trace(trace)


def only(spans: list[Span], name: str) -> Span:
    (found,) = [each for each in spans if each.name == name]
    return found


def activation(number: int, **attributes: str) -> dict[str, Any]:
    return command(
        "activate-sms-license", {"appliance": "fac-1", "license": licence(number)}, **attributes
    )


async def test_an_activation_is_one_trace(
    collector: Collector, service: Service, workflow: Workflow
) -> None:
    """Login, reading, writing, reading back and telling stand below the one who sent it."""
    sent = activation(1, traceparent=TRACEPARENT, tracestate="vendor=1", correlationid="order-1")
    await workflow.send(sent, reply_to=await workflow.reply_to())
    heard = await workflow.answer(sent["id"])
    spans = await whole(collector, TRACE)
    requests: list[Tree] = [{f"CLIENT {name}": []} for name in (BALANCE, ACTIVATE, BALANCE)]
    assert [
        {
            f"CONSUMER process {QUEUE}": [
                {"INTERNAL login fac-1": [{f"CLIENT {BALANCE}": []}]},
                *requests,
                {"PRODUCER send courier.events": []},
                {"PRODUCER send amq.default": []},
            ]
        }
    ] == tree(spans, SENDER)
    assert {"vendor=1"} == {each.state for each in spans}
    assert not [each for each in spans if each.failed or each.events]

    told = only(spans, "send courier.events")
    assert (f"00-{TRACE}-{told.id}-01", "vendor=1") == (
        heard.event["traceparent"],
        heard.event["tracestate"],
    )
    replied = only(spans, "send amq.default")
    (reply,) = await until(lambda: workflow.replies)
    answer = json.loads(reply.body)
    assert (f"00-{TRACE}-{replied.id}-01", heard.data) == (answer["traceparent"], answer["data"])
    assert {TRACE} == {line["trace_id"] for line in lines(service, sent["id"])}


async def test_spans_say_what_the_conventions_ask_for(
    collector: Collector, service: Service, workflow: Workflow
) -> None:
    """A delivery, a request and a message each say what OpenTelemetry's conventions name."""
    sent = activation(2, traceparent=fresh(2), correlationid="order-2")
    await workflow.send(sent, message_id="m-2")
    heard = await workflow.answer(sent["id"])
    spans = await whole(collector, f"{2:032x}")
    delivery = only(spans, f"process {QUEUE}").attributes
    delivery.pop("messaging.rabbitmq.message.delivery_tag")
    assert {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        DESTINATION: f"courier.commands:{QUEUE}.v1:{QUEUE}",
        "messaging.rabbitmq.destination.routing_key": f"{QUEUE}.v1",
        "messaging.message.id": "m-2",
        "messaging.message.conversation_id": "order-2",
        "messaging.message.body.size": len(json.dumps(sent)),
        "cloudevents.event_id": sent["id"],
        "cloudevents.event_source": sent["source"],
        "courier.command.type": f"{QUEUE}.v1",
        "courier.appliance": "fac-1",
        "courier.attempt": 1,
        "courier.conclusion": "succeeded",
    } == delivery
    request = only(spans, ACTIVATE).attributes
    assert {
        "http.request.method": "POST",
        "http.response.status_code": 201,
        "server.address": "127.0.0.1",
        "server.port": request["server.port"],
        "url.template": "/api/v1/fortiguardmessages/",
        "courier.operation": "activate",
        "courier.appliance": "fac-1",
    } == request
    message = only(spans, "send courier.events").attributes
    assert {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": "send",
        "messaging.operation.name": "send",
        DESTINATION: f"courier.events:{heard.routing_key}",
        "messaging.rabbitmq.destination.routing_key": heard.routing_key,
        "messaging.message.id": heard.event["id"],
        "messaging.message.conversation_id": "order-2",
        "messaging.message.body.size": len(heard.message.body),
    } == message
    (whose,) = {(each.resource["service.name"], each.resource["service.version"]) for each in spans}
    version = service.events("service-starting")[0]["version"]
    assert ("appliance-courier", version) == whose


@pytest.mark.parametrize(
    "traceparent", [None, f"00-{'0' * 32}-{SENDER}-01", f"ff{TRACEPARENT[2:]}"]
)
async def test_a_command_without_a_valid_trace_begins_one(
    collector: Collector, service: Service, workflow: Workflow, traceparent: str | None
) -> None:
    """Its log and its event are of that trace, too."""
    given = {"traceparent": traceparent} if traceparent else {}
    sent = command("query-sms-balance", {"appliance": "fac-1"}, **given)
    await workflow.send(sent)
    heard = await workflow.answer(sent["id"])
    trace = heard.event["traceparent"].split("-")[1]
    spans = await whole(collector, trace)
    assert "CONSUMER process courier.query-sms-balance" in tree(spans, "")[0]
    assert {trace} == {line["trace_id"] for line in lines(service, sent["id"])}


async def test_every_try_is_a_delivery_below_the_same_sender(
    collector: Collector, appliances: Appliances, workflow: Workflow
) -> None:
    """One that failed says why and where its copy waits, and the next comes from there."""
    await appliances.fault("fac-1", action="answer", status=503, times=1)
    sent = command("query-sms-balance", {"appliance": "fac-1"}, traceparent=fresh(4))
    await workflow.send(sent)
    await workflow.answer(sent["id"])
    spans = await whole(collector, f"{4:032x}", 2)
    first, second = (each for each in spans if each.kind == "CONSUMER")
    assert [SENDER, SENDER] == [first.parent, second.parent]
    assert [{f"CLIENT {BALANCE}": []}, {"PRODUCER send courier.retry.1s": []}] == tree(
        spans, first.id
    )
    assert (True, "appliance-error", 1) == (
        first.failed,
        first.attributes["error.type"],
        first.attributes["courier.retry_in"],
    )
    asked = [each for each in spans if each.parent == first.id and each.kind == "CLIENT"]
    assert [(True, "503", 503)] == [
        (each.failed, each.attributes["error.type"], each.attributes["http.response.status_code"])
        for each in asked
    ]
    queue = "courier.query-sms-balance"
    assert (queue, 2, False) == (
        second.attributes[DESTINATION],
        second.attributes["courier.attempt"],
        second.failed,
    )


@pytest.mark.parametrize(
    ("appliance", "expected"),
    [("nobody", ("refused", "unknown-appliance", False)), ("fac-1", ("failed", "expired", True))],
)
async def test_a_delivery_tells_how_its_command_ended(
    collector: Collector,
    workflow: Workflow,
    appliance: str,
    expected: tuple[str, str, bool],
) -> None:
    """Failed is an error; refused is not: the courier did what it should."""
    trace = f"{len(appliance):031x}5"
    sent = command(
        "query-sms-balance",
        {"appliance": appliance},
        traceparent=f"00-{trace}-{SENDER}-01",
        expirytime="2020-01-01T00:00:00Z" if expected[2] else "2120-01-01T00:00:00Z",
    )
    await workflow.send(sent)
    (found,) = (each for each in await whole(collector, trace) if each.kind == "CONSUMER")
    assert expected == (
        found.attributes["courier.conclusion"],
        found.attributes["error.type"],
        found.failed,
    )


async def test_a_rejection_continues_a_trace_that_can_be_read(
    collector: Collector, service: Service, workflow: Workflow
) -> None:
    """Also that of a message which is no command: it is parked and answered below its sender."""
    sent = activation(6, traceparent=fresh(6)) | {"data": {"appliance": "fac-1"}}
    await workflow.send(sent)
    heard = await workflow.answer(sent["id"])
    spans = await whole(collector, f"{6:032x}")
    (delivery,) = [each for each in spans if each.parent == SENDER]
    assert ("rejected", "contract-violation", False) == (
        delivery.attributes["courier.conclusion"],
        delivery.attributes["error.type"],
        delivery.failed,
    )
    assert [
        {"PRODUCER send courier.parked": []},
        {"PRODUCER send courier.events": []},
    ] == tree(spans, delivery.id)
    told = only(spans, "send courier.events")
    assert f"00-{told.trace}-{told.id}-01" == heard.event["traceparent"]
    assert [told.trace] == [
        line["trace_id"] for line in service.events("command-rejected", command_id=sent["id"])
    ]


async def test_what_cannot_be_read_is_a_trace_of_its_own(
    collector: Collector, workflow: Workflow
) -> None:
    """Nothing is guessed from a message that is no JSON, or from a traceparent that is none."""
    before = len(collector.spans)
    odd = json.dumps(activation(7, traceparent=f"{TRACEPARENT}-x", id="odd")).encode()
    for body in (b"no JSON " + TRACEPARENT.encode(), odd):
        await workflow.put(body, f"{QUEUE}.v1")

    def deliveries() -> list[Span]:
        return [each for each in collector.spans[before:] if each.kind == "CONSUMER"]

    await until(lambda: len(deliveries()) == 2)
    assert ["", ""] == [each.parent for each in deliveries()]
    assert TRACE not in {each.trace for each in deliveries()}


async def test_an_unsampled_sender_is_respected(
    collector: Collector, service: Service, workflow: Workflow
) -> None:
    """Nothing is exported; log and event continue the trace, which stays unsampled."""
    trace = f"{8:032x}"
    sent = command(
        "query-sms-balance", {"appliance": "fac-1"}, traceparent=f"00-{trace}-{SENDER}-00"
    )
    await workflow.send(sent)
    heard = await workflow.answer(sent["id"])
    _, told_trace, told_span, flags = heard.event["traceparent"].split("-")
    assert (trace, "00") == (told_trace, flags)
    assert SENDER != told_span
    assert {trace} == {line["trace_id"] for line in lines(service, sent["id"])}
    later = activation(1, traceparent=fresh(9))
    await workflow.send(later)
    await whole(collector, f"{9:032x}")
    assert [] == collector.trace(trace)


async def test_a_redelivery_that_joins_points_to_the_run(
    collector: Collector,
    appliances: Appliances,
    workflow: Workflow,
    broker: Rabbit,
    shared_url: str,
) -> None:
    """The second delivery's span is linked to the first one's, below which the work stands."""
    await appliances.fault("fvc-1", operation="devices", action="delay", seconds=1.0, times=1)
    sent = command("query-devices", {"appliance": "fvc-1"}, traceparent=fresh(10))
    await workflow.send(sent)
    trace = f"{10:032x}"
    await until(lambda: [each for each in collector.trace(trace) if "login" in each.name])
    vhost = shared_url.rsplit("/", 1)[1]
    found = await until(
        lambda: [
            each for each in broker.connections(vhost) if each.given_name == "courier consuming"
        ]
    )
    await asyncio.to_thread(broker.close_connection, found[0])
    await workflow.answer(sent["id"])
    spans = await whole(collector, trace, 2)
    first, second = (each for each in spans if each.kind == "CONSUMER")
    assert ("CancelledError", True) == (first.attributes["error.type"], first.failed)
    assert [(trace, first.id)] == second.links
    assert [{"PRODUCER send courier.events": []}] == tree(spans, second.id)
    assert "CLIENT GET /api/v1/DeviceSip_phone" in tree(spans, first.id)[-1]


async def test_a_result_that_is_told_again_is_the_same_but_for_its_trace(
    collector: Collector, workflow: Workflow
) -> None:
    """Each telling stands below its own delivery; id, data and everything else are stored."""
    sent = activation(12, traceparent=fresh(12))
    await workflow.send(sent)
    await workflow.answer(sent["id"])
    await workflow.send(sent)
    await until(lambda: len(workflow.answers(sent["id"])) == 2)
    told = [each.event for each in workflow.answers(sent["id"])]
    spans = await whole(collector, f"{12:032x}", 2)
    sending = [each for each in spans if each.name == "send courier.events"]
    assert [each.id for each in sending] == [each["traceparent"].split("-")[2] for each in told]
    assert 2 == len({each.parent for each in sending})
    first, second = ({**each, "traceparent": None} for each in told)
    assert first == second


async def test_no_text_of_a_producer_brings_a_secret_into_a_trace(
    collector: Collector, workflow: Workflow
) -> None:
    """What looks like a licence is taken out of whatever stands in a span."""
    key = licence(11)
    sent = activation(11, traceparent=fresh(11), tracestate=f"v={key}")
    await workflow.send(sent, message_id=key, reply_to=f"nobody.{key}")
    await workflow.answer(sent["id"])
    spans = await whole(collector, f"{11:032x}")
    assert "****-0011" == only(spans, f"process {QUEUE}").attributes["messaging.message.id"]
    assert {""} == {each.state for each in spans}
    assert "nobody.****-0011" == only(spans, "send amq.default").attributes[DESTINATION]


def lines(service: Service, command_id: str) -> list[dict[str, Any]]:
    """Every line that the event log has about a command."""
    found = [json.loads(line) for line in service.lines if line.startswith("{")]
    return [line for line in found if line.get("command_id") == command_id]
