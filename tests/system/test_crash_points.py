"""The courier is killed where it matters most; `make campaign` kills it everywhere.

Twelve commands, each the death of one process, at a point of its way. The next process takes up
what the ones before it left, and dies of its own command.
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

from tests.campaign.checker import Wish, judge, judge_queues
from tests.campaign.crashes import (
    SETTINGS,
    Case,
    declare_all,
    discover,
    emptied,
    mortal,
    parked,
    run,
    waiting,
)
from tests.campaign.mortal import ledger_methods, step
from tests.campaign.scenarios import activation, application, devices, malformed
from tests.support.rabbit import Rabbit
from tests.support.stand import COURIER, Stand
from tests.support.wait import until
from tests.support.workflow import Workflow, licence

WorkflowOf = Callable[[], AbstractAsyncContextManager[Workflow]]

ACTIVATIONS = {
    # Where it dies, and how it ends. What was not sent may be sent again, under a new id.
    "intent-recorded.after": "failed",
    "activate.sent": "succeeded",
    "activate.answered": "succeeded",
    "outcome-stored.after": "succeeded",
    "result.sent": "succeeded",
    "delivery.settled": "succeeded",
}
APPLICATIONS = {
    # Nobody can read back what an interrupted apply did, and it is never sent again.
    "intent-recorded.after": "unknown",
    "apply.sent": "unknown",
    "outcome-stored.after": "succeeded",
    "delivery.settled": "succeeded",
}


def doomed() -> list[tuple[Wish, str, str]]:
    """Commands, where they kill the courier, and how they end; each write at its own appliance."""
    found: list[tuple[Wish, str, str]] = []
    for number, (point, end) in enumerate(ACTIVATIONS.items(), 1):
        wish = activation(f"activation-{number}", licence(number), on=f"fac-{number}")
        found.append((wish, point, end))
    for number, (point, end) in enumerate(APPLICATIONS.items(), 1):
        content = f"licence {number}".encode()
        found.append(
            (application(f"application-{number}", content, on=f"fvc-{number}"), point, end)
        )
    found.append((devices("busy", on="fvc-5"), "retry-copy.confirmed", "succeeded"))
    found.append((malformed("malformed"), "parked-copy.confirmed", "rejected"))
    return found


async def test_killed_at_each_point_that_matters_it_loses_and_doubles_nothing(
    stand: Stand, workflow_of: WorkflowOf, tmp_path: Path
) -> None:
    """One end for each command, as the books have it; what cannot be known is told as unknown."""
    deaths = doomed()
    simulated = ("--fortiauthenticators", str(len(ACTIVATIONS)), "--fortivoices", "5")
    await declare_all(stand.url)
    appliances = await stand.appliances(*simulated)
    text = appliances.inventory.read_text()
    appliances.inventory.write_text(text.replace("read_timeout = 1.5", "read_timeout = 0.75"))
    await appliances.fault("fvc-5", operation="devices", action="answer", status=503, times=1)
    async with workflow_of() as workflow:
        for wish, point, _ in deaths:
            await workflow.put(wish.body, wish.type)
            program = mortal(tmp_path / "journal", whenever=f"{point}:{wish.id}")
            service = await stand.service(ready=False, program=program, **SETTINGS)
            assert -signal.SIGKILL == await service.ended(), f"{wish.id} did not reach {point}"
        service = await stand.service(ready=True, program=COURIER, **SETTINGS)
        sent = [wish for wish, _, _ in deaths]
        with suppress(AssertionError, TimeoutError):  # what does not end is the judge's to tell
            await until(lambda: all(workflow.answers(wish.id) for wish in sent))
            await emptied(workflow)
        assert 0 == await service.end()

        names = {wish.appliance for wish in sent}
        books = {name: await appliances.books(name) for name in names}
        hidden = {wish.id: f"it died at {point}" for wish, point, end in deaths if end == "unknown"}
        verdict = judge(sent, workflow.heard, books, undecidable=lambda wish: hidden.get(wish.id))
        left, kept = await waiting(workflow), await parked(workflow)
        assert () == (verdict + judge_queues(sent, workflow.heard, left, kept)).contradictions
        assert {wish.id: {end} for wish, _, end in deaths} == {
            wish.id: {each.data.get("conclusion", "rejected") for each in workflow.answers(wish.id)}
            for wish in sent
        }
        assert [] == [
            line for process in stand.processes for line in process.lines if "Traceback" in line
        ]


async def test_a_discovery_names_every_point(broker: Rabbit, tmp_path: Path) -> None:
    """At least twenty: each method of the ledger, each kind of publish, each request, the ack."""
    scenarios = ("activate-unread", "apply-withdrawn", "malformed")
    found = await asyncio.gather(*(discover(broker, tmp_path / name, [name]) for name in scenarios))
    points = {case.point for cases in found for case in cases}
    assert len(points) >= 20
    # It goes by the clock, and by no command.
    on_the_way = {*ledger_methods()} - {"forget"}
    answered = ("balance", "login", "token", "upload", "apply", "logout")
    expected = {
        *(f"{step(name)}.{when}" for name in on_the_way for when in ("before", "after")),
        *(
            f"{message}.{when}"
            for message in ("result", "rejection", "reply", "retry-copy", "parked-copy")
            for when in ("before", "sent", "confirmed")
        ),
        *(f"{each}.{when}" for each in (*answered, "activate") for when in ("before", "sent")),
        *(f"{each}.answered" for each in answered),
        *(f"delivery.{when}" for when in ("received", "settled", "acked")),
    }
    assert set() == expected - points


async def test_a_case_of_the_matrix_is_carried_out_and_judged(
    broker: Rabbit, tmp_path: Path
) -> None:
    """It says how long the recovery took; a point that is not reached is a failure."""
    died, alive = await asyncio.gather(
        run(Case("apply", "apply.sent", 1), broker, tmp_path / "died"),
        run(Case("balance", "apply.sent", 1), broker, tmp_path / "alive"),
    )
    assert () == died.failures
    assert 1 == len(died.verdict.unknown)
    assert died.ready_after
    assert died.recovered_after
    assert ("apply.sent was not reached; exit code 0",) == alive.failures
