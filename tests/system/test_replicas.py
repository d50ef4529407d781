"""Several couriers on one ledger in PostgreSQL: killed, frozen and woken, none writes twice."""

import json
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import SecretStr

from service.settings import Postgres
from tests.support.postgres import Server, asked
from tests.support.stand import Appliances, Stand
from tests.support.wait import until
from tests.support.workflow import Workflow, command, licence

WorkflowOf = Callable[[], AbstractAsyncContextManager[Workflow]]

Json = dict[str, Any]

FACS: Final = 4
COMMANDS: Final = 60
END_SESSIONS: Final = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture
def database(postgres: Server) -> str:
    """A ledger of the test's own, by TCP."""
    return postgres.url(asked(postgres.database(), "SELECT current_database()"))


@pytest.fixture
async def four(stand: Stand) -> Appliances:
    return await stand.appliances("--fortiauthenticators", str(FACS), "--latency", "0.05")


def activation(number: int, on: str, name: str) -> Json:
    """One that says when it was sent, so that nobody takes it for a lost ledger's."""
    data = {"appliance": on, "license": licence(number)}
    return command("activate-sms-license", data, id=name, time=datetime.now(UTC).isoformat())


async def posts(appliances: Appliances, name: str) -> dict[str, int]:
    """The licences that an appliance was sent, and how often each."""
    return dict((await appliances.books(name))["posts"])


async def test_a_replica_that_is_killed_leaves_its_work_to_the_others(
    stand: Stand, four: Appliances, database: str, workflow_of: WorkflowOf
) -> None:
    """Every command ends, and each licence is sent once, unless its command says that it failed."""
    doomed, *others = [await stand.service(LEDGER_URL=database) for _ in range(3)]
    async with workflow_of() as workflow:
        wanted = [
            activation(number, f"fac-{number % FACS + 1}", f"c-{number}")
            for number in range(COMMANDS)
        ]
        for each in wanted[: COMMANDS // 2]:
            await workflow.send(each)
        await until(lambda: doomed.events("intent-recorded"))
        await doomed.end(signal.SIGKILL)
        for each in wanted[COMMANDS // 2 :]:
            await workflow.send(each)
        ids = [str(each["id"]) for each in wanted]
        await until(lambda: all(workflow.answers(each) for each in ids))
        told = {each: {str(a.event["id"]) for a in workflow.answers(each)} for each in ids}
        ended = [workflow.answers(each)[0].data["conclusion"] for each in ids]
    assert dict.fromkeys(ids, 1) == {each: len(events) for each, events in told.items()}
    assert all(other.events("command-finished") for other in others)
    sent = [await posts(four, f"fac-{number}") for number in range(1, FACS + 1)]
    # The kill may fall between an intent and its request.
    done = [number for number, conclusion in enumerate(ended) if conclusion == "succeeded"]
    assert {licence(number): 1 for number in done} == {
        each: times for one in sent for each, times in one.items()
    }
    assert {"succeeded"} == set(ended[COMMANDS // 2 :])


async def test_a_replica_that_is_woken_late_does_not_write(
    stand: Stand, database: str, tmp_path: Path, workflow_of: WorkflowOf
) -> None:
    """Frozen with its intent recorded and the write not sent, it lost its lock; another told."""
    appliances = await stand.appliances()
    stopping = (
        *(sys.executable, "-m", "tests.campaign.mortal"),
        *("--journal", str(tmp_path / "journal"), "--stop-at", "activate.before"),
    )
    url = f"{stand.url}?heartbeat=2"
    sleeper = await stand.service(program=stopping, LEDGER_URL=database, BROKER_URL=url)
    async with workflow_of() as workflow:
        await workflow.send(activation(1, "fac-1", "c-1"))
        await until(lambda: "activate.before" in (tmp_path / "journal").read_text())
        other = await stand.service(LEDGER_URL=database)
        asked(Postgres(SecretStr(database)), END_SESSIONS)
        end = await workflow.answer("c-1")
        assert ("failed", {}) == (end.data["conclusion"], await posts(appliances, "fac-1"))
        sleeper.process.send_signal(signal.SIGCONT)
        await until(lambda: sleeper.events("intent-withdrawn"))
        await workflow.send(activation(2, "fac-1", "c-2"))
        assert "added" == (await workflow.answer("c-2")).data["effect"]
        assert {licence(2): 1} == await posts(appliances, "fac-1")
        assert 1 == len({str(each.event["id"]) for each in workflow.answers("c-1")})
    assert other.events("command-finished", conclusion="failed")


async def test_the_tools_read_a_common_ledger_as_they_read_a_file(
    stand: Stand, database: str, workflow_of: WorkflowOf
) -> None:
    """Listed, shown, settled and told, while a courier runs."""
    appliances = await stand.appliances()
    await stand.service(LEDGER_URL=database, RECOVERY_TTL="4")
    await appliances.fault("fvc-1", operation="apply", action="reset", when="after")
    content = {"name": "v.lic", "content": "bGljZW5jZQ=="}
    async with workflow_of() as workflow:
        asked_for = {"appliance": "fvc-1", "file": content}
        await workflow.send(command("apply-voice-license", asked_for, id="v-1"))
        assert "unknown" == (await workflow.answer("v-1")).data["conclusion"]
        code, listed = await stand.courier("ledger", "list", "--json", LEDGER_URL=database)
        assert (0, ["v-1"]) == (code, [each["id"] for each in json.loads(listed)])
        verdict = ("v-1", "--applied", "--note", "seen in the web interface", "--by", "anna")
        code, _ = await stand.courier("ledger", "resolve", *verdict, LEDGER_URL=database)
        assert 0 == code
        await until(lambda: any("settled" in each.routing_key for each in workflow.heard))
    code, shown = await stand.courier("ledger", "show", "v-1", LEDGER_URL=database)
    assert (0, True) == (code, "seen in the web interface" in shown)
    code, listed = await stand.courier("ledger", "list", "--json", LEDGER_URL=database)
    assert (0, "") == (code, listed.removeprefix("[]").partition("courier:")[0].strip())
