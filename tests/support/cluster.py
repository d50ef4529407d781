"""Three RabbitMQ nodes on this machine that are one broker, to be broken one at a time.

On the loopback address each has ports of its own: enough to kill one and to freeze it. Where each
has a network of its own (`network`) it can also be partitioned from the others.
"""

import secrets
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import httpx

from service.demo.node import ERLANG_ARGUMENTS, PrivateNode
from tests.support import http
from tests.support.network import Place, join, part, places
from tests.support.rabbit import Rabbit

NODES: Final = 3
TICK: Final = 5
"""Seconds (`net_ticktime`) after which a silent node counts as down, a quarter more or less; the
default is 60. Until then nobody can declare what does not stand yet."""
# What a node was dead-lettering when its target's leader went is sent again after this; the default
# is three minutes.
_AGAIN: Final = "-rabbit dead_letter_worker_publisher_confirm_timeout 5000"
_LOOPBACK: Final = "127.0.0.1"
_PATIENCE: Final = 60.0
_BY_ITSELF: Final = 20.0
_ANSWER: Final = 5.0
_BETWEEN: Final = 0.2


class Member(PrivateNode):
    """One node of a cluster.

    Args:
        server: the folder with RabbitMQ's scripts.
        place: where it lives.
        cookie: the cluster's.
        password: the cluster's.
        first: whom it joins when it starts for the first time; None if it is the first itself.
    """

    def __init__(
        self, server: Path, place: Place, cookie: str, password: str, first: "Member | None"
    ) -> None:
        super().__init__(server, patience=_PATIENCE)
        self.place = place
        self._first = first
        self._password = password
        self._cookie = cookie
        self._host, self._inside = place.host, place.inside
        if first is not None:
            # Erlang looks for everybody's port mapper at one port; an address has one of them.
            self._epmd_port = first._epmd_port  # noqa: SLF001 - its own class

    @property
    def name(self) -> str:
        """What the cluster calls it."""
        host = self.place.host if self.place.namespace else "localhost"
        return f"courier-{self._port}@{host}"

    @property
    def port(self) -> int:
        """Where it speaks AMQP."""
        return self._port

    @property
    def address(self) -> str:
        """Its host and port."""
        return f"{self.place.host}:{self._port}"

    def _spawn_all(self) -> None:
        if self.place.namespace is None and self._first is not None:
            self._mapper = self._first._mapper  # noqa: SLF001 - its own class
        super()._spawn_all()

    def stop(self) -> None:
        """End it in order, and wait until it has ended."""
        self._signal(signal.SIGTERM)
        if self._process is not None:
            self._process.wait(_PATIENCE)

    def close(self) -> None:
        if self.place.namespace is None and self._first is not None:
            self._mapper = None
        super().close()

    def _settle(self) -> None:
        cookie = self._home / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(self._cookie, encoding="ascii")
            cookie.chmod(0o400)
        super()._settle()
        more = [
            "cluster_name = courier",
            "cluster_partition_handling = pause_minority",
            f"net_ticktime = {TICK}",
        ]
        if self._first is not None:
            more += [
                "cluster_formation.peer_discovery_backend = classic_config",
                f"cluster_formation.classic_config.nodes.1 = {self._first.name}",
                f"cluster_formation.classic_config.nodes.2 = {self.name}",
            ]
        path = self._home / "conf.d" / "90-cluster.conf"
        path.write_text("\n".join(more) + "\n", encoding="ascii")

    def _environment(self) -> dict[str, str]:
        interface = "-kernel inet_dist_use_interface {" + self.place.host.replace(".", ",") + "}"
        return super()._environment() | {
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_USE_LONGNAME": str(self.place.namespace is not None).lower(),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{ERLANG_ARGUMENTS} {_AGAIN} {interface}",
            "RABBITMQ_CTL_ERL_ARGS": interface,
        }


class Cluster:
    """Three nodes that are one broker; every method blocks.

    Attributes:
        members: the nodes.
        broken: those that are killed, frozen or partitioned at the moment.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = list(members)
        self.broken: set[str] = set()

    @property
    def healthy(self) -> list[Member]:
        return [each for each in self.members if each.name not in self.broken]

    def member(self, name: str) -> Member:
        """Find a node by the name that the cluster has for it."""
        return next(each for each in self.members if each.name == name)

    def urls_of(self, vhost: str, heartbeat: int) -> list[str]:
        """The addresses of a virtual host, one for each node."""
        path = f"/{quote(vhost, safe='')}"
        return [
            urlunsplit((*urlsplit(each.url)[:2], path, f"heartbeat={heartbeat}", ""))
            for each in self.members
        ]

    def start(self) -> None:
        """Start all; the second and the third join the first."""
        first, *others = self.members
        first.start()
        with ThreadPoolExecutor() as threads:
            list(threads.map(PrivateNode.start, others))
        self.wait_until_whole()

    def settle(self) -> None:
        """See `PrivateNode.settle`, of every node."""
        with ThreadPoolExecutor() as threads:
            list(threads.map(PrivateNode.settle, self.members))

    def kill(self, member: Member) -> None:
        self.broken.add(member.name)
        member.kill()

    def revive(self, member: Member) -> None:
        """Start it again; it is one of them as soon as `wait_until_whole` says so."""
        member.start()
        self.broken.discard(member.name)

    def stop(self, member: Member) -> None:
        """End it in order, as for an upgrade."""
        self.broken.add(member.name)
        member.stop()

    def freeze(self, member: Member) -> None:
        self.broken.add(member.name)
        member.freeze()

    def thaw(self, member: Member) -> None:
        member.thaw()
        self.broken.discard(member.name)

    def part(self, member: Member) -> None:
        """Let nothing pass between one node and the others; clients still reach all of them."""
        self.broken.add(member.name)
        for other in self.members:
            if other is not member:
                part(member.place, other.place)

    def join(self, member: Member) -> None:
        """End the partition."""
        for other in self.members:
            if other is not member:
                join(member.place, other.place)
        self.broken.discard(member.name)

    def reunite(self, member: Member, vhost: str | None = None) -> bool:
        """Wait until a node that is mended is one of them again.

        One that slept for longer than the tick does not always notice that it was given up (seen
        with 3.10.8): it goes on alone until somebody starts it anew, as is done here.

        Returns:
            Whether it had to be started anew.
        """
        with suppress(AssertionError):
            self.wait_until_whole(vhost, patience=_BY_ITSELF)
            return False
        self.stop(member)
        self.revive(member)
        self.wait_until_whole(vhost)
        return True

    def heal(self) -> None:
        """Bring everything back, whatever was broken."""
        broken = [each for each in self.members if each.name in self.broken]
        for member in self.members:
            member.thaw()
            if member in broken and member.place.namespace is not None:
                with suppress(OSError):
                    self.join(member)
            member.start()
        self.broken.clear()
        for member in broken or self.members:
            self.reunite(member)

    def wait_until_whole(self, vhost: str | None = None, *, patience: float = _PATIENCE) -> None:
        """Wait until every node sees all of them, and every quorum queue has all its members.

        Args:
            vhost: whose queues.
            patience: seconds.

        Raises:
            AssertionError: they did not find together; it says what was missing last.
        """
        deadline = time.monotonic() + patience
        while missing := self._missing(vhost):
            if time.monotonic() > deadline:
                raise AssertionError(f"not whole after {patience:g} s: {missing}")
            time.sleep(_BETWEEN)

    def _missing(self, vhost: str | None) -> str:
        for member in self.members:
            try:
                nodes = ask(member, "nodes").json()
                up = [each["name"] for each in nodes if each["running"]]
                apart = [each["name"] for each in nodes if each.get("partitions")]
                if len(up) < NODES or apart:
                    return f"{member.name} sees {up}, partitions at {apart}"
            except httpx.HTTPError as error:
                return f"{member.name}: {error!r}"
        if vhost is None:
            return ""
        try:
            queues = ask(self.members[0], f"queues/{quote(vhost, safe='')}").json()
        except httpx.HTTPError as error:
            return repr(error)
        torn = [
            each["name"]
            for each in queues
            if each["type"] == "quorum"
            and not (each.get("leader") and len(each.get("online", ())) == NODES)
        ]
        return f"queues without all their members: {torn}" if torn else ""

    def close(self) -> None:
        with ThreadPoolExecutor() as threads:
            list(threads.map(PrivateNode.thaw, self.members))
        # The first one's port mapper is the others', too.
        for member in reversed(self.members):
            member.close()


def ask(member: Member, path: str, method: str = "GET", *, json: object = None) -> httpx.Response:
    """Ask one node's HTTP API.

    Raises:
        httpx.HTTPError: it does not answer, or refuses.
    """
    parts = urlsplit(member.api)
    url = urlunsplit((parts.scheme, f"{parts.hostname}:{parts.port}", f"/api/{path}", "", ""))
    with httpx.Client(
        auth=(parts.username or "", parts.password or ""),
        verify=http.NO_AUTHORITY,
        timeout=_PATIENCE if method == "DELETE" else _ANSWER,
    ) as client:
        return client.request(method, url, json=json).raise_for_status()


class ClusterRabbit(Rabbit):
    """A cluster as tests handle a broker: whichever node is well is asked."""

    def __init__(self, cluster: Cluster) -> None:
        first = cluster.members[0]
        super().__init__(first.url, first.api, None)
        self.cluster = cluster

    def create_vhost(self, vhost: str) -> None:
        """Create it when all nodes are all there: it stays down on one that is still starting."""
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda each: each.ctl("await_startup"), self.cluster.members))
        super().create_vhost(vhost)
        deadline = time.monotonic() + _PATIENCE
        while len(self._running(vhost)) < NODES:
            assert time.monotonic() < deadline, f"{vhost} runs on {self._running(vhost)} only"
            time.sleep(_BETWEEN)

    def _running(self, vhost: str) -> list[str]:
        state = self.ask(f"vhosts/{quote(vhost, safe='')}")["cluster_state"]
        return [name for name, how in state.items() if how == "running"]

    def _ask(self, method: str, path: str, *, json: object = None) -> httpx.Response:
        problem: httpx.TransportError | None = None
        for member in self.cluster.healthy:
            try:
                return ask(member, path, method, json=json)
            except httpx.TransportError as error:
                problem = error
        raise problem or AssertionError("no node is well")


@contextmanager
def clustered(server: Path, *, subnet: str | None = None) -> Iterator[Cluster]:
    """Have three nodes for as long as the body lasts.

    Args:
        server: the folder with RabbitMQ's scripts.
        subnet: give each a network of its own there, so that they can be partitioned.
    """
    with ExitStack() as stack:
        found = [Place(_LOOPBACK)] * NODES
        if subnet is not None:
            found = stack.enter_context(places(NODES, subnet))
        cookie, password = secrets.token_hex(16), secrets.token_hex(16)
        members: list[Member] = []
        for place in found:
            first = members[0] if members else None
            members.append(Member(server, place, cookie, password, first))
        cluster = Cluster(members)
        stack.callback(cluster.close)
        cluster.start()
        yield cluster
