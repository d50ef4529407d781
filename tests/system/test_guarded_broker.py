"""On a broker with the configuration of `deploy/rabbitmq/`: TLS, certificates, bounds."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final
from uuid import uuid4

import aio_pika
import pytest
import trustme
from aiormq.exceptions import ChannelPreconditionFailed

from tests.support.fences import fenced
from tests.support.guarded import Guarded, guarded
from tests.support.stand import Stand, standing
from tests.support.wait import until
from tests.support.workflow import Workflow, command, working

CONNECTIONS: Final = {"courier publishing", "courier consuming", "courier quarantine"}
FILE: Final = {"name": "voice.lic", "content": "QUJD"}
NOBODY: Final = """\
[appliances.fac-1]
kind = "fortiauthenticator"
url = "https://127.0.0.1:9"
username = "courier"
password_env = "HOME"
"""
Settings = dict[str, str]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("certificates")) as made:
        yield made


@pytest.fixture
def admin(tls: Guarded) -> Iterator[str]:
    """A virtual host for a test, as an administrator reaches it."""
    vhost = f"test-{uuid4().hex[:12]}"
    tls.rabbit.create_vhost(vhost)
    yield tls.rabbit.url_of(vhost)
    tls.rabbit.delete_vhost(vhost)


@pytest.fixture
def users(tls: Guarded, admin: str) -> Iterator[dict[str, str]]:
    """The users of the files, by their names there: what they are called here."""
    with fenced(tls.rabbit, admin, "users.json") as urls:
        yield {name: url.split("://")[1].split(":")[0] for name, url in urls.items()}


@pytest.fixture
async def own(tls: Guarded, admin: str, tmp_path: Path) -> AsyncIterator[Stand]:
    """A stand whose broker is reached over TLS, by an address without user and password."""
    vhost = admin.rsplit("/", 1)[1]
    async with standing(f"amqps://localhost:{tls.port}/{vhost}", tmp_path) as made:
        yield made


async def test_a_certificate_is_all_that_the_courier_needs(
    own: Stand, tls: Guarded, admin: str, users: dict[str, str]
) -> None:
    """Every connection is TLS with EXTERNAL, again after it was lost; no password exists."""
    own.always = tls.client(users["courier"])
    await own.appliances()
    service = await own.service()
    vhost = admin.rsplit("/", 1)[1]

    def connected() -> bool:
        names = {each.given_name for each in tls.rabbit.connections(vhost)}
        return names >= CONNECTIONS

    await until(connected)
    found = [each for each in tls.rabbit.connections(vhost) if each.given_name in CONNECTIONS]
    assert {(users["courier"], "EXTERNAL", True)} == {
        (each.user, each.mechanism, each.tls) for each in found
    }
    for each in found:
        tls.rabbit.close_connection(each)
    await until(lambda: len(service.events("broker-connection-restored")) >= len(CONNECTIONS))
    async with working(admin) as workflow:
        sent = command("query-sms-balance", {"appliance": "fac-1"})
        await workflow.send(sent, reply_to=await workflow.reply_to())
        assert "succeeded" == (await workflow.answer(sent["id"])).data["conclusion"]
        await until(lambda: workflow.replies)
    assert 0 == await service.end()


async def test_so_is_it_for_the_operators_tools(
    own: Stand, tls: Guarded, admin: str, users: dict[str, str]
) -> None:
    """`check`, `send`, `parked`, `contracts validate` and `ledger resolve`."""
    appliances = await own.appliances()
    own.always = tls.client(users["courier"])
    await own.service()
    operator = tls.client(users["courier-operator"])
    await appliances.fault("fvc-1", operation="apply", action="reset", when="after", times=1)
    async with working(admin) as workflow:
        unknown = command("apply-voice-license", {"appliance": "fvc-1", "file": FILE})
        await workflow.send(unknown)
        assert "unknown" == (await workflow.answer(unknown["id"])).data["conclusion"]
        for arguments in (
            "check",
            "send query-devices -a fvc-1 --wait",
            "parked list",
            "contracts validate --queue courier.unheard",
            f"ledger resolve {unknown['id']} --applied --note seen",
        ):
            exit_code, output = await own.courier(*arguments.split(), **operator)
            assert 0 == exit_code, (arguments, output)
        await until(partial(settled, workflow))


def settled(workflow: Workflow) -> list[str]:
    return [each.routing_key for each in workflow.heard if ".settled." in each.routing_key]


async def test_a_password_works_over_tls_too(
    own: Stand, tls: Guarded, users: dict[str, str], tmp_path: Path
) -> None:
    """Kept in a file; the certificate only opens the door then."""
    tls.rabbit.set_password(users["courier"], "hunter2")
    (tmp_path / "password").write_text("hunter2\n")
    own.always = tls.client("whoever")
    await own.appliances()
    service = await own.service(
        BROKER_URL=own.url.replace("://", f"://{users['courier']}@"),
        BROKER_PASSWORD_FILE=str(tmp_path / "password"),
    )
    vhost = own.url.rsplit("/", 1)[1]
    found = await until(partial(tls.rabbit.connections, vhost))
    assert {"PLAIN"} == {each.mechanism for each in found}
    assert 0 == await service.end()


OURS: Final = "COURIER_BROKER_CERT_FILE: localhost:{port}/{vhost} refuses our certificate: "
REFUSED: Final[dict[str, tuple[Callable[[Guarded, str], Settings], str]]] = {
    # what is wrong: its settings, and the words that say so
    "a CA that did not sign": (
        lambda tls, _: {"BROKER_CA_FILE": tls.ca(trustme.CA())},
        "COURIER_BROKER_CA_FILE: localhost:{port}/{vhost} has a certificate that this CA has not",
    ),
    "another name": (
        lambda _, url: {"BROKER_URL": url.replace("localhost", "127.0.0.1")},
        "COURIER_BROKER_URL: 127.0.0.1:{port}/{vhost} has a certificate for another name",
    ),
    "a certificate that expired": (
        lambda tls, _: tls.client("courier", expired=True),
        OURS + "certificate expired",
    ),
    "a certificate of another CA": (
        lambda tls, _: tls.client("courier", authority=trustme.CA()),
        OURS + "unknown ca",
    ),
    "a certificate of nobody": (
        lambda tls, _: tls.client("nobody"),
        "COURIER_BROKER_CERT_FILE: localhost:{port}/{vhost} refuses the login by certificate",
    ),
    "another's key": (
        lambda tls, _: {"BROKER_KEY_FILE": tls.client("nobody")["BROKER_KEY_FILE"]},
        "COURIER_BROKER_KEY_FILE: is not the key of COURIER_BROKER_CERT_FILE",
    ),
    "a wrong password": (
        lambda _, url: {"BROKER_URL": url.replace("://", "://courier:hunter2@")},
        "COURIER_BROKER_URL: localhost:{port}/{vhost} refuses the login: ",
    ),
    "no TLS there": (
        lambda tls, url: {"BROKER_URL": url.replace(str(tls.port), str(plain_port(tls)))},
        "COURIER_BROKER_URL: localhost:{plain}/{vhost} does not speak TLS there",
    ),
}


def plain_port(tls: Guarded) -> int:
    return int(tls.rabbit.url.rsplit(":", 1)[1].rstrip("/"))


@pytest.mark.parametrize(("wrong", "words"), REFUSED.values(), ids=REFUSED)
async def test_a_closed_door_says_which_setting_to_look_at(
    wrong: Callable[[Guarded, str], Settings], words: str, own: Stand, tls: Guarded
) -> None:
    """At the start, and in the tools with their other client: one line, exit code 1."""
    settings = tls.client("courier") | wrong(tls, own.url)
    vhost = own.url.rsplit("/", 1)[1]
    expected = words.format(port=tls.port, plain=plain_port(tls), vhost=vhost)
    settings["APPLIANCES_FILE"] = nobody(own)
    told = await asyncio.gather(
        own.courier("serve", **settings),
        own.courier("parked", "list", **settings),
    )
    assert [(1, True)] * 2 == [(exit_code, expected in output) for exit_code, output in told], told
    assert "hunter2" not in str(told)
    assert 1 == len(told[1][1].splitlines())


async def test_a_check_says_so_too(own: Stand, tls: Guarded) -> None:
    """Beside all the rest that it looks at."""
    settings = tls.client("courier", authority=trustme.CA())
    exit_code, output = await own.courier("check", APPLIANCES_FILE=nobody(own), **settings)
    assert (1, True) == (exit_code, "refuses our certificate: unknown ca" in output), output


def nobody(own: Stand) -> str:
    """The file of an inventory, for those who do not get as far as an appliance."""
    inventory = own.directory / "appliances.toml"
    inventory.write_text(NOBODY)
    return str(inventory)


async def test_what_is_larger_than_the_brokers_bound_is_refused_at_publish(
    own: Stand, tls: Guarded, admin: str, users: dict[str, str]
) -> None:
    """And what lies between ours and the broker's is answered `too-large`."""
    own.always = tls.client(users["courier"])
    await own.appliances()
    await own.service()
    sent = command("query-sms-balance", {"appliance": "fac-1"})
    large = json.dumps(sent).encode().ljust(2 * 1024 * 1024 + 1)
    async with working(admin) as workflow:
        await workflow.put(large, sent["type"])
        found = await until(partial(rejected, workflow))
        assert ["too-large"] == found
        async with await aio_pika.connect(admin) as connection:
            exchange = await (await connection.channel()).get_exchange("courier.commands")
            with pytest.raises(ChannelPreconditionFailed, match="larger than"):
                await exchange.publish(aio_pika.Message(large * 5), sent["type"])


def rejected(workflow: Workflow) -> list[str]:
    return [each.data["reason"] for each in workflow.heard if "reason" in each.data]
