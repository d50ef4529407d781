"""Runs the suites in a container with Debian 13's Python, RabbitMQ and PostgreSQL.

`python3 -m tests.support.debian13` needs Docker as `tests.support.engine` does, and git. It copies
the working tree with its uncommitted changes; what it runs there is the Makefile.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tarfile
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from tests.support.engine import ROOT, Engine, engine
from tests.support.images import debian13

if TYPE_CHECKING:
    from typing import IO

SUITES: Final = (
    "tests/unit",
    "tests/contracts",
    "tests/appliances",
    "tests/ledger",
    "tests/broker",
)
_STEPS: Final = (
    "tar --extract",
    "make setup",
    ".venv/bin/courier --version",
    "make demo",
    f"make test DOCKER=no TESTS='{' '.join(SUITES)}'",
)
_OPTIONS: Final = (
    "--init",  # ends the processes that a killed one leaves behind
    "--tmpfs=/tmp:exec",
    "--sysctl=net.ipv6.conf.lo.disable_ipv6=0",  # Docker takes ::1 away
)


def main() -> int:
    """Run everything, and return the exit code of what failed, else 0."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with engine() as docker, TemporaryFile() as tree:
        image = debian13(docker)
        _pack(tree)
        return _run(docker, image, tree)


def _run(docker: Engine, image: str, tree: IO[bytes]) -> int:
    name = f"courier-debian13-{uuid4().hex[:8]}"
    steps = " && ".join(_STEPS)
    try:
        return subprocess.run(
            [
                *("docker", "run", "--rm", "--interactive", "--name", name, *_OPTIONS),
                *(image, "sh", "-c", steps),
            ],
            env=docker.environment,
            stdin=tree,
            check=False,
        ).returncode
    finally:
        docker.docker("rm", "--force", name, check=False)


def _pack(tree: IO[bytes]) -> None:
    """Write the files that git tracks, or would track, as an archive.

    All are from 1970: `make setup` compares the time of what it depends on with that of the virtual
    environment, which is in the image and belongs to these files by their content.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout.decode()
    with tarfile.open(fileobj=tree, mode="w") as archive:
        for name in sorted(set(listed.split("\0")) - {""}):
            if (ROOT / name).exists():
                archive.add(ROOT / name, name, filter=_from_1970)
    tree.seek(0)


def _from_1970(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime, member.uid, member.gid = 0, 0, 0
    return member


if __name__ == "__main__":
    sys.exit(main())
