"""The worked examples of `contracts/clients`, run by a stranger against `courier demo --stay`."""

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import pytest
import pytest_asyncio

from tests.support import http
from tests.support.canaries import Canaries
from tests.support.npm import node_modules
from tests.support.packages import brought
from tests.support.stand import CONTRACTS, Process
from tests.support.wait import until
from tests.support.workflow import command, licence

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLIENTS: Final = CONTRACTS / "clients"
README: Final = (CONTRACTS / "README.md").read_text("utf-8")
USER: Final = "portal"
PASSWORD: Final = "an invented password"
START: Final = 90.0
"""Seconds for the demonstration to be through, where RabbitMQ is slow to start."""


@dataclass
class Demo:
    """`courier demo --stay`, and a folder into which somebody has copied the examples.

    Attributes:
        exported: what its file tells a shell.
        control: the appliances' control page.
    """

    process: Process
    exported: dict[str, str]
    control: str
    file: Path
    folder: Path

    async def run(self, program: str, *arguments: str) -> tuple[int, str]:
        """Run a program there as the user of the README; exit code and all that it wrote."""
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            cwd=self.folder,
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "COURIER_BROKER_URL": self.url,
                "RABBITMQ_API": _as_portal(self.exported["RABBITMQ_API"]),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    @property
    def url(self) -> str:
        return _as_portal(self.exported["COURIER_BROKER_URL"])

    async def activate(self, *arguments: str) -> tuple[int, str]:
        return await self.run(sys.executable, "activate.py", *arguments)

    async def devices(self, *arguments: str) -> tuple[int, str]:
        return await self.run("node", "devices.mjs", *arguments)

    async def balance(self, *arguments: str) -> tuple[int, str]:
        return await self.run("sh", "balance.sh", *arguments)

    def order(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  JSON
        """Do what the appliances' control page offers."""
        return http.request(method, f"{self.control}{path}", body).raise_for_status().json()


def _as_portal(url: str) -> str:
    parts = urlsplit(url)
    password = PASSWORD.replace(" ", "%20")
    return urlunsplit(parts._replace(netloc=f"{USER}:{password}@{parts.hostname}:{parts.port}"))


def _add_user(api: str) -> None:
    """Make the user that the README describes, with those permissions and no others."""
    configure, write, read = re.findall(r"'(\^[^']+\$)'", README)
    rights = {"configure": configure, "write": write, "read": read}
    user = {"password": PASSWORD, "tags": "management"}
    for path, body in ((f"users/{USER}", user), (f"permissions/%2F/{USER}", rights)):
        http.request("PUT", f"{api}/{path}", body).raise_for_status()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    folder = tmp_path_factory.mktemp("clients")
    for each in CLIENTS.iterdir():
        shutil.copy(each, folder)
    (folder / "node_modules").symlink_to(node_modules())
    for program, package in (("node", "nodejs"), ("curl", "curl")):
        brought(program, package)
    file = folder / "demo.env"
    process = await Process.start("demo", "--stay", "--env", str(file), env={})
    Process.strays.remove(process)
    try:
        await until(
            lambda: (
                process.process.returncode is not None
                or any("To use it" in line for line in process.lines)
            ),
            patience=START,
        )
        assert process.process.returncode is None, "\n".join(process.lines)
        (control,) = [line.split()[-1] for line in process.lines if "control page" in line]
        words = [shlex.split(line) for line in file.read_text().splitlines()]
        exported = dict(word.split("=", 1) for _, word in words)
        _add_user(exported["RABBITMQ_API"])
        yield Demo(process, exported, control, file, folder)
    finally:
        await process.end(signal.SIGINT)
    secrets = Canaries()
    for number in range(1, 4):
        secrets.add("a licence", licence(number))
    secrets.add("the broker's password", str(urlsplit(exported["COURIER_BROKER_URL"]).password))
    secrets.check(process.told())


async def test_the_file_to_source_is_its_owners_alone(demo: Demo) -> None:
    """It holds a password; the screen shows none."""
    assert 0o600 == demo.file.stat().st_mode & 0o777
    assert {
        "COURIER_BROKER_URL",
        "COURIER_APPLIANCES_FILE",
        "COURIER_LEDGER_URL",
        "COURIER_HTTP_PORT",
        "RABBITMQ_API",
    } == set(demo.exported)


async def test_the_couriers_own_commands_work_with_that_file(demo: Demo) -> None:
    """Also those that ask the service, on the port that it has chosen."""
    ready = await Process.start("check", "--ready", env=demo.exported)
    assert 0 == await ready.ended(), ready.lines
    listed = await Process.start("ledger", "list", "--all", env=demo.exported)
    assert 0 == await listed.ended()
    assert any("activate-sms-license" in line for line in listed.lines)


async def test_the_readmes_commands_work_as_they_stand(demo: Demo) -> None:
    """Each gets its result, in a shell that has sourced the file."""
    commands = re.findall(r"^((?:python|node|sh) \S+\.(?:py|mjs|sh) .*)$", README, re.MULTILINE)
    assert len(list(CLIENTS.iterdir())) == len(commands)
    for each in commands:
        exit_code, output = await demo.run("sh", "-c", each)
        assert 0 == exit_code, (each, output)


async def test_a_licence_is_activated_once_however_often_it_is_asked_for(demo: Demo) -> None:
    """The same order hears the same event again."""
    first = await demo.activate("order-1", "fac-1", licence(1))
    assert (0, True) == (first[0], "order-1: succeeded: 100 SMS added" in first[1]), first
    assert first == await demo.activate("order-1", "fac-1", licence(1))
    assert 1 == demo.order("GET", "/books/fac-1")["posts"][licence(1)]


@pytest.mark.parametrize(
    ("exit_code", "said", "arguments"),
    [
        (1, "rejected (contract-violation): /data/license ", ("order-2", "fac-1", "too-short")),
        (1, "rejected (id-conflict): /id ", ("order-1", "fac-1", licence(2))),
        (1, "refused (unknown-appliance)", ("order-3", "fac-nowhere", licence(2))),
        (1, "failed (expired)", ("order-4", "fac-1", licence(2), "--seconds", "-1")),
        (3, "ask again with the same order", ("order-5", "fac-1", licence(2), "--seconds", "-5")),
    ],
)
async def test_python_says_what_trouble_means(
    demo: Demo, exit_code: int, said: str, arguments: tuple[str, ...]
) -> None:
    """1: not done, and why; 3: nobody knows yet."""
    told, output = await demo.activate(*arguments)
    assert (exit_code, True) == (told, said in output), output


async def test_python_says_that_a_person_must_look(demo: Demo) -> None:
    """Refused by the appliance, and added all the same: `unknown` is exit code 3."""
    demo.order(
        "POST",
        "/faults/fac-1",
        {"operation": "activate", "action": "answer", "status": 400, "when": "after", "times": 1},
    )
    exit_code, output = await demo.activate("order-6", "fac-1", licence(3))
    assert (3, True) == (exit_code, "unknown. Do not send it again" in output), output


async def test_phones_are_listed_to_the_last_page(demo: Demo) -> None:
    """Each once, though the first attempt breaks off; a part of an address finds fewer."""
    assert 7 == len((await demo.devices("fvc-1"))[1].splitlines())
    demo.order("PATCH", "/switches/fvc-1", {"devices": 1200})
    once = {"operation": "devices", "action": "answer", "status": 503, "after": 1, "times": 1}
    demo.order("POST", "/faults/fvc-1", once)
    exit_code, output = await demo.devices("fvc-1")
    addresses = [line.split("\t")[0] for line in output.splitlines()]
    assert (0, 1200, 1200) == (exit_code, len(addresses), len(set(addresses)))
    exit_code, output = await demo.devices("fvc-1", addresses[0])
    assert (0, addresses[0]) == (exit_code, output.split("\t")[0])


async def test_node_says_what_trouble_means(demo: Demo) -> None:
    """Also when it is rejected, which is told by another event."""
    for appliance, said in (
        ("fac-1", "refused (wrong-appliance-kind)"),
        ("FVC", "rejected (contract-violation)"),
    ):
        assert (1, said) == ((told := await demo.devices(appliance))[0], told[1].strip())


async def test_the_balance_is_read_over_http_and_nothing_is_left_behind(demo: Demo) -> None:
    """The whole event is printed; the queue is deleted."""
    exit_code, output = await demo.balance("fac-1")
    assert 0 == exit_code, output
    event = json.loads(output)
    assert "courier.query-sms-balance.finished.v1" == event["type"]
    assert 1000 <= event["data"]["total_sms"]
    api = demo.exported["RABBITMQ_API"]
    names = [each["name"] for each in http.get(f"{api}/queues").json()]
    assert [f"{USER}-devices"] == [name for name in names if name.startswith(USER)]


async def test_the_script_says_what_trouble_means(demo: Demo) -> None:
    """With the event that tells it."""
    for appliance, word in (("fac-nowhere", "unknown-appliance"), ("FAC", "contract-violation")):
        exit_code, output = await demo.balance(appliance)
        assert (1, True) == (exit_code, word in output), output


async def test_rabbitmqs_direct_reply_to_is_answered(demo: Demo) -> None:
    """No queue at all is needed to hear a result, as the README says."""
    asked = command("query-sms-balance", {"appliance": "fac-1"})
    async with await aio_pika.connect(demo.url) as connection:
        channel = await connection.channel()
        replies = await channel.get_queue("amq.rabbitmq.reply-to", ensure=False)
        commands = await channel.get_exchange("courier.commands")
        message = aio_pika.Message(
            json.dumps(asked).encode(), correlation_id="mine", reply_to=replies.name
        )
        async with asyncio.timeout(15), replies.iterator(no_ack=True) as deliveries:
            await commands.publish(message, asked["type"])
            reply = await anext(aiter(deliveries))
    assert (asked["id"], "mine") == (json.loads(reply.body)["causationid"], reply.correlation_id)


async def test_the_file_takes_no_others_place(demo: Demo) -> None:
    """Wrong usage is told before anything is started."""
    for arguments in (("--stay", "--env", str(demo.file)), ("--env", "elsewhere.env")):
        process = await Process.start("demo", *arguments, env={})
        assert 2 == await process.ended(), process.lines
    assert demo.file.exists()


async def test_ctrl_c_ends_it_as_it_was_meant_to_end(demo: Demo) -> None:
    """Every command of the demonstration ended well, so did the service: 0, and nothing is left."""
    assert 0 == await demo.process.end(signal.SIGINT), "\n".join(demo.process.lines)
    assert not demo.file.exists()
    assert not Path(demo.exported["COURIER_APPLIANCES_FILE"]).parent.exists()
