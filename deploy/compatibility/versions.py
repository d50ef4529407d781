"""What was published: a plain copy of the contracts and their examples for each version.

`contracts/published/digests.json` has the SHA-256 of each copy, so that none is changed by mistake.
"""

from __future__ import annotations

import json
import re
import shutil
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from deploy.compatibility.rules import Finding, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS: Final = ("commands", "event-log", "events")
FOLDER: Final = "published"
DIGESTS: Final = "digests.json"
ASYNCAPI: Final = "asyncapi.yaml"
_DRAFT: Final = "draft-"
_VERSION: Final = re.compile(r"draft-[1-9]\d*|\d+\.\d+\.\d+")
_SCHEMA: Final = ".schema.json"


class NotPublished(Exception):
    """A version cannot be recorded under this name, or none is recorded yet. Choose another one."""


def contracts(folder: Path) -> dict[str, Path]:
    """List the schemas in a folder, by names such as `events/command.rejected/v1`."""
    return {
        file.relative_to(folder).as_posix().removesuffix(_SCHEMA): file
        for kind in KINDS
        for file in sorted((folder / kind).rglob(f"*{_SCHEMA}"))
    }


def examples(schema: Path) -> list[Path]:
    """List the examples of a contract."""
    return sorted(schema.with_name(schema.name.replace(_SCHEMA, ".examples")).glob("*.json"))


def published(folder: Path) -> list[str]:
    """List the published versions, the newest one last."""
    copies = (each.name for each in (folder / FOLDER).glob("*") if each.is_dir())
    return sorted(copies, key=_age)


def newest(folder: Path) -> str:
    """Name the version that was published last.

    Raises:
        NotPublished: none was.
    """
    versions = published(folder)
    if not versions:
        raise NotPublished("nothing is published yet: python -m deploy.compatibility --publish ...")
    return versions[-1]


def released(folder: Path) -> bool:
    """Tell whether a version was published that is no draft."""
    return any(not each.startswith(_DRAFT) for each in published(folder))


def _age(version: str) -> tuple[bool, list[int]]:
    return not version.startswith(_DRAFT), [int(each) for each in re.findall(r"\d+", version)]


def publish(folder: Path, version: str) -> None:
    """Record the contracts as they are.

    Raises:
        NotPublished: the version is named otherwise than the others, or is not newer than they are.
    """
    if not _VERSION.fullmatch(version):
        raise NotPublished(f"{version}: a version is named draft-5 or 1.0.0")
    recorded = folder / FOLDER / DIGESTS
    digests = json.loads(recorded.read_text("utf-8")) if recorded.exists() else {}
    if not all(_age(each) < _age(version) for each in digests):
        raise NotPublished(f"{version}: {newest(folder)} is published, and stays as it is")
    copy = folder / FOLDER / version
    shutil.rmtree(copy, ignore_errors=True)  # what an interrupted call left there
    for file in _files(folder):
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / file, copy / file)
    digests[version] = digest(copy)
    recorded.write_text(json.dumps(digests, indent=2) + "\n", "utf-8")


def digest(copy: Path) -> str:
    """Compute what tells one copy from every other: the SHA-256 of its files' names and SHA-256."""
    lines = [f"{sha256((copy / file).read_bytes()).hexdigest()}  {file}\n" for file in _files(copy)]
    return sha256("".join(lines).encode()).hexdigest()


def _files(folder: Path) -> list[str]:
    found = [folder / ASYNCAPI]
    for schema in contracts(folder).values():
        found += [schema, *examples(schema)]
    return sorted(file.relative_to(folder).as_posix() for file in found)


def changed(folder: Path) -> Iterator[Finding]:
    """Find what is not any more as it was published."""
    recorded: dict[str, str] = json.loads((folder / FOLDER / DIGESTS).read_text("utf-8"))
    copies = {each: digest(folder / FOLDER / each) for each in published(folder)}
    for version in sorted(recorded.keys() | copies.keys()):
        if recorded.get(version) != copies.get(version):
            yield Finding(f"{FOLDER}/{version}", Rule.PUBLISHED_CHANGED)
