"""The schedules by which the promise was once broken, each forced step by step.

Processes stop at a named point (`tests.campaign.mortal`) and are woken by the test; the simulated
appliances' own record of what was written is the judge. Found by reading and by `tests/model`.
"""

import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.postgres import Server, asked
from tests.support.stand import Appliances, Service, Stand
from tests.support.wait import until
from tests.support.workflow import Workflow, command, licence

WorkflowOf = Callable[[], AbstractAsyncContextManager[Workflow]]
Json = dict[str, Any]

ADDED: Final = 100
"""What a licence adds at a simulated FortiAuthenticator."""


@pytest.fixture
def database(postgres: Server) -> str:
    """A ledger that replicas share."""
    return postgres.url(asked(postgres.database(), "SELECT current_database()"))


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A ledger of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/courier.db"
    return str(request.getfixturevalue("database"))


def activation(appliance: str = "fac-1", **attributes: str) -> Json:
    data = {"appliance": appliance, "license": licence(1)}
    sent_at = datetime.now(UTC).isoformat()
    return command("activate-sms-license", data, time=sent_at, **attributes)


async def patient(appliances: Appliances) -> None:
    """Have couriers wait for an answer for longer than any test takes."""
    text = appliances.inventory.read_text()
    appliances.inventory.write_text(text.replace("read_timeout = 1.5", "read_timeout = 30"))


async def stopping(stand: Stand, journal: Path, point: str, ledger: str) -> Service:
    """Start a courier that stops itself at a point; it holds no more than one command."""
    program = (
        *(sys.executable, "-m", "tests.campaign.mortal"),
        *("--journal", str(journal), "--stop-at", point),
    )
    return await stand.service(program=program, PREFETCH="1", LEDGER_URL=ledger)


async def passed(journal: Path, point: str) -> None:
    await until(lambda: journal.exists() and f"{point} " in journal.read_text())


async def posts(appliances: Appliances, name: str = "fac-1") -> int:
    """How many licences an appliance was sent."""
    return sum(dict((await appliances.books(name))["posts"]).values())


def ends(workflow: Workflow, sent: Json) -> set[tuple[str, str, int | None]]:
    """Every way in which a command was said to have ended."""
    heard = workflow.answers(str(sent["id"]))
    return {
        (each.data["conclusion"], each.data["effect"], each.data["added_sms"]) for each in heard
    }


async def test_a_duplicate_whose_time_is_over_does_not_end_another_replicas_write(
    stand: Stand, database: str, tmp_path: Path, workflow_of: WorkflowOf
) -> None:
    """It looked before the intent was recorded, and judges while the appliance is at work."""
    appliances = await stand.appliances()
    await patient(appliances)
    journal = tmp_path / "journal"
    late = await stopping(stand, journal, "command-claimed.after", database)
    async with workflow_of() as workflow:
        expiry = datetime.now(UTC) + timedelta(seconds=6)
        sent = activation(expirytime=expiry.isoformat())
        await workflow.send(sent)
        await passed(journal, "command-claimed.after")
        writer = await stand.service(LEDGER_URL=database)
        await appliances.fault("fac-1", operation="activate", action="delay", seconds=8)
        await workflow.send(sent)
        await until(lambda: writer.events("intent-recorded"))
        await until(lambda: datetime.now(UTC) > expiry)
        late.process.send_signal(signal.SIGCONT)
        await until(lambda: len(workflow.answers(str(sent["id"]))) > 1)
        assert {("succeeded", "added", ADDED)} == ends(workflow, sent)
    assert 1 == await posts(appliances)


async def test_a_copy_that_knows_of_a_withdrawn_intent_does_not_end_unknown(
    stand: Stand, database: str, tmp_path: Path, workflow_of: WorkflowOf
) -> None:
    """A replica defers to an intent, which is withdrawn unsent: its copy runs the command."""
    appliances = await stand.appliances()
    journal = tmp_path / "journal"
    writer = await stopping(stand, journal, "activate.before", database)
    async with workflow_of() as workflow:
        sent = activation()
        await workflow.send(sent)
        await passed(journal, "activate.before")
        other = await stand.service(LEDGER_URL=database, RETRY_DELAYS="3")
        await workflow.send(sent)
        await until(lambda: other.events("command-delayed"))
        writer.process.send_signal(signal.SIGCONT)
        await until(lambda: writer.events("intent-withdrawn"))
        await until(lambda: len(workflow.answers(str(sent["id"]))) > 1)
        assert {("succeeded", "added", ADDED)} == ends(workflow, sent)
    assert 1 == await posts(appliances)


async def test_figures_of_two_appliances_are_never_compared(
    stand: Stand, ledger: str, workflow_of: WorkflowOf
) -> None:
    """The name leads to another appliance when the write is to be read back: `unknown`."""
    appliances = await stand.appliances("--fortiauthenticators", "2")
    service = await stand.service(LEDGER_URL=ledger)
    await appliances.order("PATCH", "/switches/fac-2", {"total_sms": 9000})
    # The write has no effect, its answer is lost, and it cannot be read back at once.
    await appliances.fault("fac-1", operation="activate", action="reset")
    await appliances.fault("fac-1", operation="balance", action="answer", status=503, after=2)
    async with workflow_of() as workflow:
        sent = activation()
        await workflow.send(sent)
        await until(lambda: service.events("command-delayed"))
        text = appliances.inventory.read_text()
        one, other = (url_of(text, name) for name in ("fac-1", "fac-2"))
        swapped = text.replace(one, "HERE").replace(other, one).replace("HERE", other)
        appliances.inventory.write_text(swapped)
        await until(lambda: service.events("inventory-reloaded"))
        await until(lambda: workflow.answers(str(sent["id"])))
        assert {("unknown", "undetermined", None)} == ends(workflow, sent)
    assert (1, 0) == (await posts(appliances), await posts(appliances, "fac-2"))


async def test_a_renamed_appliance_is_not_written_while_an_intent_is_open(
    stand: Stand, ledger: str, workflow_of: WorkflowOf
) -> None:
    """What another command adds under the new name would be taken for the first one's."""
    appliances = await stand.appliances()
    service = await stand.service(LEDGER_URL=ledger, RETRY_DELAYS="1")
    # The write has no effect, its answer is lost, and it cannot be read back at once.
    await appliances.fault("fac-1", operation="activate", action="reset", times=1)
    await appliances.fault("fac-1", operation="balance", action="answer", status=503, after=2)
    async with workflow_of() as workflow:
        first = activation()
        await workflow.send(first)
        await until(lambda: service.events("command-delayed", command_id=first["id"]))
        text = appliances.inventory.read_text()
        appliances.inventory.write_text(text.replace("[appliances.fac-1]", "[appliances.fac-9]"))
        await until(lambda: service.events("inventory-reloaded"))
        second = activation("fac-9")
        second["data"]["license"] = licence(2)
        await workflow.send(second)
        waits = {"command_id": second["id"], "error_code": "busy"}
        await until(lambda: service.events("command-delayed", **waits))
        await appliances.order("DELETE", "/faults/fac-1")
        appliances.inventory.write_text(text)
        await until(lambda: workflow.answers(str(first["id"])))
        assert {("failed", "none", 0)} == ends(workflow, first)
        await until(lambda: workflow.answers(str(second["id"])))
        assert {("refused", "none", 0)} == ends(workflow, second)
    assert 1 == await posts(appliances)


def url_of(inventory: str, name: str) -> str:
    """The address in an appliance's table."""
    table = inventory[inventory.index(f"[appliances.{name}]") :]
    return table.partition('url = "')[2].partition('"')[0]
