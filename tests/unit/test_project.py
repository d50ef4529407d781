"""What pyproject.toml declares agrees with the tree and with the lock files."""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement

from deploy.supply.parts import canonical, pins

ROOT: Final = Path(__file__).parents[2]
PYPROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT: Final[dict[str, Any]] = PYPROJECT["project"]
CLASSIFIERS: Final[list[str]] = PROJECT["classifiers"]
EXTRAS: Final[dict[str, list[str]]] = PROJECT["optional-dependencies"]
GROUPS: Final[dict[str, list[str]]] = PYPROJECT["dependency-groups"]
LOWEST: Final = PROJECT["requires-python"].removeprefix(">=")
LOCKS: Final = sorted((ROOT / "deploy").glob("requirements*.txt"))


def versions(*locks: str) -> dict[str, set[str]]:
    """The versions of each name in some lock files."""
    found: dict[str, set[str]] = defaultdict(set)
    for lock in locks:
        for pin in pins(ROOT / "deploy" / lock):
            found[canonical(pin.name)].add(pin.version)
    return found


def not_locked(declared: Iterable[str], locked: dict[str, set[str]]) -> list[str]:
    """The requirements of which no version, or one that is not allowed, is locked."""
    return [
        each
        for each in declared
        if not (found := locked.get(canonical(Requirement(each).name), set()))
        or not all(Requirement(each).specifier.contains(one) for one in found)
    ]


def test_the_type_marker_is_there_if_types_are_promised() -> None:
    """A type checker ignores the annotations of a package without `py.typed`."""
    assert ("Typing :: Typed" in CLASSIFIERS) == (ROOT / "service" / "py.typed").exists()


def test_the_files_that_a_package_index_shows_are_there() -> None:
    """The description is the README, and the licence goes with the package."""
    named = [PROJECT["readme"], *PROJECT["license-files"]]
    assert [] == [name for name in named if not (ROOT / name).is_file()]
    assert (ROOT / "LICENSE").read_text("utf-8").startswith(f"{PROJECT['license']} License")


def test_the_lowest_python_is_the_same_everywhere() -> None:
    """Package, linter, set-up and lock files agree on it, and classifiers name no lower one."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    linter: str = PYPROJECT["tool"]["ruff"]["target-version"]
    classified = re.findall(r"Python :: 3\.(\d+)$", "\n".join(CLASSIFIERS), re.MULTILINE)
    assert LOWEST == linter.replace("py3", "3.")
    assert [LOWEST] == re.findall(r"--python-version (\S+)", makefile)
    assert set(re.findall(r"version_info < \(3, (\d+)\)", makefile)) <= {LOWEST[2:]}
    assert not classified or LOWEST == f"3.{min(map(int, classified))}"


@pytest.mark.parametrize(
    ("declared", "locks"),
    [
        (PROJECT["dependencies"], ("requirements.txt",)),
        ([*PROJECT["dependencies"], *EXTRAS["docker"]], ("requirements-test.txt",)),
        (GROUPS["test"], ("requirements-test.txt",)),
        (GROUPS["bench"], ("requirements-bench.txt",)),
        (PYPROJECT["build-system"]["requires"], ("requirements-build.txt",)),
    ],
    ids=["service", "service with extra", "test", "bench", "build"],
)
def test_what_is_declared_is_locked(declared: list[str], locks: tuple[str, ...]) -> None:
    """`make requirements` was run after the last change of pyproject.toml."""
    assert [] == not_locked(declared, versions(*locks))


@pytest.mark.parametrize("declared", ["b>=1", "a>=2", "a==1.1", "A[extra]<1"])
def test_what_is_not_locked_is_found(declared: str) -> None:
    """A name that is missing, and a version that is not allowed."""
    assert [] == not_locked(["a", "A>=1"], {"a": {"1.0"}})
    assert [declared] == not_locked([declared], {"a": {"1.0"}})


def test_lock_files_agree() -> None:
    """A name has the same versions in each lock file: one can be installed over another."""
    every = versions(*(lock.name for lock in LOCKS))
    differing = [
        f"{lock.name}: {name} is {', '.join(sorted(found))}"
        for lock in LOCKS
        for name, found in versions(lock.name).items()
        if found != every[name]
    ]
    assert [] == differing
