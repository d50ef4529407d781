"""The plug is pulled: nothing is lost, no licence is spent twice, every command is answered."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from service.demo.broker import Node
from tests.support.rabbit import Rabbit
from tests.support.stand import Appliances, Stand
from tests.support.wait import until
from tests.support.workflow import Workflow, command, gather_answers, licence

WorkflowOf = Callable[[], AbstractAsyncContextManager[Workflow]]
DRAIN = 10


def forty() -> list[dict[str, Any]]:
    """Ten of each command, mixed."""
    file = {"name": "a.lic", "content": "YQ=="}
    return [
        each
        for number in range(10)
        for each in (
            command("activate-sms-license", {"appliance": "fac-1", "license": licence(number)}),
            command("query-sms-balance", {"appliance": "fac-1"}),
            command("apply-voice-license", {"appliance": "fvc-1", "file": file}),
            command("query-devices", {"appliance": "fvc-1"}),
        )
    ]


async def check_all(workflow: Workflow, appliances: Appliances, sent: list[dict[str, Any]]) -> None:
    """Hold the events against the appliances' own books."""
    answers = await gather_answers(workflow, [each["id"] for each in sent])
    conclusions = {
        (each["data"].get("license") or each["id"]): answer.data["conclusion"]
        for each, answer in zip(sent, answers, strict=True)
    }
    for each in sent:
        events = {told.event["id"] for told in workflow.answers(each["id"])}
        assert 1 == len(events), "one terminal event for each command"
    books = await appliances.books("fac-1")
    for number in range(10):
        spent = books["spent"].get(licence(number), {"times": 0})["times"]
        assert int(conclusions[licence(number)] == "succeeded") == spent
        assert 1 >= books["posts"].get(licence(number), 0)
    applied = sum((await appliances.books("fvc-1"))["applied"].values())
    voice = [
        answer.data["conclusion"]
        for each, answer in zip(sent, answers, strict=True)
        if each["type"] == "courier.apply-voice-license.v1"
    ]
    assert voice.count("succeeded") <= applied <= len(voice) - voice.count("failed")
    queries = [each["id"] for each in sent if "query" in each["type"]]
    assert {"succeeded"} == {conclusions[each] for each in queries}


async def _some_are_done(workflow: Workflow) -> None:
    await until(lambda: len(workflow.heard) >= 4)


async def test_sigterm_in_the_middle_of_forty_commands_loses_nothing(
    stand: Stand, slow: Appliances, workflow_of: WorkflowOf
) -> None:
    """Exit 0 within the drain time-out; after a restart every command has one result."""
    service = await stand.service(DRAIN_TIMEOUT=str(DRAIN))
    async with workflow_of() as workflow:
        sent = forty()
        await workflow.send(*sent)
        await _some_are_done(workflow)
        began = asyncio.get_running_loop().time()
        assert 0 == await service.end(signal.SIGTERM)
        assert DRAIN + 2 > asyncio.get_running_loop().time() - began
        assert [] == [line for line in service.lines if "Traceback" in line]
        await stand.service()
        await check_all(workflow, slow, sent)


async def test_kill_9_of_the_service_loses_nothing(
    stand: Stand, slow: Appliances, workflow_of: WorkflowOf
) -> None:
    """Killed twice in the middle of forty commands: each ends once, no licence is sent twice."""
    service = await stand.service()
    async with workflow_of() as workflow:
        sent = forty()
        await workflow.send(*sent)
        for _ in range(2):
            await _some_are_done(workflow)
            await service.end(signal.SIGKILL)
            service = await stand.service()
        await check_all(workflow, slow, sent)


async def test_kill_9_of_the_broker_loses_nothing(
    stand: Stand, slow: Appliances, workflow_of: WorkflowOf, node: Node
) -> None:
    """The broker dies and comes back: the service reconnects by itself and every command ends."""
    service = await stand.service()
    async with workflow_of() as workflow:
        sent = forty()
        await workflow.send(*sent)
        await _some_are_done(workflow)
        await asyncio.to_thread(node.settle)
        await asyncio.to_thread(node.kill)
        await asyncio.to_thread(node.start)
        await check_all(workflow, slow, sent)
        assert [] == [line for line in service.lines if "Traceback" in line]
        for slug in ("broker-connection-lost", "broker-connection-restored"):
            told = await until(partial(service.events, slug, connection="consuming"))
            assert 1 == len(told)


async def test_a_dropped_connection_does_not_start_the_work_again(
    stand: Stand, slow: Appliances, workflow_of: WorkflowOf, broker: Rabbit
) -> None:
    """The broker closes all our connections in the middle: the redelivery joins the work."""
    service = await stand.service()
    vhost = stand.url.rsplit("/", 1)[1]
    async with workflow_of() as workflow:
        sent = forty()
        await workflow.send(*sent)
        await _some_are_done(workflow)
        ours = await until(
            lambda: [c for c in broker.connections(vhost) if "courier" in (c.given_name or "")]
        )
        for connection in ours:
            broker.close_connection(connection)
        await check_all(workflow, slow, sent)
        assert [] == [line for line in service.lines if "Traceback" in line]
