"""A workflow publishes a command; the courier runs it on an appliance; the result arrives."""

import base64
import hashlib
import json
import uuid
from functools import partial
from typing import Any

import pytest
from aio_pika.abc import AbstractIncomingMessage

from tests.support import http
from tests.support.stand import Appliances, Service
from tests.support.wait import until
from tests.support.workflow import SOURCE, Workflow, command, licence, schema_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMESPACE = uuid.UUID("f3cd522e-1948-43b0-b490-493a9659023b")
FILE = b"a licence file\n"
COMMANDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("query-sms-balance", {"appliance": "fac-1"}, {"used_sms": 40}),
    (
        "activate-sms-license",
        {"appliance": "fac-1", "license": licence(1)},
        {"effect": "added", "added_sms": 100, "license": "****-****-****-****-0001"},
    ),
    (
        "activate-sms-license",
        {"appliance": "fac-1", "license": licence(1), "dry_run": True},
        {"effect": "none", "added_sms": 0, "after": None},
    ),
    (
        "apply-voice-license",
        {
            "appliance": "fvc-1",
            "file": {"name": "call center.lic", "content": base64.b64encode(FILE).decode()},
        },
        {
            "effect": "accepted",
            "file": {
                "name": "call center.lic",
                "size": len(FILE),
                "sha256": hashlib.sha256(FILE).hexdigest(),
            },
            "device": {"model": "FO4000", "serial": "FO4000YYZRD00006", "version": "6.4.306"},
        },
    ),
    (
        "query-devices",
        {"appliance": "fvc-1"},
        {"total": 7, "start": 0, "next": None, "complete": True},
    ),
    (
        "query-devices",
        {"appliance": "fvc-1", "search": "ff", "unassigned_only": True},
        {"total": 1, "complete": True},
    ),
    (
        "query-appliance-status",
        {"appliance": "fac-1", "resources": ["fortiguardmessages"]},
        {
            "device": None,
            "resources": [
                {
                    "name": "fortiguardmessages",
                    "status": 200,
                    "raw": {"available_sms": 1060, "total_sms": 1100, "used_sms": 40},
                    "error": None,
                }
            ],
        },
    ),
    (
        "query-appliance-status",
        {"appliance": "fvc-1"},
        {"device": {"model": "FO4000", "serial": "FO4000YYZRD00006", "version": "6.4.306"}},
    ),
]


@pytest.mark.parametrize(("name", "data", "expected"), COMMANDS)
async def test_every_command_ends_with_a_result_that_follows_its_contract(
    workflow: Workflow, name: str, data: dict[str, Any], expected: dict[str, Any]
) -> None:
    """A program written from the contracts alone can send each command and read its result."""
    sent = command(name, data, correlationid="order-1", traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01")
    await workflow.send(sent)
    heard = await workflow.answer(sent["id"])
    event_type = f"courier.{name}.finished.v1"
    told = {key: heard.data[key] for key in expected}
    assert expected == told
    assert f"{event_type}.succeeded.{data['appliance']}" == heard.routing_key
    derived = uuid.uuid5(NAMESPACE, f"{SOURCE}\n{sent['id']}\n{event_type}")
    assert str(derived) == heard.event["id"] == heard.message.message_id
    assert ("order-1", sent["traceparent"]) == (
        heard.event["correlationid"],
        heard.event["traceparent"],
    )
    assert ("application/cloudevents+json", event_type, "order-1") == (
        heard.message.content_type,
        heard.message.type,
        heard.message.correlation_id,
    )
    assert heard.message.delivery_mode == 2
    assert heard.message.timestamp is not None


async def test_the_same_activation_sent_six_times_is_written_once(
    workflow: Workflow, appliances: Appliances
) -> None:
    """One POST, one event id, the same data; the id with another licence is an id-conflict."""
    sent = command("activate-sms-license", {"appliance": "fac-1", "license": licence(6)})
    await workflow.send(*[sent] * 6)
    await until(lambda: len(workflow.answers(sent["id"])) == 6)
    answers = workflow.answers(sent["id"])
    assert 1 == len({answer.event["id"] for answer in answers})
    assert 1 == len({json.dumps(answer.data) for answer in answers})
    assert 1 == (await appliances.books("fac-1"))["posts"][licence(6)]

    other = {**sent, "data": {"appliance": "fac-1", "license": licence(7)}}
    await workflow.send(other)
    await until(lambda: len(workflow.answers(sent["id"])) == 7)
    rejected = workflow.answers(sent["id"])[-1]
    schema_of(rejected.event["type"]).validate(rejected.event)
    assert "courier.command.rejected.v1.rejected.id-conflict" == rejected.routing_key
    posts = (await appliances.books("fac-1"))["posts"]
    assert (1, False) == (posts[licence(6)], licence(7) in posts)


async def test_the_one_who_asked_gets_the_event_as_a_reply(workflow: Workflow) -> None:
    """`reply_to` gets the event too, under the request's AMQP correlation id; repeats as well."""
    replies = await workflow.channel.declare_queue(exclusive=True)
    sent = command("activate-sms-license", {"appliance": "fac-1", "license": licence(3)})
    for number in (1, 2):
        await workflow.send(sent, reply_to=replies.name, correlation_id=f"request-{number}")
        async with replies.iterator(no_ack=True, timeout=10) as messages:
            reply = await anext(messages)
        assert f"request-{number}" == reply.correlation_id
        assert (await workflow.answer(sent["id"])).event == json.loads(reply.body)


async def test_the_brokers_direct_reply_works_too(workflow: Workflow, service: Service) -> None:
    """A workflow may name RabbitMQ's pseudo-queue and needs no queue of its own."""
    direct = await workflow.channel.get_queue("amq.rabbitmq.reply-to", ensure=False)
    replies: list[bytes] = []

    async def on_reply(message: AbstractIncomingMessage) -> None:
        replies.append(message.body)

    await direct.consume(on_reply, no_ack=True)
    sent = command("query-sms-balance", {"appliance": "fac-1"})
    await workflow.send(sent, reply_to="amq.rabbitmq.reply-to", correlation_id="direct")
    await until(lambda: replies)
    assert sent["id"] == json.loads(replies[0])["causationid"]
    assert [] == service.events("reply-undeliverable", command_id=sent["id"])


async def test_a_reply_queue_that_is_gone_harms_nothing(
    workflow: Workflow, service: Service
) -> None:
    """The event is told all the same, and the next command runs; our own names are no addresses."""
    for reply_to, slug in (("nobody", "reply-undeliverable"), ("courier.parked", "reply-ignored")):
        sent = command("query-sms-balance", {"appliance": "fac-1"})
        await workflow.send(sent, reply_to=reply_to)
        assert "succeeded" == (await workflow.answer(sent["id"])).data["conclusion"]
        await until(partial(service.events, slug))


@pytest.mark.parametrize(
    ("appliance", "code"),
    [("fvc-nowhere", "unknown-appliance"), ("fac-1", "wrong-appliance-kind")],
)
async def test_an_appliance_that_cannot_is_refused_without_an_attempt(
    workflow: Workflow, appliance: str, code: str
) -> None:
    """The inventory says no before anything is sent."""
    sent = command("query-devices", {"appliance": appliance})
    await workflow.send(sent)
    answer = (await workflow.answer(sent["id"])).data
    assert ("refused", 0, code) == (
        answer["conclusion"],
        answer["attempts"],
        answer["error"]["code"],
    )


async def test_a_command_that_is_too_late_is_not_begun(
    workflow: Workflow, appliances: Appliances
) -> None:
    """`expirytime` in the past: failed, expired, no attempt and no request."""
    before = (await appliances.books("fac-1"))["requests"]
    sent = command("query-sms-balance", {"appliance": "fac-1"}, expirytime="2020-01-01T00:00:00Z")
    await workflow.send(sent)
    answer = (await workflow.answer(sent["id"])).data
    assert ("failed", 0, "expired") == (
        answer["conclusion"],
        answer["attempts"],
        answer["error"]["code"],
    )
    assert before == (await appliances.books("fac-1"))["requests"]


async def test_a_passing_failure_is_tried_again_through_the_retry_queues(
    workflow: Workflow, appliances: Appliances
) -> None:
    """503 twice, then the answer: three attempts, one result."""
    await appliances.fault("fac-1", operation="balance", action="answer", status=503, times=2)
    sent = command("query-sms-balance", {"appliance": "fac-1"})
    await workflow.send(sent)
    answer = (await workflow.answer(sent["id"])).data
    assert ("succeeded", 3) == (answer["conclusion"], answer["attempts"])


async def test_a_write_that_is_carried_out_after_its_time_out_is_still_told(
    workflow: Workflow, appliances: Appliances
) -> None:
    """The appliance adds it when nobody waits any more: it is read back until it settles."""
    late = {"operation": "activate", "action": "delay", "seconds": 2.2, "when": "before"}
    await appliances.fault("fac-1", **late, times=1)
    first, second = (
        command("activate-sms-license", {"appliance": "fac-1", "license": licence(number)})
        for number in (20, 21)
    )
    await workflow.send(first, second)
    for each in (first, second):
        data = (await workflow.answer(each["id"])).data
        assert ("succeeded", "added", 100) == (
            data["conclusion"],
            data["effect"],
            data["added_sms"],
        )
    books = await appliances.books("fac-1")
    assert (1, 1, 1) == (
        books["posts"][licence(20)],
        books["posts"][licence(21)],
        books["writes_peak"],
    )


async def test_a_story_can_be_read_from_its_lines_alone(
    workflow: Workflow, service: Service
) -> None:
    """Received, session, intent, answered, finished, told: one line each, in this order."""
    sent = command("activate-sms-license", {"appliance": "fac-1", "license": licence(4)})
    await workflow.send(sent)
    await workflow.answer(sent["id"])
    await until(lambda: service.events("result-told", command_id=sent["id"]))
    lines = [json.loads(line) for line in service.lines]
    story = [line["event"] for line in lines if line.get("command_id") == sent["id"]]
    assert story[1] in {"session-opened", "session-reused"}
    assert [
        "command-received",
        story[1],
        "intent-recorded",
        "appliance-answered",
        "command-finished",
        "result-told",
    ] == story
    assert licence(4) not in "\n".join(service.lines)


async def test_health_says_ready_with_no_reasons(service: Service, amqp_url: str) -> None:
    """Probes can tell a living from a ready service; people, at which node of the broker it is."""
    async with http.visit(service.http) as client:
        live, ready = await client.get("/health/live"), await client.get("/health/ready")
    assert (200, 200) == (live.status_code, ready.status_code)
    node = amqp_url.rpartition("@")[2].partition("/")[0]
    connections = dict.fromkeys(("publishing", "consuming", "quarantine"), node)
    assert {"status": "ready", "reasons": [], "broker": connections} == ready.json()


async def test_licences_are_written_in_the_order_in_which_they_were_sent(
    workflow: Workflow, appliances: Appliances
) -> None:
    """At one appliance, by one process, at their first attempt: as the contract promises."""
    numbers = [71, 13, 55, 24, 98, 36, 42, 80, 67, 19]
    sent = [
        command("activate-sms-license", {"appliance": "fac-1", "license": licence(number)})
        for number in numbers
    ]
    await workflow.send(*sent)
    for each in sent:
        assert "added" == (await workflow.answer(each["id"])).data["effect"]
    spent = list((await appliances.books("fac-1"))["spent"])
    assert [licence(number) for number in numbers] == [
        each for each in spent if each in {licence(number) for number in numbers}
    ]
