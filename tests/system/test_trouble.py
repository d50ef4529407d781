"""Appliances in trouble, seen from outside: their commands wait, and those of others go on."""

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from prometheus_client.parser import text_string_to_metric_families

from tests.support import http
from tests.support.stand import Service, Stand
from tests.support.wait import until
from tests.support.workflow import Heard, Json, Workflow, command, gather_answers, licence

WorkflowOf = Callable[[], AbstractAsyncContextManager[Workflow]]


async def run(workflow: Workflow, *commands: Json, patience: float = 30) -> list[Heard]:
    """Send commands and wait for all of their results."""
    await workflow.send(*commands)
    return await gather_answers(workflow, [each["id"] for each in commands], patience=patience)


def conclusions(heard: list[Heard]) -> set[str]:
    return {each.data["conclusion"] for each in heard}


def queries(count: int, appliance: str = "fvc-1") -> list[Json]:
    return [command("query-devices", {"appliance": appliance}) for _ in range(count)]


def state(service: Service, metric: str, appliance: str) -> str:
    """The state that a metric says an appliance is in."""
    text = http.get(f"{service.http}/metrics").text
    (found,) = [
        sample.labels["state"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == metric and sample.labels["appliance"] == appliance and sample.value
    ]
    return found


async def test_an_appliance_that_hangs_does_not_keep_the_others_waiting(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """It holds its share of the prefetch window, however many commands it has (else: 29 s)."""
    appliances = await stand.appliances("--fortivoices", "2")
    text = appliances.inventory.read_text()
    appliances.inventory.write_text(text.replace("read_timeout = 1.5", "read_timeout = 20"))
    await stand.service(RETRY_DELAYS="5,30", DRAIN_TIMEOUT="1")
    async with workflow_of() as workflow:
        await run(workflow, *queries(1), *queries(1, "fvc-2"))
        await appliances.fault("fvc-1", operation="devices", action="hang")
        await workflow.send(*queries(300))
        began = time.monotonic()

        assert {"succeeded"} == conclusions(await run(workflow, *queries(20, "fvc-2")))

        assert time.monotonic() - began < 20


async def test_refused_credentials_wait_for_the_new_ones_without_a_restart(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """One login is refused, everyone waits, and the corrected file lets all of them succeed."""
    appliances = await stand.appliances()
    secret = appliances.inventory.parent / "fvc-1.password"
    right = secret.read_text()
    secret.write_text("not-the-password")
    service = await stand.service()
    async with workflow_of() as workflow:
        sent = queries(20)
        await workflow.send(*sent)
        await until(lambda: len(service.events("command-delayed")) > 2 * len(sent))
        assert "refused" == state(service, "courier_appliance_session", "fvc-1")
        secret.write_text(right)
        heard = await gather_answers(workflow, [each["id"] for each in sent])
    assert {("succeeded", 1)} == {
        (each.data["conclusion"], each.data["attempts"]) for each in heard
    }
    books = await appliances.books("fvc-1")
    assert (1, 1) == (books["refused_logins"], books["logins"])


async def test_an_appliance_that_is_switched_off_is_asked_now_and_then(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """Its commands wait instead of each being tried; the log and the metrics say so."""
    appliances = await stand.appliances()
    service = await stand.service()
    async with workflow_of() as workflow:
        await run(workflow, *queries(1))
        await appliances.order("POST", "/fvc-1/stop")
        sent = queries(40)
        await workflow.send(*sent)
        await until(lambda: "open" == state(service, "courier_appliance_breaker", "fvc-1"))
        await appliances.order("POST", "/fvc-1/start")
        heard = await gather_answers(workflow, [each["id"] for each in sent])
        assert {"succeeded"} == conclusions(heard)
    assert "closed" == state(service, "courier_appliance_breaker", "fvc-1")
    told = [
        line["event"]
        for line in service.events("breaker-opened") + service.events("breaker-closed")
        if line["appliance"] == "fvc-1"
    ]
    assert ["breaker-opened", "breaker-closed"] == told


async def test_a_missing_permission_costs_no_thousand_logins(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """Each command is told so, and the appliance is left alone."""
    appliances = await stand.appliances()
    await stand.service()
    await appliances.fault("fvc-1", operation="devices", action="answer", status=403)
    async with workflow_of() as workflow:
        heard = await run(workflow, *queries(300), patience=60)
    told = {(each.data["conclusion"], each.data["error"]["code"]) for each in heard}
    assert {("refused", "permission-denied")} == told
    assert 2 == (await appliances.books("fvc-1"))["logins"]


async def test_an_appliance_that_asks_for_rest_gets_it(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """`Retry-After` holds for all of its commands, not only for the one that was told."""
    appliances = await stand.appliances()
    service = await stand.service()
    async with workflow_of() as workflow:
        balance = command("query-sms-balance", {"appliance": "fac-1"})
        await run(workflow, balance)
        rest = {"status": 503, "headers": {"Retry-After": "3"}}
        await appliances.fault("fac-1", operation="balance", action="answer", times=1, **rest)
        first, *others = [command("query-sms-balance", {"appliance": "fac-1"}) for _ in range(10)]
        await workflow.send(first)
        await until(lambda: service.events("appliance-resting"))
        began = time.monotonic()
        before = (await appliances.books("fac-1"))["requests"]["balance"]

        assert {"succeeded"} == conclusions(await run(workflow, *others))

        assert time.monotonic() - began > 2
        await workflow.answer(first["id"])
    assert before + 10 == (await appliances.books("fac-1"))["requests"]["balance"]


async def test_a_licence_whose_answer_is_lost_is_read_back_before_another_is_written(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """While the appliance cannot be read the command waits to read, across a restart, too."""
    appliances = await stand.appliances()
    service = await stand.service()
    first, second = (
        command("activate-sms-license", {"appliance": "fac-1", "license": licence(number)})
        for number in (1, 2)
    )
    lost: Json = {"operation": "activate", "action": "reset", "when": "after", "times": 1}
    await appliances.fault("fac-1", **lost)
    unread: Json = {"operation": "balance", "action": "answer", "status": 500}
    await appliances.fault("fac-1", after=2, **unread)
    async with workflow_of() as workflow:
        await workflow.send(first)
        await until(lambda: service.events("intent-recorded"))
        await workflow.send(second)
        await until(lambda: service.events("command-delayed", command_id=second["id"]))
        await service.end()
        await stand.service()
        await appliances.order("DELETE", "/faults/fac-1")
        heard = await gather_answers(workflow, [first["id"], second["id"]])
    told = [(each.data["effect"], each.data["added_sms"]) for each in heard]
    assert [("added", 100), ("added", 100)] == told
    assert {licence(1): 1, licence(2): 1} == (await appliances.books("fac-1"))["posts"]
