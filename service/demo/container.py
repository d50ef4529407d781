"""RabbitMQ in Docker, by testcontainers, which is an optional package (extra `docker`).

Whether Docker is of any use is found out quickly: a client without a daemon is common, and so is a
daemon that can reach no registry.
"""

import importlib
import os
import queue
import secrets
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from types import ModuleType
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast

from service.demo.node import ERLANG_ARGUMENTS, SETTLE
from service.demo.probe import BrokerUnavailable, free_ports, listens, wait_until_ready

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

# With the management plugin, as the private node has it.
IMAGE: Final = "rabbitmq:4-management-alpine"
_USER: Final = "courier"
_AMQP: Final = 5672
_HTTP: Final = 15672
_DAEMON: Final = "unix:///var/run/docker.sock"
_DAEMON_PATIENCE: Final = 3.0
_PULL_PATIENCE: Final = 10.0
_START_PATIENCE: Final = 60.0
_LONGEST_CALL: Final = 60
_GLANCE: Final = 0.5

Item = TypeVar("Item")


class ContainerNode:
    """One RabbitMQ in a container of our own; like `PrivateNode`, every method blocks.

    Args:
        image: any image with a RabbitMQ server in it, which the daemon has.
        given_up: ends a start that is under way.
        container: what holds the image; a new one from testcontainers unless given.
        wait: what waits until RabbitMQ takes connections.
    """

    def __init__(
        self,
        image: str,
        given_up: threading.Event,
        *,
        container: "DockerContainer | None" = None,
        wait: Callable[..., None] = wait_until_ready,
    ) -> None:
        self._given_up = given_up
        self._wait = wait
        self._password = secrets.token_hex(16)
        self._container = container or new_container(image)
        self._container.with_envs(
            RABBITMQ_DEFAULT_USER=_USER,
            RABBITMQ_DEFAULT_PASS=self._password,
            RABBITMQ_ENABLED_PLUGINS="rabbitmq_management",
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=ERLANG_ARGUMENTS,
        )
        # Fixed ports: those that Docker chooses are others after a restart. On the loopback
        # address where the daemon is on this machine, which testcontainers passes on untyped.
        client = self._container.get_docker_client()
        here = client.get_connection_mode().value == "docker_host" and client.host() == "localhost"
        ports = cast("dict[str, object]", self._container.ports)
        for inside, outside in zip((_AMQP, _HTTP), free_ports(2), strict=True):
            ports[str(inside)] = ("127.0.0.1", outside) if here else outside

    @property
    def url(self) -> str:
        """Where AMQP is spoken, with the credentials of an administrator."""
        return f"amqp://{self._address(_AMQP)}/"

    @property
    def api(self) -> str:
        """Where the management plugin's HTTP API is, with the same credentials."""
        return f"http://{self._address(_HTTP)}/api"

    def start(self) -> None:
        """See that the container runs, again with the same data, and takes connections.

        Raises:
            BrokerUnavailable: Docker refused, or it ended by itself or took too long.
        """
        try:
            if self._container.status == "not_started":
                self._container.start()
            else:
                self._container.get_wrapped_container().start()
            url = self.url
        except Exception as refused:  # noqa: BLE001 - of two packages, with an error tree each
            raise BrokerUnavailable(f"Docker did not start it: {refused}") from None
        self._wait(url, patience=_START_PATIENCE, ended=self._ended, log=self._last_lines)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._container.get_wrapped_container().kill()
        self._container.get_wrapped_container().wait()

    def settle(self) -> None:
        """Have it write down which queues it has, so that the newest outlive a kill."""
        self.ctl(*SETTLE)

    def freeze(self) -> None:
        """Stop it in its tracks: its connections stay open and nothing answers."""
        self._container.get_wrapped_container().pause()

    def thaw(self) -> None:
        """Let it go on, if it was frozen."""
        self._container.reload()
        if self._container.status == "paused":
            self._container.get_wrapped_container().unpause()

    def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` in the container and return what it printed; takes a second or two.

        Raises:
            BrokerUnavailable: it failed.
        """
        done = self._container.exec(["rabbitmqctl", "--quiet", *arguments])
        text = done.output.decode(errors="replace").strip()
        if done.exit_code:
            raise BrokerUnavailable(f"rabbitmqctl {arguments[0]} failed: {text}")
        return text

    def close(self) -> None:
        """Remove the container and its data."""
        self._container.stop()

    def _address(self, port: int) -> str:
        # Published ports of a daemon on this machine are here, whatever testcontainers concludes
        # from being in a container itself; only a daemon elsewhere publishes them elsewhere.
        published = self._container.get_exposed_port(port)
        here = listens("127.0.0.1", published)
        host = "127.0.0.1" if here else self._container.get_container_host_ip()
        return f"{_USER}:{self._password}@{host}:{published}"

    def _ended(self) -> bool:
        self._container.reload()
        return self._given_up.is_set() or self._container.status in {"exited", "dead"}

    def _last_lines(self) -> str:
        log = self._container.get_wrapped_container().logs(tail=15)
        return bytes(log).decode(errors="replace")


def new_container(image: str) -> "DockerContainer":
    """Describe a container by testcontainers; nothing is started by that."""
    # Its helper container, which cleans up after us, is one more image to pull.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    package, patience = _package("testcontainers.core.container"), {"timeout": _LONGEST_CALL}
    container: DockerContainer = package.DockerContainer(image, docker_client_kw=patience)
    return container


class Images(Protocol):
    """What is asked of Docker's daemon about images."""

    def has(self, image: str) -> bool:
        """Whether the image is there."""

    def pull(self, image: str) -> Iterator[object]:
        """Have it pulled; the events tell how far it is."""

    def close(self) -> None:
        """Ask no more."""


class _Daemon:
    """The daemon's images, by Docker's package."""

    def __init__(self) -> None:
        # First without the package, which leaves a socket open when nobody answers.
        _knock(os.environ.get("DOCKER_HOST", _DAEMON))
        _package("testcontainers.core")
        self._client = _package("docker").from_env(timeout=_DAEMON_PATIENCE)

    def has(self, image: str) -> bool:
        return bool(self._client.images.list(name=image))

    def pull(self, image: str) -> Iterator[object]:
        # A generator, so that the request itself, which may hang as well, is made by its reader.
        yield from self._client.api.pull(image, stream=True, decode=True)

    def close(self) -> None:
        self._client.close()


def ensure_image(
    image: str,
    say: Callable[[str], None],
    given_up: threading.Event,
    *,
    daemon: Callable[[], Images] = _Daemon,
) -> None:
    """Ask Docker's daemon for the image, and have it pulled when it has not got it.

    Args:
        image: its name and tag.
        say: told when it is pulled, which takes long.
        given_up: ends a pull that is under way.
        daemon: reaches the daemon.

    Raises:
        BrokerUnavailable: the package is missing, no daemon answers, or the image is not to be had.
    """
    try:
        with closing(daemon()) as images:
            if not images.has(image):
                say(f"RabbitMQ: Docker pulls {image}")
                _pull(image, images, given_up)
    except BrokerUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - of two packages, with an error tree each
        reason = getattr(error, "explanation", None) or error
        raise BrokerUnavailable(f"Docker cannot provide {image}: {reason}") from None


def _pull(image: str, images: Images, given_up: threading.Event) -> None:
    last: object = None
    for last in news(images.pull(image), _PULL_PATIENCE, given_up):  # noqa: B007 - after the loop
        pass
    if not images.has(image):
        raise BrokerUnavailable(f"Docker could not pull {image} ({last})")


def _knock(daemon: str) -> None:
    """See whether somebody listens on the daemon's socket, if it is one on this machine."""
    if not daemon.startswith("unix://"):
        return
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(_DAEMON_PATIENCE)
        try:
            door.connect(daemon.removeprefix("unix://"))
        except OSError:
            raise BrokerUnavailable("no Docker daemon answers") from None


def _package(name: str) -> ModuleType:
    """Import from an optional package, which may be missing and is partly untyped."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return importlib.import_module(name)
    except ImportError:
        raise BrokerUnavailable(
            f"the Python package `{name.partition('.')[0]}` is missing"
        ) from None


def news(events: Iterable[Item], patience: float, given_up: threading.Event) -> Iterator[Item]:
    """Pass on the events that were not seen before, as long as there are any.

    Docker repeats itself while it tries a registry again and again, and may also say nothing at
    all; neither is progress.

    Args:
        events: read in a thread of its own, which is left behind when it is stuck.
        patience: how long to wait for something new, in seconds.
        given_up: ends the waiting.

    Raises:
        BrokerUnavailable: nothing new came for that long, or it was given up.
    """
    arrived: queue.SimpleQueue[Item | Exception | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(events, arrived), daemon=True).start()
    seen: set[str] = set()
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and not given_up.is_set():
        try:
            event = arrived.get(timeout=min(_GLANCE, patience))
        except queue.Empty:
            continue
        if event is None:
            return
        if isinstance(event, Exception):
            raise event
        if str(event) not in seen:
            seen.add(str(event))
            deadline = time.monotonic() + patience
            yield event
    raise BrokerUnavailable("the pull of the image makes no progress")


def _read(events: Iterable[Item], arrived: "queue.SimpleQueue[Item | Exception | None]") -> None:
    try:
        for event in events:
            arrived.put(event)
        arrived.put(None)
    except Exception as error:  # noqa: BLE001 - raised again by the one who waits
        arrived.put(error)
