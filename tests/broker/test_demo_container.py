"""RabbitMQ in Docker: what is asked of Docker, and what becomes of its refusals."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from service.demo.broker import BrokerUnavailable, Machine
from service.demo.container import ContainerNode, ensure_image, news

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

pytestmark = pytest.mark.enable_socket  # free ports are looked for; nothing is connected to


@dataclass
class FakeContainer:
    """A container with the states that Docker gives one; its own daemon and client as well."""

    status: str = "not_started"
    refuses: str | None = None
    ports: dict[str, object] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    commands: list[list[str]] = field(default_factory=list)
    exit_code: int = 0

    def with_envs(self, **variables: str) -> None:
        self.environment |= variables

    def get_docker_client(self) -> "FakeContainer":
        return self

    def get_connection_mode(self) -> SimpleNamespace:
        return SimpleNamespace(value="docker_host")

    def host(self) -> str:
        return "localhost"

    def get_container_host_ip(self) -> str:
        return "docker.example"

    def get_exposed_port(self, port: int) -> int:
        published = self.ports[str(port)]
        assert isinstance(published, tuple)
        return int(published[1])

    def get_wrapped_container(self) -> "FakeContainer":
        return self

    def start(self) -> None:
        if self.refuses:
            raise RuntimeError(self.refuses)
        self.status = "running"

    def kill(self) -> None:
        self.status = "exited"

    def wait(self) -> None:
        assert self.status == "exited"

    def pause(self) -> None:
        self.status = "paused"

    def unpause(self) -> None:
        assert self.status == "paused"
        self.status = "running"

    def reload(self) -> None:
        pass

    def logs(self, tail: int) -> bytes:
        return f"the last {tail} lines".encode()

    def exec(self, command: list[str]) -> SimpleNamespace:
        self.commands.append(command)
        return SimpleNamespace(exit_code=self.exit_code, output=b" said \n")

    def stop(self) -> None:
        self.status = "removed"


def made(fake: FakeContainer, wait: Callable[..., None] = lambda *_, **__: None) -> ContainerNode:
    container = cast("DockerContainer", fake)
    return ContainerNode("rabbit:1", threading.Event(), container=container, wait=wait)


def test_a_container_is_published_on_the_loopback_address_with_a_password_of_its_own() -> None:
    fake = FakeContainer()
    made(fake)

    assert {host for host, _ in cast("dict[str, tuple[str, int]]", fake.ports).values()} == {
        "127.0.0.1"
    }
    assert len(fake.environment["RABBITMQ_DEFAULT_PASS"]) == 32


def test_a_killed_container_is_started_again_not_made_anew() -> None:
    fake = FakeContainer()
    node = made(fake)
    node.start()
    before = node.url
    node.kill()
    node.start()

    assert (fake.status, node.url) == ("running", before)


def test_only_a_frozen_container_is_thawed() -> None:
    fake = FakeContainer(status="running")
    node = made(fake)
    node.thaw()
    node.freeze()
    assert fake.status == "paused"
    node.thaw()

    assert fake.status == "running"


def test_a_container_that_docker_refuses_to_start_is_told_with_the_reason() -> None:
    with pytest.raises(BrokerUnavailable, match="no space left"):
        made(FakeContainer(refuses="no space left")).start()


def test_waiting_for_a_container_ends_when_it_has_exited() -> None:
    fake = FakeContainer()

    def wait(_: str, *, ended: Callable[[], bool], log: Callable[[], str], **__: object) -> None:
        assert not ended()
        fake.kill()
        assert ended()
        assert log() == "the last 15 lines"

    made(fake, wait).start()


def test_rabbitmqctl_runs_in_the_container_and_its_failure_is_an_error() -> None:
    fake = FakeContainer(status="running")
    assert made(fake).ctl("list_vhosts") == "said"
    assert fake.commands == [["rabbitmqctl", "--quiet", "list_vhosts"]]

    fake.exit_code = 70
    with pytest.raises(BrokerUnavailable, match="rabbitmqctl list_vhosts failed: said"):
        made(fake).ctl("list_vhosts")


def test_a_closed_container_is_gone() -> None:
    fake = FakeContainer(status="running")
    made(fake).close()

    assert fake.status == "removed"


@dataclass
class FakeImages:
    """A daemon's images, with a registry that may have more."""

    there: set[str] = field(default_factory=set)
    registry: set[str] = field(default_factory=set)
    fails: bool = False
    closed: bool = False

    def has(self, image: str) -> bool:
        return image in self.there

    def pull(self, image: str) -> Iterator[object]:
        yield {"status": "Pulling"}
        if self.fails:
            raise ConnectionError("no route to the registry")
        self.there |= self.registry & {image}

    def close(self) -> None:
        self.closed = True


def ensured(images: FakeImages) -> list[str]:
    said: list[str] = []
    ensure_image("rabbit:1", said.append, threading.Event(), daemon=lambda: images)
    return said


def test_an_image_that_is_there_is_not_pulled() -> None:
    assert ensured(FakeImages(there={"rabbit:1"})) == []


def test_an_image_that_is_not_there_is_pulled_and_that_is_told() -> None:
    images = FakeImages(registry={"rabbit:1"})

    assert ensured(images) == ["RabbitMQ: Docker pulls rabbit:1"]
    assert images.closed


@pytest.mark.parametrize(
    ("images", "why"),
    [(FakeImages(), "could not pull rabbit:1"), (FakeImages(fails=True), "no route")],
)
def test_an_image_that_cannot_be_pulled_is_told_with_the_reason(
    images: FakeImages, why: str
) -> None:
    with pytest.raises(BrokerUnavailable, match=why):
        ensured(images)
    assert images.closed


async def test_without_a_daemon_docker_is_given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")

    with pytest.raises(BrokerUnavailable, match="no Docker daemon answers"):
        async with Machine().in_docker(print):
            pass


def test_a_pull_that_only_repeats_itself_makes_no_progress() -> None:
    stop = threading.Event()

    def retrying() -> Iterator[str]:
        while not stop.wait(0.01):
            yield "Retrying in 1 second"

    events = news(retrying(), 0.2, threading.Event())
    assert next(events) == "Retrying in 1 second"
    with pytest.raises(BrokerUnavailable, match="no progress"):
        next(events)
    stop.set()


def test_a_pull_that_ends_is_followed_to_its_end() -> None:
    assert list(news(["10 %", "20 %", "20 %", "done"], 5, threading.Event())) == [
        "10 %",
        "20 %",
        "done",
    ]


def test_a_pull_that_fails_raises_what_it_raised() -> None:
    def failing() -> Iterator[str]:
        yield "10 %"
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        list(news(failing(), 5, threading.Event()))


def test_a_pull_can_be_given_up() -> None:
    given_up = threading.Event()
    given_up.set()

    with pytest.raises(BrokerUnavailable):
        list(news(["10 %"], 5, given_up))
