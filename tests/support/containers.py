"""PostgreSQL in Docker, by testcontainers: what a private one is where no Docker answers.

RabbitMQ's is `service.demo.container.ContainerNode`, since the demo has it as well.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from typing import Final, Protocol, cast

from pydantic import SecretStr

from service.demo.container import ensure_image, new_container
from service.demo.probe import free_ports
from service.settings import Postgres

IMAGE: Final = "postgres:17-alpine"
USER: Final = "courier"
_PORT: Final = 5432
# The server is killed, its machine never is.
_OPTIONS: Final = ("-cfsync=off", "-cmax_connections=200", "-cshared_buffers=32MB")
_PATIENCE: Final = 60.0


class _Container(Protocol):
    """What Docker's package, which has no types, offers for a container."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def wait(self) -> object: ...
    def pause(self) -> None: ...
    def unpause(self) -> None: ...
    def logs(self, *, tail: int) -> bytes: ...


class PostgresContainerNode:
    """One PostgreSQL in a container of our own; every method blocks.

    Args:
        image: any that takes POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB, as the official
            one does; COURIER_TEST_POSTGRES_IMAGE unless given.

    Raises:
        BrokerUnavailable: there is no Docker, or no such image.

    Attributes:
        port: where it is on the loopback address, the same after every start.
    """

    def __init__(self, image: str | None = None) -> None:
        """Have the image; `start` starts it."""
        image = image or os.environ.get("COURIER_TEST_POSTGRES_IMAGE", IMAGE)
        ensure_image(image, print, threading.Event())
        self._password = secrets.token_hex(16)
        self._made = new_container(image)
        self._made.with_command(["postgres", *_OPTIONS])
        self._made.with_envs(
            POSTGRES_USER=USER, POSTGRES_PASSWORD=self._password, POSTGRES_DB="postgres"
        )
        (self.port,) = free_ports(1)
        cast("dict[str, object]", self._made.ports)[str(_PORT)] = ("127.0.0.1", self.port)

    def url(self, database: str = "postgres") -> str:
        """Say where a database is, with the credentials of who may do everything."""
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def place(self, name: str) -> Postgres:
        """Say where a database is, as the service is told."""
        return Postgres(SecretStr(self.url(name)))

    def database(self) -> Postgres:
        """Make a new database, and say where it is."""
        name = f"ledger_{secrets.token_hex(6)}"
        self.ask(f"CREATE DATABASE {name} TEMPLATE template0")
        return self.place(name)

    def start(self) -> None:
        """See that it runs, again on the same data and port, and wait until it answers.

        Raises:
            TimeoutError: it does not; the text has its last lines.
        """
        if self._made.status == "not_started":
            self._made.start()
        else:
            self._container.start()
        deadline = time.monotonic() + _PATIENCE
        # By TCP: the official image is busy with a server of its own on the socket at first.
        while not self._succeeds("pg_isready", "--host", "127.0.0.1", "--quiet"):
            if time.monotonic() > deadline:
                raise TimeoutError(self._container.logs(tail=15).decode(errors="replace"))
            time.sleep(0.1)

    def ask(self, sql: str, database: str = "postgres") -> str:
        """Have it do something, by the container's own `psql`; what it says comes back."""
        done = self._made.exec(
            ["psql", "--no-align", "--tuples-only", "--command", sql, self.url_inside(database)]
        )
        text = done.output.decode(errors="replace").strip()
        assert done.exit_code == 0, text
        return str(text)

    def url_inside(self, database: str) -> str:
        """Say where a database is for who is in the container."""
        return self.url(database).replace(f":{self.port}/", f":{_PORT}/")

    def stop(self) -> None:
        """End it in order; `start` brings it back."""
        self._container.stop()

    def kill(self) -> None:
        """End it at once, with every session, as a power cut would; `start` brings it back."""
        self._container.kill()
        self._container.wait()

    def freeze(self) -> None:
        """Stop it in its tracks: its connections stay open and nothing answers."""
        self._container.pause()

    def thaw(self) -> None:
        """Let it go on, if it was frozen."""
        self._made.reload()
        if self._made.status == "paused":
            self._container.unpause()

    def close(self) -> None:
        """Remove it and its data."""
        self._made.stop()

    def _succeeds(self, *command: str) -> bool:
        self._made.reload()
        return self._made.status == "running" and self._made.exec(list(command)).exit_code == 0

    @property
    def _container(self) -> _Container:
        return cast("_Container", self._made.get_wrapped_container())
