"""The images that the Docker tests need: ours, and what it runs with.

COURIER_TEST_BASE_IMAGE, COURIER_TEST_RABBITMQ_IMAGE and COURIER_TEST_POSTGRES_IMAGE name them.
Where one is not named, root on Debian makes it on the spot from Debian 13's packages, so that no
registry of images is needed; otherwise it is the official one, which Docker pulls.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from tests.support.engine import ROOT, Engine, alone
from tests.support.packages import brought

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE: Final = Path(__file__).parent
_OFFICIAL: Final = {"rabbitmq": "rabbitmq:4-management-alpine", "postgres": "postgres:17-alpine"}
_SUITE: Final = "trixie"
_OFFICIAL_DEBIAN: Final = f"debian:{_SUITE}-slim"
# Without documentation, and without waiting for the disk: no power cut is to be outlived.
_DPKG: Final = (
    "force-unsafe-io",
    *(f"path-exclude=/usr/share/{what}/*" for what in ("doc", "info", "locale", "man")),
)
_AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"
# What `make setup` reads: all that the virtual environment is made of.
_SETUP: Final = (
    *("LICENSE", "Makefile", "README.md", "pyproject.toml", "contracts", "service/__init__.py"),
    *("deploy/install-locked.sh", "deploy/requirements-test.txt"),
)
# What pip needs in a container as well, of how it is set on this machine.
_PIP: Final = ("index-url", "proxy", "timeout", "default-timeout")


@dataclass(frozen=True)
class Images:
    """Names of images that the engine has, or can pull.

    Attributes:
        base: what the courier's was built on.
    """

    base: str
    courier: str
    rabbitmq: str
    postgres: str


def images(engine: Engine) -> Images:
    """Have those made that are not there yet; whoever comes second waits for the first."""
    is_made_here = _is_made_here()
    with alone("images"):
        base = _named("base") or (_debian(engine) if is_made_here else _default_base())
        courier = _built(engine, "courier", "--build-arg", f"BASE={base}", str(ROOT))
        others = {
            what: _named(what)
            or (
                _built(
                    engine,
                    what,
                    *("--build-arg", f"BASE={_debian(engine)}", "--target", what, str(_HERE)),
                )
                if is_made_here
                else official
            )
            for what, official in _OFFICIAL.items()
        }
    return Images(base, courier, others["rabbitmq"], others["postgres"])


def debian13(engine: Engine) -> str:
    """Make a Debian 13 with what `tests.support.debian13` runs, and return its name."""
    with alone("images"):
        base = _debian(engine) if _is_made_here() else _OFFICIAL_DEBIAN
        packages = _built(
            engine, "packages", "--build-arg", f"BASE={base}", "--target=packages", str(_HERE)
        )
    # Not with the lock of the others: it takes a minute or two, and other tests wait for them.
    with alone("debian13"), TemporaryDirectory() as context:
        for name in _SETUP:
            source, copy = ROOT / name, Path(context, name)
            copy.parent.mkdir(exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy)
            else:
                shutil.copy(source, copy)
        shutil.copy(_HERE / "debian13" / "Dockerfile", context)
        return _built(engine, "debian13", "--build-arg", f"BASE={packages}", context)


def _is_made_here() -> bool:
    return os.geteuid() == 0 and bool(shutil.which("apt-get"))


def _named(what: str) -> str | None:
    return os.environ.get(f"COURIER_TEST_{what.upper()}_IMAGE")


def _default_base() -> str:
    found = re.search(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found
    return found[1]


def _built(engine: Engine, what: str, *arguments: str) -> str:
    """Build an image; the engine knows what has not changed, and is done with that in a second."""
    tag = f"courier-test-{what}"
    with _timed(tag):
        engine.docker("build", "--tag", tag, *arguments)
    return tag


def _debian(engine: Engine) -> str:
    """Make a bare Debian with Python, with this machine's certificates and way to a Python index.

    So the Dockerfile needs to know nothing of the machine.
    """
    tag = f"courier-test-debian:{_SUITE}"
    if engine.docker("image", "inspect", "--format", "there", tag, check=False) == "there":
        return tag
    program = brought("mmdebstrap", "mmdebstrap")
    with _timed(tag), TemporaryDirectory() as directory:
        settings = Path(directory, "pip.conf")
        settings.write_text("\n".join(["[global]", f"cert = {_AUTHORITIES}", *_pip()]) + "\n")
        with subprocess.Popen(
            [
                *(
                    str(program),
                    "--quiet",
                    "--variant=minbase",
                    "--include=python3,ca-certificates",
                ),
                *(f"--dpkgopt={option}" for option in _DPKG),
                f"--customize-hook=upload {_AUTHORITIES} {_AUTHORITIES}",
                f"--customize-hook=upload {settings} /etc/pip.conf",
                *(_SUITE, "-"),
            ],
            stdout=subprocess.PIPE,
        ) as made:
            subprocess.run(
                ["docker", "import", "-", tag],
                env=engine.environment,
                stdin=made.stdout,
                check=True,
            )
        assert made.returncode == 0, "mmdebstrap failed"
    return tag


def _pip() -> list[str]:
    """Lines of pip's configuration that make sense elsewhere: no paths of this machine."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    found = re.findall(r"^(?:global|:env:)\.([a-z-]+)='(.*)'$", told, re.MULTILINE)
    return [f"{name} = {value}" for name, value in dict(found).items() if name in _PIP]


@contextmanager
def _timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.1f} s", flush=True)  # noqa: T201  a program's
