"""`make setup` installs the lock file, whatever the package index has released since."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
BACKEND: Final = '''\
"""Builds the project without downloading anything."""
import zipfile

def build_editable(directory, settings=None, metadata=None):
    name, info = "tiny-1.0-py3-none-any.whl", "tiny-1.0.dist-info/"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as wheel:
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
'''
PROJECT: Final = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny"
version = "1.0"
"""


class Index:
    """A package index on disk, as pip reads one at a `file:` address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def release(self, name: str, version: str, *requirements: str) -> str:
        """Publish a release; return its line for a lock file."""
        file = self.folder / name / f"{name}-{version}-py3-none-any.whl"
        file.parent.mkdir(parents=True, exist_ok=True)
        info = f"{name}-{version}.dist-info"
        extras = {extra for each in requirements for extra in re.findall(r'extra == "(\w+)"', each)}
        metadata = [
            *("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"),
            *(f"Provides-Extra: {extra}" for extra in sorted(extras)),
            *(f"Requires-Dist: {each}" for each in requirements),
        ]
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        with zipfile.ZipFile(file, "w") as wheel:
            record = []
            for path, text in (("METADATA", "\n".join(metadata) + "\n"), ("WHEEL", tags)):
                wheel.writestr(f"{info}/{path}", text)
                code = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
                record.append(f"{info}/{path},sha256={code.rstrip('=')},{len(text)}")
            wheel.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,"]) + "\n")
        links = "".join(f'<a href="{each.name}">{each.name}</a>' for each in file.parent.iterdir())
        (file.parent / "index.html").write_text(links)
        return f"{name}=={version} --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"


class Clone:
    """A clone of a small project that has this one's Makefile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = Index(folder / "index")
        (folder / "deploy").mkdir()
        shutil.copy(ROOT / "Makefile", folder)
        shutil.copy(ROOT / "deploy/install-locked.sh", folder / "deploy")
        (folder / "pyproject.toml").write_text(PROJECT)
        (folder / "backend.py").write_text(BACKEND)

    def setup(self, lock: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "deploy/requirements-test.txt").write_text(lock)
        theirs = {name: each for name, each in os.environ.items() if not name.startswith("PIP_")}
        pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": self.index.folder.as_uri()}
        return subprocess.run(
            ["make", "setup", f"PYTHON={sys.executable}"],
            cwd=self.folder,
            env={**theirs, **pip},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def installed(self) -> set[str]:
        (site,) = self.folder.glob(".venv*/lib/python3*/site-packages")
        found = {each.name.removesuffix(".dist-info") for each in site.glob("*.dist-info")}
        return {each for each in found if not each.startswith(("pip-", "setuptools-", "tiny-"))}


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def locked(index: Index) -> dict[str, str]:
    """Lines of a lock by name: a package wants an extra of another one, which wants a third."""
    return {
        "runner": index.release("runner", "1.0", "cover[toml]>=1.0"),
        "cover": index.release("cover", "1.0", 'tomler>=1.0; extra == "toml"'),
        "tomler": index.release("tomler", "1.0"),
    }


def test_a_lock_is_installed_when_everything_has_newer_releases(clone: Clone) -> None:
    """A clone that was set up once is set up by the same files on any later day."""
    lock = locked(clone.index)
    clone.index.release("runner", "1.1", "cover[toml]>=1.1")
    clone.index.release("cover", "1.1", 'tomler>=1.1; extra == "toml"')
    clone.index.release("tomler", "1.1")
    done = clone.setup("".join(lock.values()))
    assert done.returncode == 0, done.stdout
    assert {"runner-1.0", "cover-1.0", "tomler-1.0"} == clone.installed()


def test_an_incomplete_lock_is_refused(clone: Clone) -> None:
    """What is missing is named, and not downloaded."""
    done = clone.setup(locked(clone.index)["runner"])
    assert done.returncode != 0
    assert "runner 1.0 requires cover, which is not installed" in done.stdout
    assert {"runner-1.0"} == clone.installed()


def test_a_release_that_was_replaced_is_refused(clone: Clone) -> None:
    """A file of the same name and version with other content is not installed."""
    lock = "".join(locked(clone.index).values())
    clone.index.release("cover", "1.0", 'tomler>=1.0; extra == "toml"', "tomler>=0.9")
    done = clone.setup(lock)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stdout
    assert set() == clone.installed()


def test_requirement_files_are_installed_in_one_place() -> None:
    """Makefile, image and documents call the script that does not resolve."""
    install = re.compile(r"install\b[^\n]*(?:\s-r\s|--requirement|--require-hashes)")
    files = subprocess.run(
        ["git", "ls-files", "Makefile", "Dockerfile", ".ci", ".github", "*.md", "deploy", "tests"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    texts = {name: (ROOT / name).read_text("utf-8", "replace") for name in files}
    found = {name for name, text in texts.items() if install.search(text)}
    assert {"deploy/install-locked.sh"} == found - {"tests/system/test_setup.py"}
