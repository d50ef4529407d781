"""`courier check`: the first thing to run. What it finds, and that it disturbs nobody."""

import asyncio
import json
import re
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import aio_pika
import pytest

from tests.support import http
from tests.support.rabbit import QUICKER_RETRY, Rabbit
from tests.support.stand import Appliances, Process, Service, Stand

if TYPE_CHECKING:
    from pamqp.common import FieldTable

Findings = dict[str, dict[str, Any]]

shared = pytest.mark.asyncio(loop_scope="module")


async def checked(stand: Stand, **settings: str) -> tuple[int, Findings]:
    """The exit code and the findings, by what they are about."""
    exit_code, output = await stand.courier("check", "--json", **settings)
    document = json.loads(output.splitlines()[-1])
    assert {"state", "findings"} == set(document)
    found = {each["what"]: each for each in document["findings"]}
    assert {("part", "what", "state", "detail", "facts")} == {
        tuple(each) for each in found.values()
    }
    assert exit_code == (document["state"] == "failed")
    return exit_code, found


def trouble(found: Findings) -> dict[str, str]:
    return {what: each["state"] for what, each in found.items() if each["state"] != "ok"}


@shared
async def test_check_looks_at_everything_while_the_service_runs(
    shared_stand: Stand, service: Service, appliances: Appliances
) -> None:
    """Nothing has failed, the courier that runs is seen, and it goes on as if nothing had been."""
    before = len(service.lines)
    exit_code, found = await checked(shared_stand)
    assert (0, {}) == (exit_code, trouble(found))
    assert ["settings", "broker", "ledger", "appliances"] == list(
        dict.fromkeys(each["part"] for each in found.values())
    )
    assert {"running": True, "without_consumer": []} == found["courier"]["facts"]
    assert "RabbitMQ" == found["version"]["facts"]["product"]
    assert {"heartbeat": 10, "max_message_size": None}.items() <= found["limits"]["facts"].items()
    assert {"differences": [], "declared": []} == found["topology"]["facts"]
    assert found["version"]["facts"]["identity"] == found["owner"]["facts"]["broker"]
    assert {"open_intents": 0, "unsettled": 0} == found["entries"]["facts"]
    assert before == len(service.lines), service.lines[before:]
    async with http.visit(service.http) as client:
        assert 200 == (await client.get("/health/ready")).status_code
    assert 0 == (await appliances.books("fac-1"))["refused_logins"]


@shared
async def test_check_says_what_an_appliance_told_at_its_login(
    shared_stand: Stand, service: Service
) -> None:
    """Which device it is, its certificate, its clock."""
    assert service.process.returncode is None
    _, found = await checked(shared_stand)
    facts = found["fvc-1"]["facts"]
    assert ("fortivoice", "works", "TLSv1.3") == (facts["kind"], facts["login"], facts["tls"])
    assert None not in {facts["model"], facts["serial"], facts["version"]}
    assert facts["certificate_days"] > 30
    assert abs(facts["clock_skew_seconds"]) < 5
    assert "fortiauthenticator" == found["fac-1"]["facts"]["kind"]


@shared
async def test_check_ready_asks_the_running_service(shared_stand: Stand, service: Service) -> None:
    """For container probes: exit code 0 when it is ready, 1 with the reason when it is not."""
    port = service.http.rsplit(":", 1)[1]
    for host in ("127.0.0.1", "0.0.0.0"):  # noqa: S104  nothing listens there
        told = await shared_stand.courier("check", "--ready", HTTP_PORT=port, HTTP_HOST=host)
        assert (0, "ready") == told
    exit_code, output = await shared_stand.courier("check", "--ready", "--json", HTTP_PORT="9")
    (finding,) = json.loads(output)["findings"]
    assert (1, "service", "failed") == (exit_code, finding["part"], finding["state"])
    assert "no courier answers at 127.0.0.1:9" in finding["detail"]
    assert 2 == (await shared_stand.courier("check", "--ready", "--nonsense"))[0]


@asynccontextmanager
async def answering(say: Callable[[], str], host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server that says something to everybody, its HTTP head first; gives its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(say().replace("\n", "\r\n").encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, host, 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            'HTTP/1.1 503 No\n\n{"reasons": ["broker-disconnected", "consumer-missing"]}',
            "not ready: broker-disconnected, consumer-missing",
        ),
        ("HTTP/1.1 200 OK\n\nhello", "is no courier"),
        ('HTTP/1.1 200 OK\n\n["ready"]', "is no courier"),
        ("hello\n\n", "no courier answers"),
    ],
)
async def test_check_ready_says_why_it_is_not(answer: str, words: str) -> None:
    """The reasons of the service; what is no courier is never ready. Also over IPv6."""
    async with answering(lambda: answer, "::1") as port:
        settings = {"COURIER_HTTP_HOST": "::", "COURIER_HTTP_PORT": str(port)}
        process = await Process.start("check", "--ready", env=settings)
        assert 1 == await process.ended()
    assert words in "\n".join(process.lines)


async def test_check_ready_imports_little(stand: Stand) -> None:
    """A container asks every few seconds: nothing of broker, appliances or tables is loaded."""
    program = (
        "import sys; sys.argv[1:] = ['check', '--ready']; from service import __main__ as it\n"
        "try: it.main()\n"
        "finally: print(sorted({name.split('.')[0] for name in sys.modules}))"
    )
    python = (sys.executable, "-c", program)
    process = await Process.start("probe", env=stand.environment(HTTP_PORT="9"), program=python)
    assert 1 == await process.ended()
    loaded = set(json.loads(process.lines[-1].replace("'", '"')))
    assert set() == loaded & {
        "aio_pika",
        "aiormq",
        "faststream",
        "httpx",
        "rich",
        "typer",
        "uvicorn",
    }


INVENTORY = """
[appliances.fac-slow]
kind = "fortiauthenticator"
url = "http://127.0.0.1:{port}"
username = "courier"
password_file = "{password}"
"""


@pytest.mark.parametrize(
    ("date", "words"),
    [
        (60.0, "its clock is 60 s ahead"),
        (None, "clock not told"),
    ],
)
async def test_check_compares_clocks_and_warns_of_http(
    date: float | None, words: str, stand: Stand
) -> None:
    """A warning fails nothing; halves of the round trip and whole seconds make no difference."""
    body = '{"total_sms": 1, "used_sms": 0, "available_sms": 1}'

    def say() -> str:
        told = "" if date is None else f"Date: {formatdate(time.time() + date, usegmt=True)}\n"
        return f"HTTP/1.1 200 OK\n{told}Content-Length: {len(body)}\nConnection: close\n\n{body}"

    (stand.directory / "password").write_text("hunter2")
    inventory = stand.directory / "slow.toml"
    async with answering(say) as port:
        inventory.write_text(INVENTORY.format(port=port, password=stand.directory / "password"))
        exit_code, found = await checked(stand, APPLIANCES_FILE=str(inventory))
    assert 0 == exit_code
    assert ("warning", True) == (found["fac-slow"]["state"], words in found["fac-slow"]["detail"])
    assert "url is http" in found["fac-slow"]["detail"]
    skew = found["fac-slow"]["facts"]["clock_skew_seconds"]
    assert date is None if skew is None else abs(skew - (date or 0)) <= 1


async def test_check_names_what_stands_differently_and_changes_nothing_of_it(stand: Stand) -> None:
    """Queue, argument, what it is and what it must be; what is missing is declared, and told."""
    connection = await aio_pika.connect(stand.url)
    async with connection:
        channel = await connection.channel()
        await channel.declare_queue("courier.retry.1s", durable=True, arguments=QUICKER_RETRY)
        parked: FieldTable = {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1}
        await channel.declare_queue("courier.parked", durable=True, arguments=parked)
        message = aio_pika.Message(b"canary", delivery_mode=2)
        await channel.default_exchange.publish(message, "courier.parked")
    exit_code, found = await checked(stand)
    assert 1 == exit_code
    (difference,) = found["topology"]["facts"]["differences"]
    assert ("queue", "courier.retry.1s", "x-message-ttl") == (
        *(difference[name] for name in ("kind", "name", "argument")),
    )
    assert ("'1000'", "'5'") == (
        *(re.findall(r"'\d+'", difference[name])[0] for name in ("wanted", "found")),
    )
    assert {"running": False} == {"running": found["courier"]["facts"]["running"]}
    assert ("warning", 1) == (
        found["waiting"]["state"],
        found["waiting"]["facts"]["messages"]["courier.parked"],
    )


def allow(broker: Rabbit, vhost: str, user: str, **permissions: str) -> None:
    """Make a user with the name as password; what is not named is allowed."""
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    ask = broker._ask  # noqa: SLF001  there is no public word for users
    ask("PUT", f"users/{user}", json={"password": user, "tags": ""})
    ask("PUT", f"permissions/{quote(vhost, safe='')}/{user}", json=everything | permissions)


@pytest.mark.parametrize(
    ("permissions", "named"),
    [
        ({"write": "^courier\\.(?!events)|^amq.default$"}, "courier.events"),
        ({"write": "^courier\\."}, "amq.default"),
        ({"read": "^courier\\.[eurpq]"}, "courier.commands"),
    ],
)
async def test_check_says_which_permission_is_missing(
    permissions: dict[str, str], named: str, stand: Stand, broker: Rabbit
) -> None:
    """Tried on queues of its own; none is left behind."""
    parts = urlsplit(stand.url)
    allow(broker, parts.path[1:], "limited", **permissions)
    url = f"amqp://limited:limited@{parts.hostname}:{parts.port}{parts.path}"
    exit_code, found = await checked(stand, BROKER_URL=url)
    assert (1, "failed") == (exit_code, found["permissions"]["state"])
    assert "refused for user 'limited'" in found["permissions"]["detail"]
    assert named in found["permissions"]["detail"]
    left = [name for name in broker.queues(parts.path[1:]) if name.startswith("courier.check")]
    assert [] == left


async def test_check_names_the_addresses_that_do_not_answer(stand: Stand) -> None:
    """A warning while another one does; failed if none does, and the ledger cannot be compared."""
    silent = "amqp://guest:hunter2@127.0.0.1:9/"
    _, found = await checked(stand, BROKER_URL=f"{silent},{stand.url}")
    facts = found["addresses"]["facts"]
    assert "warning" == found["addresses"]["state"]
    expected = {"address": "amqp://127.0.0.1:9/", "reason": "Connection refused"}
    assert [expected] == facts["silent"]
    assert facts["answered"].endswith(urlsplit(stand.url).path)
    exit_code, found = await checked(stand, BROKER_URL=silent)
    assert (1, "failed") == (exit_code, found["addresses"]["state"])
    assert ["addresses"] == [what for what, each in found.items() if each["part"] == "broker"]
    user, _, place = stand.url.removeprefix("amqp://").partition("@")
    wrong = f"amqp://{user.split(':')[0]}:hunter2@{place}"
    # The service would not start, either: waiting does not make a password right.
    _, found = await checked(stand, BROKER_URL=f"{stand.url},{wrong}")
    assert "failed" == found["addresses"]["state"]
    assert "refuses the login" in found["addresses"]["detail"]


async def test_check_sees_an_alarm(stand: Stand, broker: Rabbit) -> None:
    """A broker that takes no messages has failed, although it answers."""
    with broker.memory_alarm():
        exit_code, found = await checked(stand)
    assert (1, {"blocked": True}) == (exit_code, found["alarms"]["facts"])
    assert "alarm" in found["alarms"]["detail"]


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
    async with http.visit(appliances.control) as client:
        (await client.post("/fvc-1/stop")).raise_for_status()
        for name, kind in (("fvc-2", "self-signed"), ("fvc-3", "expired"), ("fvc-4", "wrong-name")):
            answer = await client.put(f"/{name}/certificate", json={"kind": kind})
            answer.raise_for_status()
        logout = {"logout_path": "/api/v1/VoiceadminLogout"}
        (await client.patch("/switches/fvc-5", json=logout)).raise_for_status()
    return appliances


async def test_check_logs_into_every_appliance_once(stand: Stand) -> None:
    """Into those that refuse it, too; a session that it opened is logged out of."""
    appliances = await troubled(stand)
    exit_code, found = await checked(stand)
    assert 1 == exit_code
    assert sorted(PLAYED) == [w for w, each in found.items() if each["part"] == "appliances"]
    assert dict.fromkeys(TROUBLES, "failed") == trouble(found)
    for name, words in TROUBLES.items():
        assert [] == [word for word in [name, *words] if word not in found[name]["detail"]]
    books = {name: await appliances.books(name) for name in PLAYED}
    # A FortiAuthenticator has no login but the first request; the second is what it is for.
    assert ({"balance": 2}, 0) == (books["fac-1"]["requests"], books["fac-1"]["refused_logins"])
    assert ({"balance": 1}, 1) == (books["fac-2"]["requests"], books["fac-2"]["refused_logins"])
    assert (1, 1) == (books["fvc-5"]["logins"], books["fvc-5"]["requests"]["login"])
    assert {"logout": 1} == books["fvc-5"]["sessions_ended"]
    assert [{}] * 4 == [books[f"fvc-{number}"]["requests"] for number in range(1, 5)]

    # The same for a person: a row for each with the reason, and no secret in it.
    exit_code, output = await stand.courier("check")
    assert 1 == exit_code
    rows = [line.split() for line in output.splitlines()]
    for name in PLAYED:
        (row,) = [row for row in rows if row[1:2] == [name]]
        assert ("failed" if name in TROUBLES else "ok") == row[0]
        assert [] == [word for word in TROUBLES.get(name, []) if word not in " ".join(row)]
    assert {"settings", "broker", "ledger", "appliances"} <= {
        line.strip() for line in output.splitlines()
    }


async def test_check_tells_mistakes_in_settings_and_inventory(stand: Stand) -> None:
    """One finding per mistake, with the name of what is wrong; nothing is connected to."""
    exit_code, found = await checked(stand, PREFETCH="many", PREFECH="hunter2")
    assert 1 == exit_code
    assert {"COURIER_PREFETCH": "failed", "COURIER_PREFECH": "warning"} == trouble(found)
    assert {"settings"} == {each["part"] for each in found.values()}
    inventory = stand.directory / "wrong.toml"
    inventory.write_text('[appliances.a]\nkind = "fortivoice"\nbad_key = 1\n')
    exit_code, found = await checked(stand, APPLIANCES_FILE=str(inventory))
    assert 1 == exit_code
    assert "[appliances.a] bad_key" in found["inventory"]["detail"]


async def test_check_leaves_an_old_ledger_as_it_is(stand: Stand, tmp_path: Path) -> None:
    """It says that the next start upgrades it; the file is the same to the byte."""
    await stand.appliances()
    service = await stand.service()
    await service.end()
    path = tmp_path / "courier.db"
    old = sqlite3.connect(path, isolation_level=None)
    old.execute("PRAGMA journal_mode = DELETE")
    old.execute("PRAGMA user_version = 2")
    old.close()
    before = path.read_bytes()
    exit_code, found = await checked(stand)
    assert (0, "warning", 2) == (
        exit_code,
        found["schema"]["state"],
        found["schema"]["facts"]["version"],
    )
    assert "will be upgraded" in found["schema"]["detail"]
    assert before == path.read_bytes()
