"""A PostgreSQL of the tests' own: made where it is wanted, broken on purpose, gone at the end."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from uuid import uuid4

import asyncpg
from pydantic import SecretStr

from service.demo.probe import BrokerUnavailable, free_ports
from service.settings import Postgres
from tests.support.containers import PostgresContainerNode
from tests.support.packages import brought

T = TypeVar("T")

USER: Final = "courier"
_OPTIONS: Final = {
    "listen_addresses": "127.0.0.1",
    # The server is killed, its machine never is.
    "fsync": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "logging_collector": "off",
}
_PATIENCE: Final = 40.0


class Server(Protocol):
    """A PostgreSQL, in Docker or not; see `PrivatePostgres`."""

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    def close(self) -> None: ...
    def database(self) -> Postgres: ...
    def place(self, name: str) -> Postgres: ...
    def url(self, name: str) -> str: ...


def server() -> Server:
    """Have one: in Docker where that answers and has the image, else a private one."""
    try:
        return PostgresContainerNode()
    except BrokerUnavailable as why:
        sys.stdout.write(f"PostgreSQL: not in Docker: {why}\n")
        return PrivatePostgres()


class PrivatePostgres:
    """One server, as an ordinary user, in a directory of its own; every method blocks.

    Attributes:
        port: where it is on the loopback address.
        sockets: the directory with its Unix socket.
    """

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        """Make its files; `start` starts it."""
        self._initdb, self._server = _program("initdb"), _program("postgres")
        self._options = {**_OPTIONS, **(options or {})}
        self._user = _somebody()
        self._directory = Path(tempfile.mkdtemp(prefix="courier-postgres-"))
        self._data = self._directory / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self.sockets = self._directory
        (self.port,) = free_ports(1)
        if self._user is not None:
            shutil.chown(self._directory, self._user)
        trust = ("--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C", "--no-sync")
        self._run(self._initdb, f"--pgdata={self._data}", *trust)

    def start(self) -> None:
        """Start it, if it does not run, and wait until it answers."""
        if self._process is None or self._process.poll() is not None:
            (self._data / "postmaster.pid").unlink(missing_ok=True)
            settings = [f"-c{name}={value}" for name, value in self._options.items()]
            place = (f"-D{self._data}", f"-k{self.sockets}", f"-p{self.port}")
            with (self._directory / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [self._server, *place, *settings],
                    cwd=self._directory,
                    user=self._user,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise TimeoutError((self._directory / "log").read_text()[-2000:])
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        """The server, while it runs; each connection is a child of it."""
        return self._process.pid if self._process else 0

    def kill(self) -> None:
        """End it at once, with every session, as a power cut would."""
        self.freeze()  # from now on it has no more children
        owned = list(self._owned())
        for pid in owned:
            os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        # Its memory stays until the last of its processes is gone, which are orphans by now, and as
        # long as it is there a new server refuses to start.
        deadline = time.monotonic() + _PATIENCE
        while any(self._is_alive(pid) for pid in owned) and time.monotonic() < deadline:
            time.sleep(0.02)

    def freeze(self) -> None:
        """Stop it in its tracks: its connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on, if it was frozen."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End it and remove its files."""
        self.thaw()
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def database(self) -> Postgres:
        """Make a new database, and say where it is: by the Unix socket."""
        name = f"ledger_{uuid4().hex[:12]}"
        asked(self.place("postgres"), f"CREATE DATABASE {name} TEMPLATE template0")
        return self.place(name)

    def place(self, name: str) -> Postgres:
        """Say where a database is, by the Unix socket."""
        return Postgres(
            SecretStr(f"postgresql://{USER}@/{name}?host={self.sockets}&port={self.port}")
        )

    def url(self, name: str) -> str:
        """Say where a database is, by TCP."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def _answers(self) -> bool:
        with suppress(OSError, asyncpg.PostgresError):
            return bool(asked(self.place("postgres"), "SELECT true"))
        return False

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._owned():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _owned(self) -> Iterator[int]:
        """The server and its children, which are in sessions of their own."""
        if self._process is None:
            return
        for status in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError, ValueError, IndexError):
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                pid = int(status.parent.name)
                if self._process.pid in {pid, parent} and self._is_alive(pid):
                    yield pid

    @staticmethod
    def _is_alive(pid: int) -> bool:
        with suppress(OSError):
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        return False

    def _run(self, *command: str | Path) -> None:
        done = subprocess.run(
            command,
            cwd=self._directory,
            user=self._user,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]


def asked(place: Postgres, sql: str, *values: object) -> Any:  # noqa: ANN401  whatever it says
    """Ask a database one thing, from where nothing else runs; the first column comes back."""

    async def ask() -> object:
        connection = await asyncpg.connect(place.url.get_secret_value(), timeout=10)
        try:
            return await connection.fetchval(sql, *values)
        finally:
            await connection.close(timeout=5)

    return _apart(ask())


def _apart(work: Coroutine[None, None, T]) -> T:
    """Run it here, or beside the loop that runs here."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def _program(name: str) -> Path:
    return brought(name, "postgresql", among="usr/lib/postgresql/*/bin")


def _somebody() -> str | None:
    """Who runs it: PostgreSQL refuses to be run by root."""
    return "nobody" if os.geteuid() == 0 else None
