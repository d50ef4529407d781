"""Starting: cold, twice, on a broker that differs, with settings that cannot be used; checking."""

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import httpx
import pytest

from tests.campaign.proxy import Link
from tests.support.rabbit import Rabbit
from tests.support.stand import Appliances, Service, Stand
from tests.support.wait import until
from tests.support.workflow import Workflow, command, gather_answers, licence

if TYPE_CHECKING:
    from pamqp.common import FieldTable

WorkflowOf = Callable[[], AbstractAsyncContextManager[Workflow]]


async def test_two_hundred_queries_on_a_cold_service_make_one_login(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """One session per appliance, whatever waits for it."""
    appliances, service = await stand.appliances(), await stand.service()
    async with workflow_of() as workflow:
        sent = [command("query-devices", {"appliance": "fvc-1"}) for _ in range(200)]
        await workflow.send(*sent)
        answers = await gather_answers(workflow, [each["id"] for each in sent], patience=40)
    assert {"succeeded"} == {answer.data["conclusion"] for answer in answers}
    assert 1 == (await appliances.books("fvc-1"))["logins"]
    assert 1 == len(service.events("session-opened", appliance="fvc-1"))


def reasons(service: Service) -> str:
    return "\n".join(str(line["reason"]) for line in service.events("start-refused"))


async def test_a_second_courier_refuses_to_start(stand: Stand) -> None:
    """On the same ledger, and with another SQLite ledger on the same virtual host."""
    await stand.appliances()
    first = await stand.service()
    for settings, why in (
        ({}, "another courier owns"),
        ({"LEDGER_URL": f"sqlite:///{stand.directory}/other.db"}, "serves this virtual host"),
    ):
        second = await stand.service(ready=False, **settings)
        assert 1 == await second.ended()
        assert why in reasons(second)
        assert "PostgreSQL" in reasons(second)
    assert first.process.returncode is None


async def test_a_queue_that_differs_is_named_with_its_argument(stand: Stand) -> None:
    """The service does not start on a topology that is not the contract's."""
    await stand.appliances()
    connection = await aio_pika.connect(stand.url)
    async with connection:
        channel = await connection.channel()
        arguments: FieldTable = {
            "x-queue-type": "quorum",
            "x-message-ttl": 5,
            "x-dead-letter-exchange": "",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        await channel.declare_queue("courier.retry.1s", durable=True, arguments=arguments)
        await channel.declare_exchange("courier.events", "fanout", durable=True)
    service = await stand.service(ready=False)
    assert 1 == await service.ended()
    assert "queue courier.retry.1s on the broker differs in x-message-ttl" in reasons(service)
    assert "exchange courier.events on the broker differs in type" in reasons(service)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"PREFETCH": "many"}, ["COURIER_PREFETCH"]),
        ({"RETRY_DELAYS": "5,soon"}, ["COURIER_RETRY_DELAYS", "whole seconds"]),
        ({"BROKER_URL": "http://user:hunter2@localhost"}, ["COURIER_BROKER_URL", "amqp"]),
        ({"APPLIANCES_FILE": "nowhere.toml"}, ["COURIER_APPLIANCES_FILE", "nowhere.toml"]),
        ({"LEDGER_URL": "mysql://x"}, ["COURIER_LEDGER_URL"]),
        ({"LEDGER_URL": "sqlite:////proc/no/courier.db"}, ["COURIER_LEDGER_URL"]),
    ],
)
async def test_a_setting_that_cannot_be_used_is_one_clear_error(
    stand: Stand, settings: dict[str, str], words: list[str]
) -> None:
    """With the variable's name, without a traceback and without what may be a secret."""
    await stand.appliances()
    service = await stand.service(ready=False, **settings)
    assert 1 == await service.ended()
    told = "\n".join(service.lines)
    assert [] == [word for word in [*words, "courier: "] if word not in told]
    assert "Traceback" not in told
    assert "hunter2" not in told


async def test_it_waits_for_its_broker(stand: Stand) -> None:
    """No broker yet: said once; SIGTERM ends the waiting with exit code 0."""
    await stand.appliances()
    service = await stand.service(ready=False, BROKER_URL="amqp://guest:guest@127.0.0.1:9/")
    await until(lambda: service.events("broker-unreachable"))
    assert 0 == await service.end()
    assert 1 == len(service.events("broker-unreachable"))


async def test_a_wrong_password_for_the_broker_is_not_waited_for(stand: Stand) -> None:
    """Waiting will not make it right."""
    await stand.appliances()
    user, _, place = stand.url.removeprefix("amqp://").partition("@")
    wrong = f"amqp://{user.split(':')[0]}:hunter2@{place}"
    service = await stand.service(ready=False, BROKER_URL=wrong)
    assert 1 == await service.ended()
    assert "refuses the login" in reasons(service)
    assert "hunter2" not in "\n".join(service.lines)


async def test_a_virtual_host_that_is_not_there_is_not_waited_for(stand: Stand) -> None:
    """Waiting will not make it."""
    await stand.appliances()
    service = await stand.service(ready=False, BROKER_URL=f"{stand.url}-elsewhere")
    assert 1 == await service.ended()
    assert "COURIER_BROKER_URL" in reasons(service)


async def test_nobody_waits_longer_than_they_said(stand: Stand) -> None:
    """`courier send` without a broker ends with 3 and says under which id to ask again."""
    nowhere = "amqp://guest:guest@127.0.0.1:9/"
    exit_code, output = await stand.courier(
        "send", "query-devices", "-a", "fvc-1", "--timeout", "1", "--id", "x", BROKER_URL=nowhere
    )
    assert 3 == exit_code
    assert "again with --id x" in output


async def test_a_ledger_that_cannot_be_written_is_waited_for(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """Another program locks it: not ready, nothing lost, and the command ends once it is free."""
    appliances, service = await stand.appliances(), await stand.service()
    async with workflow_of() as workflow, httpx.AsyncClient(base_url=service.http) as client:
        locking = sqlite3.connect(stand.directory / "courier.db", isolation_level=None)
        locking.execute("BEGIN EXCLUSIVE")
        sent = command("activate-sms-license", {"appliance": "fac-1", "license": licence(1)})
        await workflow.send(sent)
        await until(lambda: service.events("ledger-unavailable"), patience=30)
        answer = await client.get("/health/ready")
        assert (503, ["ledger-unavailable"]) == (answer.status_code, answer.json()["reasons"])
        locking.rollback()
        locking.close()
        heard = await workflow.answer(sent["id"], patience=30)
    assert "succeeded" == heard.data["conclusion"]
    assert 1 == (await appliances.books("fac-1"))["posts"][licence(1)]
    assert 1 == len(service.events("command-received"))


TROUBLES = {
    "fac-2": ["refuses the credentials"],
    "fvc-1": ["cannot be reached"],
    "fvc-2": ["certificate is not trusted", "ca_file"],
    "fvc-3": ["certificate is not trusted", "expired"],
    "fvc-4": ["certificate is not trusted", "mismatch"],
}
"""Appliances that cannot be logged into, and words of the reason."""
PLAYED = ["fac-1", *TROUBLES, "fvc-5"]


async def troubled(stand: Stand) -> Appliances:
    appliances = await stand.appliances("--fortiauthenticators", "2", "--fortivoices", "5")
    (appliances.inventory.parent / "fac-2.password").write_text("hunter2")
    async with httpx.AsyncClient(base_url=appliances.control) as client:
        (await client.post("/fvc-1/stop")).raise_for_status()
        for name, kind in (("fvc-2", "self-signed"), ("fvc-3", "expired"), ("fvc-4", "wrong-name")):
            answer = await client.put(f"/{name}/certificate", json={"kind": kind})
            answer.raise_for_status()
    return appliances


async def test_check_logs_into_every_appliance_once(stand: Stand) -> None:
    """Into those that refuse it, too; what is well and what is not is one row each."""
    appliances = await troubled(stand)
    exit_code, output = await stand.courier("check", "--json")
    found = {each["what"]: each for each in json.loads(output.splitlines()[-1])}
    assert 1 == exit_code
    assert ["settings", "broker", "ledger", *sorted(PLAYED)] == list(found)
    assert set(TROUBLES) == {what for what, each in found.items() if not each["ok"]}
    for name, words in TROUBLES.items():
        assert [] == [word for word in [name, *words] if word not in found[name]["detail"]]
    books = {name: await appliances.books(name) for name in PLAYED}
    # A FortiAuthenticator has no login but the first request; the second is what it is for.
    assert ({"balance": 2}, 0) == (books["fac-1"]["requests"], books["fac-1"]["refused_logins"])
    assert ({"balance": 1}, 1) == (books["fac-2"]["requests"], books["fac-2"]["refused_logins"])
    assert (1, 1) == (books["fvc-5"]["logins"], books["fvc-5"]["requests"]["login"])
    assert [{}] * 4 == [books[f"fvc-{number}"]["requests"] for number in range(1, 5)]


async def test_check_shows_a_table_to_a_person(stand: Stand) -> None:
    """Each appliance has its row with the reason, and no secret stands in it."""
    await troubled(stand)
    exit_code, output = await stand.courier("check")
    assert 1 == exit_code
    _, *rows = re.split(r"\n (?=ok |failed )", output)
    told = [" ".join(row.split()) for row in rows]
    for name in PLAYED:
        (row,) = [row for row in told if name == row.split()[1]]
        assert ("failed" if name in TROUBLES else "ok") == row.split()[0]
        assert [] == [word for word in TROUBLES.get(name, []) if word not in row]
    assert "hunter2" not in output


async def test_check_is_well_when_every_login_works(stand: Stand) -> None:
    """Exit code 0; every session that it opened is logged out of."""
    appliances = await stand.appliances()
    async with httpx.AsyncClient(base_url=appliances.control) as client:
        logout = {"logout_path": "/api/v1/VoiceadminLogout"}
        (await client.patch("/switches/fvc-1", json=logout)).raise_for_status()
    exit_code, output = await stand.courier("check")
    assert 0 == exit_code, output
    assert 2 == output.count("login works")
    assert {"logout": 1} == (await appliances.books("fvc-1"))["sessions_ended"]


async def test_a_broker_that_goes_away_during_the_start_only_delays_it(
    stand: Stand, broker: Rabbit
) -> None:
    """It starts again by itself, and says so without a traceback."""
    await stand.appliances()
    parts = urlsplit(stand.url)
    vhost = parts.path[1:]
    assert parts.hostname is not None
    assert parts.port is not None
    async with Link.opened(parts.hostname, parts.port) as link:
        link.slow(latency=0.1, rate=1e6)
        address = f"{parts.username}:{parts.password}@127.0.0.1:{link.port}"
        through = urlunsplit((parts.scheme, address, parts.path, "", ""))
        service = await stand.service(ready=False, BROKER_URL=through)
        await until(lambda: "courier.parked" in broker.queues(vhost))
        link.cut()
        await until(lambda: service.events("start-interrupted"))
        link.heal()
        await until(lambda: service.events("service-ready"))
    assert [] == [line for line in service.lines if "Traceback" in line]
