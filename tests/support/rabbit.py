"""The run's RabbitMQ as tests handle it: a virtual host each, counts, connections, alarms.

Virtual hosts are made by the management plugin's HTTP API, which takes 0.1 s per test where
`rabbitmqctl` takes one, because it boots an Erlang machine each time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import httpx
import pytest
from pamqp.common import FieldTable

from service.demo.broker import Node
from tests.support import http

QUICKER_RETRY: Final[FieldTable] = {
    "x-queue-type": "quorum",
    "x-message-ttl": 5,
    "x-dead-letter-exchange": "",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}
"""How courier.retry.1s must not stand: it keeps its messages for another time than it says."""


@dataclass(frozen=True)
class Queue:
    """How full a queue is, and who consumes it: half a second, and a second old at most."""

    ready: int
    unacked: int
    consumers: int


@dataclass(frozen=True)
class Connection:
    """An AMQP connection that the broker has."""

    name: str
    given_name: str | None
    user: str
    mechanism: str
    tls: bool


class Rabbit:
    """The broker of a run; every method blocks for some milliseconds."""

    def __init__(self, url: str, api: str, node: Node | None) -> None:
        self.url = url
        self._node = node
        parts = urlsplit(api)
        host = f"{parts.hostname}:{parts.port}"
        self._http = httpx.Client(
            base_url=urlunsplit((parts.scheme, host, parts.path.rstrip("/") + "/", "", "")),
            auth=(parts.username or "", parts.password or ""),
            verify=http.NO_AUTHORITY,
            # The broker is killed now and then: no connection is worth keeping.
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=30,
        )

    @property
    def node(self) -> Node:
        """The node itself, to break it."""
        if self._node is None:
            pytest.fail(
                "breaks the broker on purpose: unset COURIER_TEST_BROKER_URL for an own one"
            )
        return self._node

    def url_of(self, vhost: str) -> str:
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc, f"/{quote(vhost, safe='')}", "", ""))

    def create_vhost(self, vhost: str) -> None:
        name = quote(vhost, safe="")
        user = quote(urlsplit(self.url).username or "", safe="")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self._ask("PUT", f"vhosts/{name}")
        self._ask("PUT", f"permissions/{name}/{user}", json=everything)

    def delete_vhost(self, vhost: str) -> None:
        """Delete it with all that is in it; connections to it are closed by that."""
        self._ask("DELETE", f"vhosts/{quote(vhost, safe='')}")

    def load(self, definitions: dict[str, object]) -> None:
        """Import definitions, as `rabbitmqctl import_definitions` does."""
        self._ask("POST", "definitions", json=definitions)

    def set_password(self, user: str, password: str) -> None:
        """Give a user a password, and make the user if there is none."""
        self._ask("PUT", f"users/{quote(user, safe='')}", json={"password": password, "tags": ""})

    def delete_user(self, user: str) -> None:
        self._ask("DELETE", f"users/{quote(user, safe='')}")

    def queues(self, vhost: str) -> dict[str, Queue]:
        name = quote(vhost, safe="")
        # Without this the counts are those of the last statistics, up to five seconds old.
        fresh = "disable_stats=true&enable_queue_totals=true"
        consumed = [
            consumer["queue"]["name"] for consumer in self._ask("GET", f"consumers/{name}").json()
        ]
        return {
            queue["name"]: Queue(
                queue.get("messages_ready", 0),
                queue.get("messages_unacknowledged", 0),
                consumed.count(queue["name"]),
            )
            for queue in self._ask("GET", f"queues/{name}?{fresh}").json()
        }

    def connections(self, vhost: str) -> list[Connection]:
        return [
            Connection(
                connection["name"],
                connection.get("user_provided_name"),
                connection["user"],
                connection["auth_mechanism"],
                connection["ssl"],
            )
            for connection in self._ask("GET", f"vhosts/{quote(vhost, safe='')}/connections").json()
        ]

    def close_connection(self, connection: Connection) -> None:
        """Close it from the broker's side, as an operator would."""
        self._ask("DELETE", f"connections/{quote(connection.name, safe='')}")

    @contextmanager
    def memory_alarm(self) -> Iterator[None]:
        """Let the broker believe that its memory is full: whoever publishes is blocked."""
        self.node.ctl("set_vm_memory_high_watermark", "absolute", "1")
        try:
            yield
        finally:
            self.node.ctl("set_vm_memory_high_watermark", "0.4")

    def close(self) -> None:
        self._http.close()

    def _ask(self, method: str, path: str, *, json: object = None) -> httpx.Response:
        return self._http.request(method, path, json=json).raise_for_status()
