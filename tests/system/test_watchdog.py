"""A service that cannot do its work for too long ends with a code of its own, and loses nothing."""

import asyncio
import signal
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing

from tests.support.stand import Stand
from tests.support.wait import until
from tests.support.workflow import Workflow, command, licence

WorkflowOf = Callable[[], AbstractAsyncContextManager[Workflow]]


async def test_a_ledger_that_cannot_be_written_ends_the_service_with_75(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """Nothing is run without it; the next process runs the command, once."""
    appliances = await stand.appliances()
    service = await stand.service(WATCHDOG_TIMEOUT="1", DRAIN_TIMEOUT="1")
    async with workflow_of() as workflow:
        ledger = sqlite3.connect(stand.directory / "courier.db", isolation_level=None)
        with closing(ledger):
            ledger.execute("BEGIN EXCLUSIVE")
            asked = command("activate-sms-license", {"appliance": "fac-1", "license": licence(1)})
            await workflow.send(asked)
            await until(lambda: service.events("watchdog-expired"))
            # A supervisor that wants it to end meanwhile changes nothing.
            assert 75 == await service.end(signal.SIGTERM)
            assert [] == service.events("drain-abandoned")
            assert [["ledger-unavailable"]] == [
                told["reasons"] for told in service.events("watchdog-expired")
            ]
            assert {} == (await appliances.books("fac-1"))["posts"]
            ledger.execute("ROLLBACK")
        await stand.service()
        assert "succeeded" == (await workflow.answer(asked["id"])).data["conclusion"]
    assert {licence(1): 1} == (await appliances.books("fac-1"))["posts"]


async def test_a_second_sigterm_ends_at_once_and_loses_nothing(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """Whoever has no patience for the drain gets what a power cut would leave."""
    appliances = await stand.appliances()
    await appliances.fault("fac-1", operation="balance", action="delay", seconds=1)
    service = await stand.service(DRAIN_TIMEOUT="30")
    async with workflow_of() as workflow:
        sent = [
            command("activate-sms-license", {"appliance": "fac-1", "license": licence(number)})
            for number in range(5)
        ]
        await workflow.send(*sent)
        await until(lambda: len(service.events("command-received")) == len(sent))
        service.process.send_signal(signal.SIGTERM)
        await until(lambda: service.events("service-stopping"))
        began = asyncio.get_running_loop().time()
        assert 0 == await service.end(signal.SIGTERM)
        assert 1 > asyncio.get_running_loop().time() - began
        await appliances.order("DELETE", "/faults/fac-1")
        await stand.service()
        answers = [await workflow.answer(each["id"]) for each in sent]
        assert {"succeeded"} == {each.data["conclusion"] for each in answers}
    assert {licence(number): 1 for number in range(5)} == (await appliances.books("fac-1"))["posts"]
