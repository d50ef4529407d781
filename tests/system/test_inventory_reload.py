"""The inventory changes while the service runs: what is new works, what is old is left alone."""

import signal
import tomllib
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support import http
from tests.support.stand import Appliances, Json, Service, Stand
from tests.support.wait import until
from tests.support.workflow import Workflow, command, licence

WorkflowOf = Callable[[], AbstractAsyncContextManager[Workflow]]
NOBODY = "amqp://guest:guest@127.0.0.1:9/"


class Inventory:
    """A file of our own with some of the simulated appliances in it."""

    def __init__(self, appliances: Appliances, *names: str) -> None:
        self.path = appliances.inventory.with_name("mine.toml")
        self._tables = {
            table.partition("]")[0].removeprefix("[appliances."): table
            for table in appliances.inventory.read_text().split("\n\n")
            if table.strip()
        }
        self.write(names)

    def write(self, names: Iterable[str]) -> None:
        text = "\n".join(self._tables[name] for name in names)
        tomllib.loads(text)
        self.path.write_text(text)


async def conclusion(workflow: Workflow, appliance: str) -> tuple[str, str | None]:
    """List an appliance's phones; how that ended, and why."""
    sent = command("query-devices", {"appliance": appliance, "limit": 1})
    await workflow.send(sent)
    data = (await workflow.answer(sent["id"])).data
    return data["conclusion"], data["error"] and data["error"]["code"]


def steer(appliances: Appliances, method: str, path: str, body: Json | None = None) -> Json:
    """Ask something of the simulator's control page."""
    answer = http.request(method, f"{appliances.control}{path}", json=body or {})
    return dict(answer.raise_for_status().json())


def books(appliances: Appliances, name: str) -> Json:
    return steer(appliances, "GET", f"/books/{name}")


def fetched(service: Service, path: str) -> httpx.Response:
    return http.get(f"{service.http}{path}").raise_for_status()


@pytest.mark.parametrize("by_signal", [True, False], ids=["SIGHUP", "file"])
async def test_an_added_appliance_works_without_a_restart(
    stand: Stand, workflow_of: WorkflowOf, by_signal: bool
) -> None:
    """By a signal at once, or because the file has changed; the others keep their sessions."""
    appliances = await stand.appliances("--fortivoices", "2")
    inventory = Inventory(appliances, "fac-1", "fvc-1")
    service = await stand.service(APPLIANCES_FILE=str(inventory.path))
    async with workflow_of() as workflow:
        assert ("succeeded", None) == await conclusion(workflow, "fvc-1")
        assert ("refused", "unknown-appliance") == await conclusion(workflow, "fvc-2")

        inventory.write(["fac-1", "fvc-1", "fvc-2"])
        if by_signal:
            service.process.send_signal(signal.SIGHUP)
        await until(lambda: service.events("inventory-reloaded", added=["fvc-2"]))

        assert ("succeeded", None) == await conclusion(workflow, "fvc-2")
        assert ("succeeded", None) == await conclusion(workflow, "fvc-1")
    assert [1, 1] == [books(appliances, name)["logins"] for name in ("fvc-1", "fvc-2")]


async def test_the_signal_is_obeyed_even_if_nothing_has_changed(stand: Stand) -> None:
    """Another certificate may stand in the same CA file; and whoever sends it is answered."""
    inventory = Inventory(await stand.appliances(), "fvc-1")
    service = await stand.service(APPLIANCES_FILE=str(inventory.path))
    service.process.send_signal(signal.SIGHUP)
    (line,) = await until(lambda: service.events("inventory-reloaded"))
    assert ([], [], []) == (line["added"], line["changed"], line["removed"])


async def test_commands_at_an_appliance_that_is_removed_end_well(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """They have what they need; who comes later is refused, and the session is logged out of."""
    appliances = await stand.appliances("--fortivoices", "2")
    inventory = Inventory(appliances, "fac-1", "fvc-1", "fvc-2")
    service = await stand.service(APPLIANCES_FILE=str(inventory.path))
    logout = {"logout_path": "/api/v1/VoiceadminLogout"}
    steer(appliances, "PATCH", "/switches/fvc-1", logout)
    await appliances.fault("fvc-1", operation="devices", action="delay", seconds=1)
    await appliances.fault("fac-1", operation="activate", action="delay", seconds=1, when="after")
    async with workflow_of() as workflow:
        sent = [command("query-devices", {"appliance": "fvc-1"}) for _ in range(5)]
        sent += [command("activate-sms-license", {"appliance": "fac-1", "license": licence(1)})]
        await workflow.send(*sent)
        await until(lambda: service.events("intent-recorded"))
        await until(lambda: len(service.events("command-received")) == len(sent))

        inventory.write(["fvc-2"])
        service.process.send_signal(signal.SIGHUP)
        await until(lambda: service.events("inventory-reloaded", removed=["fac-1", "fvc-1"]))
        ended = [line["command_id"] for line in service.events("command-finished")]
        assert ("refused", "unknown-appliance") == await conclusion(workflow, "fvc-1")

        answers = [(await workflow.answer(each["id"])).data for each in sent]
    assert not set(ended) & {each["id"] for each in sent}, "nothing was in flight"
    assert {"succeeded"} == {answer["conclusion"] for answer in answers}
    assert "added" == answers[-1]["effect"]
    assert {licence(1): 1} == books(appliances, "fac-1")["posts"]
    await until(lambda: service.events("session-closed", appliance="fvc-1", reason="removed"))
    await until(lambda: {"logout": 1} == books(appliances, "fvc-1")["sessions_ended"])
    assert 1 == books(appliances, "fvc-1")["logins"]
    assert {"fvc-2"} == {labels["appliance"] for _, labels, _ in metrics(service)}


async def test_a_broken_file_keeps_the_inventory_that_there_was(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """It is told as an error with its place; the service goes on, in its sessions, and is ready."""
    appliances = await stand.appliances()
    inventory = Inventory(appliances, "fac-1", "fvc-1")
    service = await stand.service(APPLIANCES_FILE=str(inventory.path))
    async with workflow_of() as workflow:
        assert ("succeeded", None) == await conclusion(workflow, "fvc-1")
        add_line(inventory.path, 'usernam = "admin"')
        service.process.send_signal(signal.SIGHUP)
        (line,) = await until(lambda: service.events("inventory-refused"))
        assert "error" == line["level"]
        assert "[appliances.fvc-1] usernam" in line["reason"]

        assert ("succeeded", None) == await conclusion(workflow, "fvc-1")
        assert 200 == fetched(service, "/health/ready").status_code

        inventory.write(["fvc-1"])
        await until(lambda: service.events("inventory-reloaded", removed=["fac-1"]))
        assert ("succeeded", None) == await conclusion(workflow, "fvc-1")
    assert 1 == len(service.events("inventory-refused"))
    assert 1 == books(appliances, "fvc-1")["logins"]


def add_line(path: Path, line: str) -> None:
    path.write_text(f"{path.read_text()}\n{line}\n")


async def test_a_signal_that_comes_too_early_ends_nothing(stand: Stand) -> None:
    """While the service waits for its broker, whoever manages the inventory may send it."""
    await stand.appliances()
    service = await stand.service(ready=False, BROKER_URL=NOBODY)
    await until(lambda: service.events("broker-unreachable"))
    service.process.send_signal(signal.SIGHUP)
    assert 0 == await service.end()


async def test_a_signal_that_comes_too_late_ends_nothing(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """What runs when the service is stopped still comes to its end."""
    appliances, service = await stand.appliances(), await stand.service()
    await appliances.fault("fvc-1", operation="devices", action="delay", seconds=1)
    async with workflow_of() as workflow:
        sent = command("query-devices", {"appliance": "fvc-1"})
        await workflow.send(sent)
        await until(lambda: service.events("session-opened"))
        service.process.send_signal(signal.SIGTERM)
        await until(lambda: service.events("service-stopping"))
        service.process.send_signal(signal.SIGHUP)
        assert 0 == await service.ended()
        assert "succeeded" == (await workflow.answer(sent["id"])).data["conclusion"]


Sample = tuple[str, dict[str, str], float]


def metrics(service: Service) -> list[Sample]:
    """Every sample about an appliance: its name without the prefix, labels and value."""
    answer = fetched(service, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return [
        (sample.name.removeprefix("courier_appliance_"), sample.labels, sample.value)
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name.startswith("courier_appliance_")
    ]


def metric(service: Service, name: str, appliance: str, **labels: str) -> float:
    wanted = (name, {"appliance": appliance, **labels})
    (value,) = [value for each, found, value in metrics(service) if wanted == (each, found)]
    return value


def state(service: Service, name: str, appliance: str) -> str:
    """The one state that a session or a breaker is in."""
    (found,) = [
        labels["state"]
        for each, labels, value in metrics(service)
        if (name, appliance, 1) == (each, labels["appliance"], value)
    ]
    return found


async def test_the_metrics_tell_how_things_stand_with_each_appliance(
    stand: Stand, workflow_of: WorkflowOf
) -> None:
    """Session, breaker, logins and requests in flight, as they are when it is asked."""
    appliances = await stand.appliances()
    inventory = Inventory(appliances, "fac-1", "fvc-1")
    service = await stand.service(APPLIANCES_FILE=str(inventory.path), BREAKER_FAILURES="1")
    for name in ("fac-1", "fvc-1"):
        assert "closed" == state(service, "session", name)
        assert "closed" == state(service, "breaker", name)
    async with workflow_of() as workflow:
        await conclusion(workflow, "fvc-1")
        assert "open" == state(service, "session", "fvc-1")
        assert 1 == metric(service, "logins_total", "fvc-1", outcome="accepted")
        assert 0 == metric(service, "requests_in_flight", "fvc-1")

        await appliances.fault("fvc-1", operation="devices", action="hang")
        await workflow.send(*[command("query-devices", {"appliance": "fvc-1"}) for _ in range(6)])
        await until(lambda: 4 == books(appliances, "fvc-1")["in_flight"])
        assert 4 == metric(service, "requests_in_flight", "fvc-1")
        steer(appliances, "DELETE", "/faults/fvc-1")

        steer(appliances, "PUT", "/fac-1/password", {"password": "another"})
        await workflow.send(command("query-sms-balance", {"appliance": "fac-1"}))
        await until(lambda: service.events("credentials-refused", appliance="fac-1"))
        assert "refused" == state(service, "session", "fac-1")
        assert 1 == metric(service, "logins_total", "fac-1", outcome="refused")

        steer(appliances, "POST", "/fvc-1/stop")
        await workflow.send(command("query-devices", {"appliance": "fvc-1"}))
        await until(lambda: service.events("breaker-opened", appliance="fvc-1"))
        await until(lambda: state(service, "breaker", "fvc-1") in {"open", "probing"})
        assert "closed" == state(service, "breaker", "fac-1")
        steer(appliances, "POST", "/fvc-1/start")
        await until(lambda: service.events("breaker-closed", appliance="fvc-1"))
        assert "closed" == state(service, "breaker", "fvc-1")


async def test_the_metrics_hold_no_secret(stand: Stand, workflow_of: WorkflowOf) -> None:
    """Whoever may read them may know how things stand, and nothing else."""
    appliances = await stand.appliances()
    service = await stand.service()
    async with workflow_of() as workflow:
        await conclusion(workflow, "fvc-1")
        sent = command("activate-sms-license", {"appliance": "fac-1", "license": licence(1)})
        await workflow.send(sent)
        await workflow.answer(sent["id"])
    text = fetched(service, "/metrics").text
    secrets = [licence(1), "webadmin", "127.0.0.1"]
    for name in ("fac-1", "fvc-1"):
        assert name in text
        secrets += steer(appliances, "GET", f"/secrets/{name}")["secrets"]
    assert [] == [secret for secret in secrets if secret in text]
