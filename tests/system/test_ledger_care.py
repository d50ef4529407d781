"""The ledger, looked after with `courier ledger`; ledgers that are old, damaged, another's."""

import asyncio
import json
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
import pytest

from tests.support.rabbit import Rabbit
from tests.support.stand import Appliances, Service, Stand
from tests.support.wait import until
from tests.support.workflow import (
    SOURCE,
    Json,
    Workflow,
    command,
    gather_answers,
    licence,
    schema_of,
)

WorkflowOf = Callable[[], AbstractAsyncContextManager[Workflow]]
NAMESPACE = uuid.UUID("f3cd522e-1948-43b0-b490-493a9659023b")
FILE = {"name": "a.lic", "content": "YWJjZA=="}
NOWHERE = "amqp://guest:guest@127.0.0.1:9/"


async def unknown(appliances: Appliances, workflow: Workflow, name: str, **more: str) -> Json:
    """A voice licence whose answer is lost: it ends unknown."""
    await appliances.fault("fvc-1", operation="apply", action="reset", when="after", times=1)
    sent = command("apply-voice-license", {"appliance": "fvc-1", "file": FILE}, id=name, **more)
    await workflow.send(sent)
    assert "unknown" == (await workflow.answer(name)).data["conclusion"]
    return sent


async def listed(stand: Stand, *options: str) -> list[str]:
    exit_code, output = await stand.courier("ledger", "list", "--json", *options)
    assert 0 == exit_code, output
    return [entry["id"] for entry in json.loads(output)]


def settle(name: str, verdict: str = "--applied", note: str = "It is there.") -> tuple[str, ...]:
    return "ledger", "resolve", name, verdict, "--note", note


async def test_a_person_settles_an_unknown_and_it_is_told(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """One event by the contract, under the command's correlation; nothing is left to look after."""
    appliances, _ = await stand.appliances(), await stand.service()
    async with workflow_of() as workflow:
        trace = f"00-{'ab' * 16}-{'cd' * 8}-01"
        sent = await unknown(
            appliances, workflow, "c-1", correlationid="order-1", traceparent=trace
        )
        assert ["c-1"] == await listed(stand)
        note = "Licence „über“ there since 14:02."
        exit_code, output = await stand.courier(*settle("c-1", note=note), "--by", "anna")
        assert 0 == exit_code, output

        await until(lambda: len(workflow.answers("c-1")) == 2)
        finished, settled = workflow.answers("c-1")
        schema_of(settled.event["type"]).validate(settled.event)
        event_type = "courier.apply-voice-license.settled.v1"
        expected = str(uuid.uuid5(NAMESPACE, f"{SOURCE}\nc-1\n{event_type}"))
        assert expected == settled.event["id"] == settled.message.message_id
        assert f"{event_type}.applied.fvc-1" == settled.routing_key
        assert ("order-1", "order-1", trace, "fvc-1") == (
            *(settled.event["correlationid"], settled.message.correlation_id),
            *(settled.event["traceparent"], settled.event["subject"]),
        )
        assert {
            "command": {"id": "c-1", "source": SOURCE, "type": sent["type"]},
            "appliance": "fvc-1",
            "verdict": "applied",
            "note": note,
            "settled_by": "anna",
        } == settled.data
        assert aio_pika.DeliveryMode.PERSISTENT == settled.message.delivery_mode

        assert [] == await listed(stand)
        assert ["c-1"] == await listed(stand, "--all")
        await workflow.send(sent)
        await until(lambda: len(workflow.answers("c-1")) == 3)
        assert finished.event == workflow.answers("c-1")[2].event


async def test_the_first_verdict_stays_and_is_told_again(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """The same verdict tells the stored event again; another is refused and told what stands."""
    appliances, _ = await stand.appliances(), await stand.service()
    async with workflow_of() as workflow:
        await unknown(appliances, workflow, "c-1")
        assert 0 == (await stand.courier(*settle("c-1", "--not-applied", "Nothing.")))[0]
        exit_code, output = await stand.courier(*settle("c-1", "--applied", "There."))
        assert (1, True) == (exit_code, "not-applied by" in output)
        assert "Nothing." in output
        exit_code, output = await stand.courier(*settle("c-1", "--not-applied", "Still not."))
        assert (0, True) == (exit_code, "settled before; told again" in output)
        await until(lambda: len(workflow.answers("c-1")) == 3)
        _, first, second = workflow.answers("c-1")
    assert first.event == second.event
    assert ("not-applied", "Nothing.") == (first.data["verdict"], first.data["note"])


async def test_a_settlement_that_was_not_told_is_told_by_the_same_command(
    stand: Stand, workflow_of: WorkflowOf, broker: Rabbit
) -> None:
    """It is stored first; the service need not run, and an event that nobody wants is kept."""
    appliances, service = await stand.appliances(), await stand.service()
    async with workflow_of() as workflow:
        await unknown(appliances, workflow, "c-1")
    await service.end()
    exit_code, output = await stand.courier(*settle("c-1"), BROKER_URL=NOWHERE)
    assert 1 == exit_code
    assert "is stored" in output
    assert "repeat the command" in output
    exit_code, output = await stand.courier("ledger", "show", "c-1")
    assert (0, True) == (exit_code, "settled as applied by" in output)

    vhost = urlsplit(stand.url).path[1:]
    connection = await aio_pika.connect(stand.url)
    async with connection:
        channel = await connection.channel()
        for queue in [each for each in broker.queues(vhost) if each.startswith("workflow-")]:
            await channel.queue_delete(queue)
        assert 0 == (await stand.courier(*settle("c-1", note="Another note.")))[0]
        unheard = await (await channel.get_queue("courier.unheard")).get(no_ack=True)
    told = json.loads(unheard.body)
    assert ("settled", "It is there.") == (told["type"].split(".")[2], told["data"]["note"])


async def test_what_is_no_settled_unknown_is_not_settled(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """Open, ended otherwise, not there: each is one clear sentence and exit code 1."""
    appliances, service = await stand.appliances(), await stand.service()
    async with workflow_of() as workflow:
        data = {"appliance": "fac-1", "license": licence(1)}
        await workflow.send(command("activate-sms-license", data, id="done"))
        assert "succeeded" == (await workflow.answer("done")).data["conclusion"]
        lost = {"operation": "activate", "action": "reset", "when": "after", "times": 1}
        await appliances.fault("fac-1", **lost)
        unread = {"operation": "balance", "action": "answer", "status": 500, "after": 1}
        await appliances.fault("fac-1", **unread)
        data = {"appliance": "fac-1", "license": licence(2)}
        await workflow.send(command("activate-sms-license", data, id="open"))
        await until(lambda: service.events("command-delayed", command_id="open"))

        assert ["open"] == await listed(stand)
        for name, words in (
            ("done", "ended succeeded; nothing to settle"),
            ("open", "still being read back; it ends by itself at 2"),
            ("nobody", "knows no licence command nobody"),
        ):
            exit_code, output = await stand.courier(*settle(name))
            assert (1, True, False) == (exit_code, words in output, "Traceback" in output), output
        _, output = await stand.courier("ledger", "show", "open")
        assert [] == [
            word
            for word in ("write announced", '"total_sms":', "heard:", "still being read back")
            if word not in output
        ]
        await appliances.order("DELETE", "/faults/fac-1")
        assert "succeeded" == (await workflow.answer("open")).data["conclusion"]
        assert ["open", "done"] == await listed(stand, "--conclusion", "succeeded")
        assert 2 == len(workflow.heard)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--note", "x"), "one of the two"),
        (("--applied", "--not-applied", "--note", "x"), "one of the two"),
        (("--applied",), "--note"),
        (("--applied", "--note", "  "), "at least 1"),
        (("--applied", "--note", "two\nlines"), "one line"),
        (("--applied", "--note", "7QXK-2M9D-HT4B-W8ZC-P3LF"), "looks like a licence"),
        (("--applied", "--note", "x", "--by", "x" * 129), "at most 128"),
    ],
)
async def test_wrong_usage_is_exit_code_2_and_stores_nothing(
    stand: Stand, arguments: tuple[str, ...], words: str
) -> None:
    """What is wrong is named without being repeated, before the ledger is looked for."""
    exit_code, output = await stand.courier("ledger", "resolve", "c-1", *arguments)
    assert (2, True) == (exit_code, words in " ".join(output.split())), output


def ledger_of(stand: Stand) -> Path:
    return stand.directory / "courier.db"


def record(stand: Stand, *names: str, source: str = SOURCE) -> None:
    """Put unknowns into a ledger, as a service would have left them."""
    with closing(sqlite3.connect(ledger_of(stand), isolation_level=None)) as writer:
        writer.executemany(
            "INSERT INTO commands (source, id, type, digest, appliance, concluded_at, conclusion,"
            " data) VALUES (?, ?, 'courier.apply-voice-license.v1', '', 'fvc-1',"
            " '2026-03-04T09:12:31.000Z', 'unknown', '{}')",
            [(source, name) for name in names],
        )


async def test_a_source_tells_commands_with_one_id_apart(stand: Stand) -> None:
    """Both are shown; which one is settled must be said, and the other one is not touched."""
    await stand.appliances()
    await stand.service()
    record(stand, "c-1")
    record(stand, "c-1", source="/elsewhere")
    exit_code, output = await stand.courier(*settle("c-1"))
    assert (2, True) == (exit_code, "/elsewhere, /workflow" in " ".join(output.split())), output
    _, output = await stand.courier("ledger", "show", "c-1", "--json")
    assert ["/elsewhere", SOURCE] == [entry["source"] for entry in json.loads(output)]
    assert 0 == (await stand.courier(*settle("c-1"), "--source", "/elsewhere"))[0]
    _, output = await stand.courier("ledger", "list", "--all", "--json")
    entries = {entry["source"]: entry["settled"] for entry in json.loads(output)}
    assert entries["/elsewhere"]["verdict"] == "applied"
    assert entries[SOURCE] is None


async def test_settling_and_running_do_not_get_in_each_others_way(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """While licences are written, persons settle: everything ends well, and nothing waits long."""
    await stand.appliances()
    service = await stand.service()
    names = [f"u-{number}" for number in range(8)]
    record(stand, *names)
    async with workflow_of() as workflow:
        sent = [
            command("activate-sms-license", {"appliance": "fac-1", "license": licence(number)})
            for number in range(80)
        ]
        await workflow.send(*sent)
        settled = await asyncio.gather(*(stand.courier(*settle(name)) for name in names))
        assert {0} == {exit_code for exit_code, _ in settled}, settled
        answers = await gather_answers(workflow, [each["id"] for each in sent])
        await until(lambda: all(workflow.answers(name) for name in names))
    assert {"succeeded"} == {answer.data["conclusion"] for answer in answers}
    assert [] == service.events("ledger-unavailable")
    assert [] == await listed(stand)


SCHEMA_2 = """
BEGIN;
CREATE TABLE about (created_at TEXT NOT NULL, broker TEXT);
CREATE TABLE commands (
    source TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL, digest TEXT NOT NULL,
    appliance TEXT NOT NULL, intended_at TEXT, before BLOB, answer BLOB,
    concluded_at TEXT, conclusion TEXT, data BLOB, PRIMARY KEY (source, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX one_open_intent ON commands (appliance) WHERE concluded_at IS NULL;
INSERT INTO about VALUES ('2025-01-01T00:00:00.000Z', NULL);
PRAGMA user_version = 2;
COMMIT;
"""


def reasons(service: Service) -> str:
    return "\n".join(str(line["reason"]) for line in service.events("start-refused"))


async def test_the_service_upgrades_an_older_ledger(stand: Stand) -> None:
    """The tool says so before, and works after; an unknown of then can be settled now."""
    with closing(sqlite3.connect(ledger_of(stand), isolation_level=None)) as writer:
        writer.executescript(SCHEMA_2)
    record(stand, "c-1")
    exit_code, output = await stand.courier("ledger", "list")
    assert (1, True) == (exit_code, "start `courier serve` once" in output), output
    await stand.appliances()
    await (await stand.service()).end()
    assert ["c-1"] == await listed(stand)
    assert 0 == (await stand.courier(*settle("c-1")))[0]


async def test_nothing_is_pruned_soon_after_a_start(stand: Stand) -> None:
    """A wall clock that is wrong after a boot has an hour to be set right (see test_pruning)."""
    await stand.appliances()
    await (await stand.service()).end()
    record(stand, "settled", "unsettled")
    assert 0 == (await stand.courier(*settle("settled")))[0]
    with closing(sqlite3.connect(ledger_of(stand), isolation_level=None)) as writer:
        writer.execute("UPDATE commands SET settled_at = concluded_at WHERE id = 'settled'")
    service = await stand.service(LEDGER_RETENTION=str(30 * 86400))
    await service.end()
    assert [] == service.events("ledger-entries-forgotten")
    assert ["unsettled", "settled"] == await listed(stand, "--all")


async def test_a_ledger_serves_no_other_broker(stand: Stand, broker: Rabbit) -> None:
    """Neither a service of another virtual host, nor a settlement that would be told there."""
    await stand.appliances()
    await (await stand.service()).end()
    record(stand, "c-1")
    vhost = f"test-{uuid.uuid4().hex[:12]}"
    broker.create_vhost(vhost)
    try:
        service = await stand.service(ready=False, BROKER_URL=broker.url_of(vhost))
        assert 1 == await service.ended()
        assert "this ledger belongs to" in reasons(service)
        assert {} == broker.queues(vhost)
        exit_code, output = await stand.courier(*settle("c-1"), BROKER_URL=broker.url_of(vhost))
        assert (1, True, True) == (exit_code, "belongs to" in output, "is stored" in output)
    finally:
        broker.delete_vhost(vhost)


async def test_a_service_does_not_start_on_a_damaged_ledger(stand: Stand) -> None:
    """It says what is wrong, and what to do; what is left of the file is not touched."""
    await stand.appliances()
    await (await stand.service()).end()
    content = ledger_of(stand).read_bytes()[:9000]
    ledger_of(stand).write_bytes(content)
    service = await stand.service(ready=False)
    assert 1 == await service.ended()
    assert "Move it away" in reasons(service)
    assert content == ledger_of(stand).read_bytes()
    assert 1 == (await stand.courier("ledger", "list"))[0]
