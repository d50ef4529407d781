"""The image by itself: what is in it, what is not, and as whom it runs."""

import json
import re
from typing import Final

import pytest

from tests.support.engine import ROOT, Engine
from tests.support.images import Images
from tests.support.workflow import Json

pytestmark = pytest.mark.timeout(600)  # the first one waits until the images are made

MEBIBYTE: Final = 2**20
NOBODY_HERE: Final = (
    *("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none"),
)
NO_SHELL: Final = tuple(
    f"--volume=/dev/null:{shell}:ro" for shell in ("/bin/sh", "/bin/bash", "/usr/bin/dash")
)
BUILDERS: Final = ("pip", "pip3", "gcc", "cc", "c++", "make", "ld", "strip", "uv", "hatchling")
LEFT_OVER: Final = """
import importlib.util, pathlib, shutil, sys
names = sys.argv[1:]
print([name for name in names if shutil.which(name)])
print([name for name in (*names, "setuptools") if importlib.util.find_spec(name.replace("+", "p"))])
print([str(path) for path in pathlib.Path("/opt/courier").rglob("tests")])
"""
NOT_COMPILED: Final = """
import os, sys
import service.app, service.checks.ready, service.cli.serve
print([name for name, module in sys.modules.items()
       if (cached := getattr(module, "__cached__", None)) and not os.path.exists(cached)])
"""

DISTRIBUTIONS: Final = """
import importlib.metadata
print(*(f"{each.name}=={each.version}" for each in importlib.metadata.distributions()))
"""


def inspected(docker: Engine, image: str) -> Json:
    return dict(json.loads(docker.docker("image", "inspect", image))[0])


def python(docker: Engine, made: Images, program: str, *arguments: str) -> str:
    """Run a program in the image; what it printed."""
    start = ("run", "--rm", "--interactive", *NOBODY_HERE, "--entrypoint=python", made.courier)
    return docker.docker(*start, "-", *arguments, said=program)


def test_the_image_is_small(docker: Engine, made: Images) -> None:
    """At most 60 MiB above what it is built on."""
    size, base = (inspected(docker, image)["Size"] for image in (made.courier, made.base))
    assert 0 < (size - base) / MEBIBYTE <= 60


def test_it_is_on_the_python_that_the_dockerfile_names(docker: Engine, made: Images) -> None:
    """The same minor version as the official image, whatever the base comes from."""
    named = re.search(
        r"^ARG BASE=python:(\d+\.\d+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    assert named
    version = "import sys; print(*sys.version_info[:2], sep='.')"
    assert named[1] == python(docker, made, version)


def test_what_built_it_is_not_in_it(docker: Engine, made: Images) -> None:
    """No installer, compiler or build backend, and nobody's tests."""
    assert ["[]", "[]", "[]"] == python(docker, made, LEFT_OVER, *BUILDERS).splitlines()


def test_a_start_compiles_nothing(docker: Engine, made: Images) -> None:
    """What a start and a probe import is there as bytecode: it cannot be kept later."""
    assert "[]" == python(docker, made, NOT_COMPILED)


def test_it_runs_as_nobody_in_particular_and_is_asked_to_end_by_sigterm(
    docker: Engine, made: Images
) -> None:
    """A user by number, as "runAsNonRoot" wants it, programs without a shell, a probe."""
    config = inspected(docker, made.courier)["Config"]
    assert "10001:10001" == config["User"]
    assert "SIGTERM" == config["StopSignal"]
    assert ["/opt/courier/bin/courier"] == config["Entrypoint"]
    assert ["serve"] == config["Cmd"]
    assert ["CMD", "/opt/courier/bin/courier", "check", "--ready"] == config["Healthcheck"]["Test"]
    assert "Appliance Courier" == config["Labels"]["org.opencontainers.image.title"]
    assert None is config.get("Volumes")


def test_it_needs_no_shell_and_no_file_of_its_own(docker: Engine, made: Images) -> None:
    """Neither a start nor a probe, on a read-only root file system, without any capability."""
    run = ("run", "--rm", *NOBODY_HERE, *NO_SHELL)
    assert "courier.query-devices.v1" in docker.docker(*run, made.courier, "contracts", "list")
    assert "no courier answers at 127.0.0.1:8080" in docker.docker(
        *run, made.courier, "check", "--ready", check=False
    )
    assert "permission denied" in docker.docker(
        *run, "--entrypoint=/bin/sh", made.courier, "-c", "true", check=False
    )


def test_nothing_secret_can_get_into_it(docker: Engine, made: Images) -> None:
    """The build sees what the image is made of and nothing else, and its steps name no secret."""
    arguments = ("--file", "-", "--quiet", "--build-arg", f"BASE={made.base}", ".")
    everything = "ARG BASE\nFROM ${BASE}\nCOPY . /context\n"
    seen = docker.docker("build", *arguments, said=everything).splitlines()[-1]
    listed = ("run", "--rm", "--entrypoint=find", seen, "/context", "-maxdepth", "2")
    assert {
        "LICENSE",
        "README.md",
        "contracts",
        "contracts/asyncapi.yaml",
        "contracts/commands",
        "contracts/event-log",
        "contracts/events",
        "deploy",
        "deploy/bytecode.py",
        "deploy/install-locked.sh",
        "deploy/requirements-build.txt",
        "deploy/requirements.txt",
        "deploy/supply",
        "pyproject.toml",
    } == {
        path.removeprefix("/context/")
        for path in docker.docker(*listed).splitlines()
        if not path.startswith("/context/service") and path != "/context"
    }
    history = docker.docker("history", "--no-trunc", made.courier).lower()
    assert [] == [word for word in ("password", "secret", "token", "amqp:") if word in history]


def test_what_is_built_is_what_is_pinned(docker: Engine, made: Images) -> None:
    """Every distribution in the image has its line with hashes, and ours is the only other one."""
    pinned = {
        line.split(" ")[0].lower().replace("_", "-")
        for line in (ROOT / "deploy" / "requirements.txt").read_text().splitlines()
        if "==" in line
    }
    installed = {
        name.lower().replace("_", "-") for name in python(docker, made, DISTRIBUTIONS).split()
    }
    assert {"appliance-courier==0.1.0"} == {name for name in installed if name not in pinned}


def test_its_bill_of_materials_lists_what_is_in_it(docker: Engine, made: Images) -> None:
    """CycloneDX, made while it was built: every distribution that is there, and no other."""
    read = "import pathlib; print(pathlib.Path('/opt/courier/sbom.cdx.json').read_text())"
    bill = json.loads(python(docker, made, read))
    listed = {f"{each['name'].lower()}=={each['version']}" for each in bill["components"]}
    installed = {
        name.lower().replace("_", "-") for name in python(docker, made, DISTRIBUTIONS).split()
    }
    assert listed == {name for name in installed if not name.startswith("appliance-courier==")}
    assert ("CycloneDX", "appliance-courier") == (
        bill["bomFormat"],
        bill["metadata"]["component"]["name"],
    )
