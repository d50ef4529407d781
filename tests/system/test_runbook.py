"""`deploy/RUNBOOK.md` is walked: its situations are built for real, its commands end them.

Each test is a night: what the runbook says under "over when" has come true at its end.
"""

import json
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Final
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.campaign.proxy import Link
from tests.support.rabbit import Rabbit
from tests.support.runbook import Desk, seated
from tests.support.stand import Appliances, Stand
from tests.support.wait import until
from tests.support.workflow import SOURCE, Json, Workflow, command, licence, working

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILE: Final = {"name": "a.lic", "content": "YWJjZA=="}
LOST: Final = {"action": "reset", "when": "after", "times": 1}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def link(shared_url: str) -> AsyncIterator[Link]:
    """What the service's connections to the broker pass through."""
    parts = urlsplit(shared_url)
    async with Link.opened(str(parts.hostname), parts.port or 5672) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def appliances(shared_stand: Stand) -> Appliances:
    """A spare FortiVoice's table stands beside the inventory."""
    made = await shared_stand.appliances("--fortivoices", "3")
    text, spare = made.inventory.read_text().split("[appliances.fvc-3]")
    made.inventory.write_text(text)
    made.inventory.with_name("spare.toml").write_text(spare)
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(
    shared_stand: Stand,
    appliances: Appliances,  # noqa: ARG001 - the services' inventory
    link: Link,
    broker: Rabbit,
) -> AsyncIterator[Desk]:
    async with seated(shared_stand, broker.node, port=link.port) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workflow(desk: Desk) -> AsyncIterator[Workflow]:
    async with working(desk.stand.url) as made:
        yield made


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _whole(appliances: Appliances, link: Link) -> AsyncIterator[None]:
    """Whatever a night has broken, the next one begins whole."""
    inventory = appliances.inventory.read_text()
    yield
    link.heal()
    if inventory != appliances.inventory.read_text():
        appliances.inventory.write_text(inventory)
    for name in ("fac-1", "fvc-1", "fvc-2"):
        await appliances.order("DELETE", f"/faults/{name}")
        await appliances.order("POST", f"/{name}/start")


def query(appliance: str = "fvc-1") -> Json:
    return command("query-devices", {"appliance": appliance})


def activation(number: int, name: str) -> Json:
    data = {"appliance": "fac-1", "license": licence(number)}
    return command("activate-sms-license", data, id=name)


async def conclusion(workflow: Workflow, sent: Json) -> str:
    return str((await workflow.answer(sent["id"])).data["conclusion"])


async def test_the_first_look_says_that_all_is_well(desk: Desk, workflow: Workflow) -> None:
    """Ready, all findings well, nothing waits for a person, and a command's story is told."""
    await desk.running()
    sent = query()
    await workflow.send(sent)
    assert "succeeded" == await conclusion(workflow, sent)
    async with desk.walk("before-you-begin") as walk:
        await walk.run()
    async with desk.walk("where-to-look-first") as walk:
        assert "ready" in await walk.run()
        assert "failed" not in await walk.run()
        assert sent["id"] not in await walk.run()
        assert "command-finished" in await walk.run({"ID": sent["id"]})
        assert re.search(r"courier\.query-devices\s+0\s+1\b", await walk.run())
    async with desk.walk("courierslow") as walk:
        said = await walk.run()
        assert 'courier_queue_messages{queue="courier.parked"} 0' in said
        assert 'courier_appliance_answer_seconds_count{appliance="fvc-1"} 1' in said
    async with desk.walk("courierinternalerrors") as walk:
        assert "" == await walk.run()
    async with desk.walk("upgrading") as walk:
        assert re.search(r"service-starting +version=.*\nready", await walk.run())


async def test_a_refused_password_is_over_when_the_file_is_right(
    desk: Desk, workflow: Workflow, appliances: Appliances
) -> None:
    """Whose it is stands in the metrics; what waited comes back by itself."""
    service = await desk.running()
    await appliances.order("PUT", "/fvc-1/password", {"password": "changed-in-the-night"})
    await appliances.order("POST", "/fvc-1/expire-sessions")
    sent = query()
    await workflow.send(sent)
    await until(lambda: service.events("command-delayed", error_code="credentials-refused"))
    async with desk.walk("couriercredentialsrefused") as walk:
        assert 'appliance="fvc-1"' in await walk.run()
    async with desk.walk("courierretrybacklog") as walk:
        assert 'error_code="credentials-refused"' in await walk.run()
        assert 'queue="courier.retry.1s"' in await walk.run()
    secret = appliances.inventory.parent / "fvc-1.password"
    async with desk.walk("rotating-a-password") as walk:
        await walk.run({"PASSWORD": "changed-in-the-night", "PASSWORD_FILE": str(secret)})
        assert 0o600 == secret.stat().st_mode & 0o777
        assert "login works" in await walk.run()
    assert "succeeded" == await conclusion(workflow, sent)
    assert 2 <= len(service.events("session-opened", appliance="fvc-1"))
    assert 1 == (await appliances.books("fvc-1"))["refused_logins"]


async def test_a_broken_appliance_is_over_when_its_breaker_is_closed(
    desk: Desk, workflow: Workflow, appliances: Appliances
) -> None:
    """The check names it; its commands come back by themselves when it does."""
    service = await desk.running()
    await appliances.order("POST", "/fvc-1/stop")
    sent = [query() for _ in range(8)]
    await workflow.send(*sent)
    await until(lambda: service.events("breaker-opened", appliance="fvc-1"))
    async with desk.walk("courierbreakeropen") as walk:
        said = await walk.run({"APPLIANCE": "fvc-1"}, code=1)
        assert re.search(r"(?s)breaker-opened.*failed\s+fvc-1", said)
        await appliances.order("POST", "/fvc-1/start")
        await until(lambda: service.events("breaker-closed", appliance="fvc-1"))
        assert 'appliance="fvc-1"' in await walk.run()
    assert {"succeeded"} == {await conclusion(workflow, each) for each in sent}


async def test_a_replaced_appliance_gets_the_commands_that_waited(
    desk: Desk, workflow: Workflow, appliances: Appliances
) -> None:
    """The other table takes effect without a restart; a command of the old one is done there."""
    service = await desk.running()
    await appliances.order("POST", "/fvc-2/stop")
    sent = query("fvc-2")
    await workflow.send(sent)
    await until(lambda: service.events("command-delayed", command_id=sent["id"]))
    async with desk.walk("replacing-an-appliance") as walk:
        assert "open" not in await walk.run({"APPLIANCE": "fvc-2"})
        spare = appliances.inventory.with_name("spare.toml").read_text()
        text = appliances.inventory.read_text().split("[appliances.fvc-2]")[0]
        appliances.inventory.write_text(f"{text}[appliances.fvc-2]{spare}")
        await walk.run()
        await until(lambda: service.events("inventory-reloaded"))
        assert "inventory-reloaded" in await walk.run()
    assert "succeeded" == await conclusion(workflow, sent)
    assert 1 == (await appliances.books("fvc-3"))["requests"]["devices"]


async def test_what_is_parked_is_replayed_or_thrown_away(
    desk: Desk, workflow: Workflow, appliances: Appliances
) -> None:
    """The good one is done once, the bad one is kept in a file, and nothing is parked any more."""
    await desk.running()
    good, bad = activation(1, "parked-good"), query()
    bad["data"]["typo"] = 1
    await workflow.send(bad)
    assert "contract-violation" == (await workflow.answer(bad["id"])).data["reason"]
    await workflow.put(
        json.dumps(good).encode(),
        "courier.parked",
        workflow.channel.default_exchange,
        headers={"courier-reason": "unknown-command", "courier-queue": "courier.unknown-command"},
    )
    async with desk.walk("courierparkedgrowing") as walk:
        assert re.search(f"{bad['id']}.*contract-violation", await walk.run())
    async with desk.walk("replaying-parked-messages") as walk:
        assert "will be run" in await walk.run({"ID": good["id"]})
        assert "replayed" in await walk.run({"ID": good["id"]})
        kept = desk.stand.directory / "kept"
        await walk.run({"DISCARD_ID": bad["id"], "KEEP": str(kept)})
    assert "succeeded" == await conclusion(workflow, good)
    assert {licence(1): 1} == (await appliances.books("fac-1"))["posts"]
    assert 2 == len(list(kept.iterdir()))
    assert await workflow.parked() is None


async def test_an_unknown_is_over_when_a_person_has_settled_it(
    desk: Desk, workflow: Workflow, appliances: Appliances
) -> None:
    """It is told to everybody, nothing is listed any more, and a backup knows it."""
    await desk.running()
    await appliances.fault("fvc-1", operation="apply", **LOST)
    sent = command("apply-voice-license", {"appliance": "fvc-1", "file": FILE}, id="lost-1")
    await workflow.send(sent)
    assert "unknown" == await conclusion(workflow, sent)
    async with desk.walk("courierunknownunresolved") as walk:
        assert "lost-1" in await walk.run()
    async with desk.walk("settling-an-unknown") as walk:
        assert "write announced" in await walk.run({"ID": "lost-1"})
        assert '"total_sms"' in await walk.run({"FORTIAUTHENTICATOR": "fac-1"})
        assert "applied by" in await walk.run({"ID": "lost-1", "NOTE": "Seen on it at 03:12."})
    await until(lambda: len(workflow.answers("lost-1")) == 2)
    assert "applied" == workflow.answers("lost-1")[1].data["verdict"]
    async with desk.walk("courierunknownunresolved") as walk:
        assert "lost-1" not in await walk.run()
    async with desk.walk("backing-up-a-ledger") as walk:
        backup = {"BACKUP": str(desk.stand.directory / "backup.db")}
        assert "ok" == (await walk.run(backup)).strip()
        assert "unknown, applied" in await walk.run(backup)


async def test_an_intent_whose_copy_is_gone_ends_when_the_command_is_sent_again(
    desk: Desk, workflow: Workflow, appliances: Appliances
) -> None:
    """It is read back, not written again; the licence that waited for it is written then."""
    service = await desk.running()
    await appliances.fault("fac-1", operation="activate", **LOST)
    unread = {"operation": "balance", "action": "answer", "status": 500, "after": 1}
    await appliances.fault("fac-1", **unread)
    sent, other = activation(2, "open-1"), activation(3, "waits-1")
    await workflow.send(sent)
    await until(lambda: service.events("command-delayed", command_id="open-1"))
    last = await workflow.channel.get_queue("courier.retry.2s", ensure=False)
    assert 1 == (await last.purge()).message_count
    await workflow.send(other)
    await until(lambda: service.events("command-delayed", command_id="waits-1", error_code="busy"))
    async with desk.walk("busy") as walk:
        assert re.search(r"open-1\b.*\bopen\b", await walk.run({"APPLIANCE": "fac-1"}))
    await appliances.order("DELETE", "/faults/fac-1")
    file = desk.stand.directory / "licence.txt"
    file.write_text(licence(2))
    again = {"ID": "open-1", "SOURCE": SOURCE, "APPLIANCE": "fac-1", "LICENCE_FILE": str(file)}
    async with desk.walk("an-intent-that-stays-open") as walk:
        assert "still being read back" in await walk.run(again)
        assert '"succeeded"' in await walk.run(again)
    assert ["succeeded"] * 2 == [await conclusion(workflow, each) for each in (sent, other)]
    posts = (await appliances.books("fac-1"))["posts"]
    assert (1, 1) == (posts[licence(2)], posts[licence(3)])


async def test_a_lost_connection_is_over_when_it_is_back(
    desk: Desk, workflow: Workflow, link: Link
) -> None:
    """The metrics say which; nothing is restarted, and what was sent meanwhile is done."""
    service = await desk.running()
    link.cut()
    await until(lambda: desk.reasons() == ["broker-disconnected"])
    async with desk.walk("broker-disconnected") as walk:
        said = await walk.run(code=1)
        assert 'courier_broker_connected{connection="consuming"} 0' in said
        assert re.search(r"failed\s+addresses", said)
    sent = query()
    await workflow.send(sent)
    link.heal()
    assert "succeeded" == await conclusion(workflow, sent)
    await until(lambda: desk.reasons() == [])
    assert service.events("broker-connection-restored", connection="consuming")


async def test_a_queue_made_anew_is_over_when_it_is_deleted(desk: Desk, workflow: Workflow) -> None:
    """The check names it with its argument; the courier declares it again by itself."""
    await desk.running()
    await workflow.channel.queue_delete("courier.unheard")
    await workflow.channel.declare_queue(
        "courier.unheard", durable=True, arguments={"x-queue-type": "quorum", "x-max-length": 7}
    )
    await until(lambda: desk.reasons() == ["topology-differs"])
    async with desk.walk("topology-differs") as walk:
        assert "courier.unheard on the broker differs in x-max-length" in await walk.run(code=1)
        assert "courier.unheard" in await walk.run({"QUEUE": "courier.unheard"})
    await until(lambda: desk.reasons() == [])


async def test_a_full_subscriber_is_over_when_its_queue_is_empty(
    desk: Desk, workflow: Workflow
) -> None:
    """The bindings and arguments name it; what waited is told then."""
    service = await desk.running()
    full = await workflow.channel.declare_queue(
        "portal", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
    )
    await full.bind("courier.events", "#")
    first, sent = query(), query()
    await workflow.send(first)
    assert "succeeded" == await conclusion(workflow, first)
    await workflow.send(sent)
    await until(lambda: service.events("publish-repeated", command_id=sent["id"]))
    async with desk.walk("a-subscribers-full-queue") as walk:
        said = await walk.run()
        assert re.search(r"^courier\.events\s+portal\s", said, re.MULTILINE)
        assert re.search(r"^portal\s+1\s.*reject-publish", said, re.MULTILINE)
        await walk.run({"QUEUE": "portal"})
    await until(lambda: service.events("result-told", command_id=sent["id"]))
    await full.delete(if_empty=False)


async def test_an_alarm_is_over_when_no_connection_is_blocked(
    desk: Desk, workflow: Workflow, broker: Rabbit, appliances: Appliances
) -> None:
    """The broker names the alarm; what came back meanwhile is told after it, without a restart."""
    service = await desk.running()
    await appliances.order("POST", "/fvc-1/stop")
    sent = query()
    await workflow.send(sent)
    await until(lambda: service.events("command-delayed", command_id=sent["id"]))
    with broker.memory_alarm():
        async with desk.walk("courierpublishingslow") as walk:
            assert "Memory alarm" in await walk.run()
        async with desk.walk("publishing-blocked") as walk:
            assert re.search(r"\tblock(ed|ing)$", await walk.run(), re.MULTILINE)
        await appliances.order("POST", "/fvc-1/start")
    async with desk.walk("an-alarm-on-the-broker") as walk:
        assert "block" not in await walk.run()
    assert "succeeded" == await conclusion(workflow, sent)


async def test_a_node_is_drained_and_starts_again(desk: Desk, appliances: Appliances) -> None:
    """Exit code 0; then nothing consumes. One that is configured badly is named by the check."""
    service = await desk.running()
    async with desk.walk("draining-a-node") as walk:
        await walk.run()
    assert 0 == await service.ended()
    assert '"service-stopped"' in service.lines[-1]
    async with desk.walk("couriernothingconsumes") as walk:
        assert re.search(r"courier\.query-devices\s+0\s+0\b", await walk.run())
    right = appliances.inventory.read_text()
    appliances.inventory.write_text(right.replace("url =", "ulr =", 1))
    desk.service = await desk.stand.service(ready=False, **desk.settings)
    assert 1 == await desk.service.ended()
    async with desk.walk("courierdown") as walk:
        assert "no courier answers" in await walk.run(code=1)
        assert re.search(r"(?s)start-refused.*ulr.*failed.*ulr", await walk.run(code=1))
    appliances.inventory.write_text(right)
    await desk.running()
    assert [] == desk.reasons()


async def test_a_ledger_that_is_locked_ends_the_service_with_75(
    desk: Desk, workflow: Workflow
) -> None:
    """The reason is told before and after; when the lock is gone, the next process is ready."""
    service = await desk.running(WATCHDOG_TIMEOUT="3", DRAIN_TIMEOUT="0.1")
    ledger = desk.stand.directory / "courier.db"
    with closing(sqlite3.connect(ledger, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        await workflow.send(activation(4, "locked-1"))
        await until(lambda: service.events("service-not-ready"))
        async with desk.walk("couriernotready") as walk:
            assert "ledger-unavailable" in await walk.run(code=1)
        assert 75 == await service.ended()
        async with desk.walk("ledger-unavailable") as walk:
            assert "courier.db-wal" in await walk.run()
        async with desk.walk("a-full-disk") as walk:
            assert str(desk.stand.directory) in await walk.run()
        async with desk.walk("the-watchdog-exit-code-75") as walk:
            assert "ledger-unavailable" in await walk.run()
        holder.execute("ROLLBACK")
    await desk.running()
    assert [] == desk.reasons()


async def test_a_lost_ledger_doubles_nothing(
    desk: Desk, workflow: Workflow, appliances: Appliances
) -> None:
    """What an earlier courier had ends unknown, is not written, and the old ledger can be read."""
    service = await desk.running()
    await appliances.fault("fac-1", operation="balance", action="answer", status=500)
    sent = activation(5, "older-1")
    await workflow.send(sent)
    await until(lambda: service.events("command-delayed", command_id="older-1"))
    await service.end()
    kept = {"KEEP": str(desk.stand.directory / "lost")}
    async with desk.walk("a-lost-ledger") as walk:
        await walk.run(kept)
        assert not (desk.stand.directory / "courier.db").exists()
        await desk.running()
        assert "unknown" == await conclusion(workflow, sent)
        said = await walk.run(kept)
    assert "older-1" in said
    assert licence(5) not in (await appliances.books("fac-1"))["posts"]
