"""A Docker engine for the tests: the one that answers, or one of our own for as long as it is used.

An engine of our own needs root and Debian's packages. It has its own socket, data and addresses,
so nobody who looks for Docker here finds it, and it ends with the last process that uses it. What
it keeps is in `.docker`, which `make clean` removes.

`python3 -m tests.support.engine` brings it up, has the images made and waits: `.ci/run` does that
beside everything else. This module and `images` need nothing but Python.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.support.packages import Missing, brought

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
KEPT: Final = ROOT / ".docker"
# A Unix socket's path has little room, and a clone may lie deep.
_RUN: Final = Path("/run", f"courier-docker-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]}")
_OWN: Final = f"unix://{_RUN}/docker.sock"
_BRIDGE: Final = "10.213.0.1/24"
_NETWORKS: Final = "base=10.214.0.0/16,size=24"
_ANSWER: Final = 20.0
_PATIENCE: Final = 60.0
_GRACE: Final = 30.0
_started: Final[list[subprocess.Popen[bytes]]] = []
"""Daemons that may outlive who began them: nobody waits for them."""
_WHAT_TO_DO: Final = """\
These tests need a Docker engine, and there is none: {why}
Start Docker, or run as root on Debian, where one is brought along; or leave them out by name:
make test DOCKER=no"""


@dataclass(frozen=True)
class Engine:
    """A Docker engine that answers.

    Attributes:
        host: where, as in DOCKER_HOST.
    """

    host: str

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to use it; without buildx the classic builder builds."""
        return {**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0"}

    def docker(self, *arguments: str, check: bool = True, said: str | None = None) -> str:
        """Run the command line and return what it printed.

        Args:
            check: whether a failure is an error.
            said: what it reads.

        Raises:
            AssertionError: it failed; the text has its last lines.
        """
        return self.run("docker", *arguments, check=check, said=said)

    def run(
        self,
        *command: str,
        check: bool = True,
        said: str | None = None,
        env: dict[str, str] | None = None,
    ) -> str:
        """Run any program that talks to the engine, like `docker`."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**self.environment, **(env or {})},
            input=said or "",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        told = "\n".join(done.stdout.splitlines()[-30:])
        assert not check or done.returncode == 0, f"{' '.join(command[:4])} failed:\n{told}"
        return done.stdout.strip()


@contextmanager
def engine() -> Iterator[Engine]:
    """Have an engine for as long as the context lasts.

    Raises:
        Missing: there is none to be had; the text says what to do.
    """
    there = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if _answers(there):
        yield Engine(there)
        return
    KEPT.mkdir(exist_ok=True)
    with (KEPT / "users").open("w") as users:
        with alone("engine"):
            _start()
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield Engine(_OWN)
        finally:
            with alone("engine"), suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _stop()


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Let one process at a time do something; the others wait for it."""
    KEPT.mkdir(exist_ok=True)
    with (KEPT / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def compose() -> tuple[str, ...]:
    """Find Docker Compose: the plugin, else the program, which Debian has as a package."""
    if (
        shutil.which("docker")
        and not subprocess.run(
            ["docker", "compose", "version"], capture_output=True, check=False
        ).returncode
    ):
        return ("docker", "compose")
    return (str(brought("docker-compose", "docker-compose")),)


def _answers(host: str) -> bool:
    if not shutil.which("docker"):
        return False
    with suppress(subprocess.TimeoutExpired):
        asked = subprocess.run(
            ["docker", "version"],
            env={**os.environ, "DOCKER_HOST": host},
            capture_output=True,
            timeout=_ANSWER,
            check=False,
        )
        return asked.returncode == 0
    return False


def _start() -> None:
    if _answers(_OWN):
        return
    if os.geteuid() != 0:
        raise Missing(_WHAT_TO_DO.format(why="none answers, and only root can start one"))
    try:
        daemon = brought("dockerd", "docker.io")
        brought("docker", "docker.io")
    except Missing as missing:
        raise Missing(_WHAT_TO_DO.format(why=missing)) from None
    _RUN.mkdir(exist_ok=True)
    (_RUN / "pid").unlink(missing_ok=True)
    with (KEPT / "dockerd.log").open("w") as log:
        process = subprocess.Popen(
            [
                *(daemon, "--host", _OWN, "--bip", _BRIDGE, "--default-address-pool", _NETWORKS),
                *("--data-root", KEPT / "data", "--exec-root", _RUN / "exec"),
                *("--pidfile", _RUN / "pid"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _started.append(process)
    deadline = time.monotonic() + _PATIENCE
    while not _answers(_OWN):
        if process.poll() is not None or time.monotonic() > deadline:
            last = "\n".join((KEPT / "dockerd.log").read_text().splitlines()[-5:])
            raise Missing(_WHAT_TO_DO.format(why=f"dockerd did not start:\n{last}"))
        time.sleep(0.2)


def _stop() -> None:
    try:
        pid = int((_RUN / "pid").read_text())
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        return
    deadline = time.monotonic() + _GRACE
    while (_RUN / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    shutil.rmtree(_RUN, ignore_errors=True)


def main() -> None:
    """Keep an engine with all images until a signal comes."""
    from tests.support.images import debian13, images  # noqa: PLC0415  it needs this module

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with engine() as docker:
        # All packages first: what runs beside this may want some as well, later.
        compose()
        images(docker)
        debian13(docker)
        signal.pause()


if __name__ == "__main__":
    main()
