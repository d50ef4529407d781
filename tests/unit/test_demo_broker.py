"""Where a broker comes from: the order, the falling through, and what people are told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from service.demo.broker import Broker, BrokerUnavailable, Machine, running_broker
from service.demo.debian import install_rabbitmq, privilege
from service.demo.probe import free_ports, shown
from tests.support.wait import until

URL = "amqp://someone:a-secret@broker.example:5673/vhost"
SERVER = Path("/somewhere/sbin")


@dataclass
class FakeMachine:
    """A machine with the abilities that a test gives it; notes what was started and stopped."""

    answers: bool = True
    docker: bool = False
    installed: bool = False
    installable: bool = False
    starts: bool = True
    events: list[str] = field(default_factory=list)

    def machine(self) -> Machine:
        return Machine(
            reach=self._reach,
            in_docker=lambda say: self._broker("docker", "no daemon", able=self.docker),  # noqa: ARG005
            installed_server=lambda: SERVER if self.installed else None,
            install=self._install,
            private=lambda server: self._broker("private node", f"{server} died", able=self.starts),
        )

    async def _reach(self, url: str) -> None:
        self.events.append(f"asked {shown(url)}")
        if not self.answers:
            raise BrokerUnavailable("connection refused")

    async def _install(self, say: object) -> None:  # noqa: ARG002 - the port's form
        if not self.installable:
            raise BrokerUnavailable("installing it needs root")
        self.events.append("installed")
        self.installed = True

    def _broker(self, how: str, reason: str, *, able: bool) -> AbstractAsyncContextManager[Broker]:
        @asynccontextmanager
        async def start() -> AsyncIterator[Broker]:
            if not able:
                raise BrokerUnavailable(reason)
            self.events.append(f"started {how}")
            try:
                yield Broker(URL, "docker" if how == "docker" else "private node")
            finally:
                self.events.append(f"stopped {how}")

        return start()


async def used(
    fake: FakeMachine, *, given: str | None = None, may_install: bool = True
) -> tuple[Broker, str]:
    said: list[str] = []
    async with running_broker(
        given=given, say=said.append, may_install=may_install, machine=fake.machine()
    ) as broker:
        return broker, "\n".join(said)


async def test_a_given_broker_is_used_and_nothing_else_is_tried() -> None:
    fake = FakeMachine(docker=True, installed=True)
    broker, _ = await used(fake, given=URL)

    assert broker == Broker(URL, "given")
    assert fake.events == ["asked amqp://broker.example:5673/vhost"]


async def test_a_given_broker_that_does_not_answer_is_an_error_and_not_replaced() -> None:
    fake = FakeMachine(answers=False, docker=True, installed=True)
    with pytest.raises(BrokerUnavailable, match="connection refused") as told:
        await used(fake, given=URL)

    assert "COURIER_BROKER_URL" in str(told.value)
    assert "a-secret" not in str(told.value)


async def test_docker_comes_before_an_installed_rabbitmq() -> None:
    fake = FakeMachine(docker=True, installed=True)
    await used(fake)

    assert fake.events == ["started docker", "stopped docker"]


async def test_without_docker_an_installed_rabbitmq_is_used_and_the_reason_is_told() -> None:
    fake = FakeMachine(installed=True, installable=True)
    _, said = await used(fake)

    assert fake.events == ["started private node", "stopped private node"]
    assert "not in Docker: no daemon" in said


async def test_rabbitmq_is_installed_when_there_is_none_and_it_may_be() -> None:
    fake = FakeMachine(installable=True)
    await used(fake)

    assert fake.events == ["installed", "started private node", "stopped private node"]


async def test_nothing_is_installed_when_it_may_not_be() -> None:
    fake = FakeMachine(installable=True)
    with pytest.raises(BrokerUnavailable, match="may not be installed"):
        await used(fake, may_install=False)

    assert fake.events == []


async def test_without_any_way_the_message_says_what_to_do_and_why_each_way_failed() -> None:
    with pytest.raises(BrokerUnavailable) as told:
        await used(FakeMachine())

    message = str(told.value)
    for part in (
        "COURIER_BROKER_URL=",
        "apt-get install",
        "start Docker",
        "no daemon",
        "needs root",
    ):
        assert part in message


async def test_a_node_that_does_not_come_up_is_told_with_its_last_words() -> None:
    with pytest.raises(BrokerUnavailable, match="/somewhere/sbin died"):
        await used(FakeMachine(installed=True, starts=False))


async def test_what_was_started_is_stopped_when_its_user_fails() -> None:
    fake = FakeMachine(installed=True)
    with pytest.raises(ZeroDivisionError):
        async with running_broker(given=None, say=print, machine=fake.machine()):
            raise ZeroDivisionError

    assert fake.events == ["started private node", "stopped private node"]


async def test_the_brokers_credentials_are_not_in_what_is_said_nor_in_its_repr() -> None:
    broker, said = await used(FakeMachine(installed=True))

    assert "a-secret" not in said + repr(broker)


async def test_a_package_that_cannot_be_installed_is_told_with_apts_last_words() -> None:
    failing = ["sh", "-c", "echo E: no network; exit 100", "--"]
    with pytest.raises(BrokerUnavailable, match="E: no network"):
        await install_rabbitmq(print, before=failing)


async def test_an_interrupted_installation_is_waited_for(tmp_path: Path) -> None:
    done = tmp_path / "done"
    installing = ["sh", "-c", f"mkdir {tmp_path}/began; sleep 0.3; mkdir {done}", "--"]
    work = asyncio.create_task(install_rabbitmq(print, before=installing))
    await until((tmp_path / "began").exists)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work

    assert done.exists()


def test_root_needs_no_sudo() -> None:
    assert privilege(has=["apt-get"], root=True, sudo_works=lambda: False) == []


def test_an_ordinary_user_installs_with_sudo_that_asks_nothing() -> None:
    assert privilege(has=["apt-get", "sudo"], root=False, sudo_works=lambda: True) == ["sudo", "-n"]


@pytest.mark.parametrize(
    ("has", "why"),
    [([], "Debian"), (["apt-get"], "needs root"), (["apt-get", "sudo"], "needs root")],
)
def test_who_may_not_install_is_told_why(has: list[str], why: str) -> None:
    with pytest.raises(BrokerUnavailable, match=why):
        privilege(has=has, root=False, sudo_works=lambda: False)


def test_free_ports_are_below_those_of_outgoing_connections(socket_enabled: None) -> None:  # noqa: ARG001
    ports = free_ports(4)

    assert len(set(ports)) == 4
    assert max(ports) < 32_768


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://u:p@host/", "amqp://host:5672/"),
        ("amqps://u:p@[::1]:5671/a%2Fb", "amqps://[::1]:5671/a%2Fb"),
        ("amqp://host", "amqp://host:5672"),
    ],
)
def test_a_url_is_shown_without_its_credentials(url: str, expected: str) -> None:
    assert shown(url) == expected
