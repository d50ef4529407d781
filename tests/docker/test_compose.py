"""`docker compose up` and what a stranger sees of it; nothing of the service is imported."""

import asyncio
import json
from collections.abc import Iterator
from typing import Final

import pytest

from tests.docker.stack import Stack
from tests.support.engine import Engine
from tests.support.images import Images
from tests.support.wait import until
from tests.support.workflow import Heard, command, licence, working

pytestmark = pytest.mark.timeout(600)  # the first one waits until the images are made

STATUS: Final = """
import os, pathlib
status = dict(line.split(":\\t") for line in open("/proc/1/status") if ":\\t" in line)
print(status["Uid"].split(), status["Gid"].split(), int(status["CapEff"], 16),
      int(status["CapBnd"], 16), status["NoNewPrivs"].strip())
def can_write(path):
    try: pathlib.Path(path, "x").touch(); pathlib.Path(path, "x").unlink(); return True
    except OSError: return False
print([path for path in ("/", "/etc/courier", "/opt/courier", "/run/courier", "/tmp",
                         "/var/lib/courier") if can_write(path)])
"""


@pytest.fixture(scope="module")
def stack(docker: Engine, made: Images) -> Iterator[Stack]:
    running = Stack(docker, made)
    try:
        running("up", "--detach", "--no-build")
        yield running
    finally:
        running("down", "--volumes", "--timeout", "5")


async def test_up_brings_a_service_that_is_ready(stack: Stack) -> None:
    """Without anything that was prepared: no password, no inventory."""
    await until(stack.is_ready, patience=90)
    assert 0 == stack.inspected("passwords")["State"]["ExitCode"]
    assert 0 == stack.inspected("courier")["RestartCount"]


async def test_a_command_from_outside_is_answered(stack: Stack) -> None:
    """Over the published port, by who has the broker's password."""
    async with working(stack.amqp()) as workflow:
        sent = command("query-devices", {"appliance": "fvc-1"})
        await workflow.send(sent)
        answer = await workflow.answer(sent["id"])
    assert ("succeeded", 7) == (answer.data["conclusion"], answer.data["total"])


def test_a_person_sends_a_command_as_another_user(stack: Stack) -> None:
    """As the README says: `operator` is the command line, with a password of its own."""
    words = ("send", "query-sms-balance", "--appliance", "fac-1", "--wait")
    said = stack("run", "--rm", "-T", "operator", *words)
    document, _ = json.JSONDecoder().raw_decode(said[said.index("{") :])
    assert 960 == document["data"]["available_sms"]
    listing = "import os; print(os.listdir('/run/courier'))"
    assert "['courier-password']" == stack.python("courier", listing)
    assert {"admin", "courier", "courier-operator"} == set(stack.passwords())


@pytest.mark.parametrize(
    ("service", "writable"),
    [
        ("courier", ["/tmp", "/var/lib/courier"]),  # noqa: S108  the container's own
        ("simulator", ["/etc/courier", "/tmp"]),  # noqa: S108
    ],
)
def test_what_runs_may_nearly_nothing(stack: Stack, service: str, writable: list[str]) -> None:
    """Neither root nor capabilities, and no file can be written but in the volumes of its own."""
    nobody = ["10001"] * 4
    assert f"{nobody} {nobody} 0 0 1\n{writable}" == stack.python(service, STATUS)


def test_ports_are_published_on_this_machine_alone(stack: Stack) -> None:
    published = [
        binding["HostIp"]
        for service in ("courier", "rabbitmq", "simulator")
        for bindings in stack.inspected(service)["NetworkSettings"]["Ports"].values()
        for binding in bindings or []
    ]
    assert ["127.0.0.1"] * 3 == published


async def test_the_probe_finds_it_healthy(stack: Stack) -> None:
    await until(
        lambda: stack.inspected("courier")["State"]["Health"]["Status"] == "healthy", patience=60
    )


async def test_what_runs_ends_before_the_container_does(stack: Stack) -> None:
    """A stop in the middle of an activation waits for it, and the result is told."""
    stack.control("/switches/fac-1", "PATCH", {"latency": 0.7})
    async with working(stack.amqp()) as workflow:
        sent = command("activate-sms-license", {"appliance": "fac-1", "license": licence(1)})
        await workflow.send(sent)
        await until(lambda: "intent-recorded" in stack.slugs(sent["id"]))
        await asyncio.to_thread(stack, "stop", "courier")
        answer = await workflow.answer(sent["id"])
    assert ("succeeded", "added") == (answer.data["conclusion"], answer.data["effect"])
    assert "service-stopped" == stack.events()[-1]["event"]
    assert 0 == stack.inspected("courier")["State"]["ExitCode"]
    stack.control("/switches/fac-1", "PATCH", {"latency": 0})


async def test_a_new_container_has_the_ledger_of_the_old_one(stack: Stack) -> None:
    """A licence command that is sent again is answered with the stored event, and not run."""
    await asyncio.to_thread(stack, "start", "courier")
    await until(stack.is_ready)
    sent = command("activate-sms-license", {"appliance": "fac-1", "license": licence(2)})

    async def answered() -> Heard:
        async with working(stack.amqp()) as workflow:
            await workflow.send(sent)
            return await workflow.answer(sent["id"])

    first, old = await answered(), stack.container("courier")
    await asyncio.to_thread(
        stack, "up", "--detach", "--no-build", "--no-deps", "--force-recreate", "courier"
    )
    assert old != stack.container("courier")
    await until(stack.is_ready)
    again = await answered()
    assert "added" == first.data["effect"]
    assert first.event == again.event
    assert 1 == stack.control("/books/fac-1")["posts"][licence(2)]


def test_no_secret_is_told_by_docker(stack: Stack) -> None:
    """Neither in what was written nor in what a container was made of."""
    secrets = [
        *stack.passwords().values(),
        *stack.control("/secrets/fac-1")["secrets"],
        *stack.control("/secrets/fvc-1")["secrets"],
        licence(1),
        licence(2),
    ]
    assert len(secrets) > 6
    for service in ("passwords", "courier", "simulator", "rabbitmq"):
        told = stack.engine.docker("logs", stack.container(service)) + json.dumps(
            stack.inspected(service)
        )
        assert [] == [secret for secret in secrets if secret in told], service
