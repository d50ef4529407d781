"""Starting: cold, twice, on a broker that differs, with settings that cannot be used."""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import pytest

from tests.campaign.proxy import Link
from tests.support import http
from tests.support.rabbit import QUICKER_RETRY, Rabbit
from tests.support.stand import Service, Stand
from tests.support.wait import until
from tests.support.workflow import Workflow, command, gather_answers, licence

WorkflowOf = Callable[[], AbstractAsyncContextManager[Workflow]]
with_others = pytest.mark.asyncio(loop_scope="module")
"""What starts nothing that runs shares a stand and its appliances: `shared_stand`."""


async def test_two_hundred_queries_on_a_cold_service_make_one_login(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """One session per appliance, whatever waits for it."""
    appliances, service = await stand.appliances(), await stand.service()
    async with workflow_of() as workflow:
        sent = [command("query-devices", {"appliance": "fvc-1"}) for _ in range(200)]
        await workflow.send(*sent)
        answers = await gather_answers(workflow, [each["id"] for each in sent])
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
        await channel.declare_queue("courier.retry.1s", durable=True, arguments=QUICKER_RETRY)
        await channel.declare_exchange("courier.events", "fanout", durable=True)
    service = await stand.service(ready=False)
    assert 1 == await service.ended()
    assert "queue courier.retry.1s on the broker differs in x-message-ttl" in reasons(service)
    assert "exchange courier.events on the broker differs in type" in reasons(service)


@with_others
@pytest.mark.usefixtures("appliances")
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
    shared_stand: Stand, settings: dict[str, str], words: list[str]
) -> None:
    """With the variable's name, without a traceback and without what may be a secret."""
    service = await shared_stand.service(ready=False, **settings)
    assert 1 == await service.ended()
    told = "\n".join(service.lines)
    assert [] == [word for word in [*words, "courier: "] if word not in told]
    assert "Traceback" not in told
    assert "hunter2" not in told


@with_others
@pytest.mark.usefixtures("appliances")
async def test_it_waits_for_its_broker(shared_stand: Stand) -> None:
    """No broker yet: said once; SIGTERM ends the waiting with exit code 0."""
    service = await shared_stand.service(ready=False, BROKER_URL="amqp://guest:guest@127.0.0.1:9/")
    await until(lambda: service.events("broker-unreachable"))
    assert 0 == await service.end()
    assert 1 == len(service.events("broker-unreachable"))


@with_others
@pytest.mark.usefixtures("appliances")
async def test_a_wrong_password_for_the_broker_is_not_waited_for(shared_stand: Stand) -> None:
    """Waiting will not make it right."""
    user, _, place = shared_stand.url.removeprefix("amqp://").partition("@")
    wrong = f"amqp://{user.split(':')[0]}:hunter2@{place}"
    service = await shared_stand.service(ready=False, BROKER_URL=wrong)
    assert 1 == await service.ended()
    assert "refuses the login" in reasons(service)
    assert "hunter2" not in "\n".join(service.lines)


@with_others
@pytest.mark.usefixtures("appliances")
async def test_a_virtual_host_that_is_not_there_is_not_waited_for(shared_stand: Stand) -> None:
    """Waiting will not make it."""
    elsewhere = f"{shared_stand.url}-elsewhere"
    service = await shared_stand.service(ready=False, BROKER_URL=elsewhere)
    assert 1 == await service.ended()
    assert "COURIER_BROKER_URL" in reasons(service)


@with_others
async def test_nobody_waits_longer_than_they_said(shared_stand: Stand) -> None:
    """`courier send` without a broker ends with 3 and says under which id to ask again."""
    nowhere = "amqp://guest:guest@127.0.0.1:9/"
    asked = ("send", "query-devices", "-a", "fvc-1", "--timeout", "1", "--id", "x")
    exit_code, output = await shared_stand.courier(*asked, BROKER_URL=nowhere)
    assert 3 == exit_code
    assert "again with --id x" in output


async def test_a_ledger_that_cannot_be_written_is_waited_for(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """Another program locks it: not ready, nothing lost, and the command ends once it is free."""
    appliances, service = await stand.appliances(), await stand.service()
    async with workflow_of() as workflow, http.visit(service.http) as client:
        locking = sqlite3.connect(stand.directory / "courier.db", isolation_level=None)
        locking.execute("BEGIN EXCLUSIVE")
        sent = command("activate-sms-license", {"appliance": "fac-1", "license": licence(1)})
        await workflow.send(sent)
        await until(lambda: service.events("ledger-unavailable"))
        answer = await client.get("/health/ready")
        assert (503, ["ledger-unavailable"]) == (answer.status_code, answer.json()["reasons"])
        locking.rollback()
        locking.close()
        heard = await workflow.answer(sent["id"])
    assert "succeeded" == heard.data["conclusion"]
    assert 1 == (await appliances.books("fac-1"))["posts"][licence(1)]
    assert 1 == len(service.events("command-received"))


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
