"""Prints what changed in the lock files: `python -m deploy.supply.changes [REVISION]`.

Each file is compared with the one in a Git revision, by default the last commit.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from deploy.supply.parts import PINNED, parse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deploy.supply.parts import Pin

_NOTHING: Final = "-"


def changes(before: str, after: str) -> list[tuple[str, str, str]]:
    """Compare two lock files.

    Returns:
        name, old and new version of each package that was added, removed or changed. A version has
        its marker; of the same versions with other files the new one ends in `(other hashes)`.
    """
    old, new = _by_name(before), _by_name(after)
    return [
        (name, was := _shown(old[name]), _shown(new[name], other_than=was))
        for name in sorted(old.keys() | new.keys())
        if old[name] != new[name]
    ]


def _by_name(text: str) -> defaultdict[str, list[Pin]]:
    found = defaultdict[str, list["Pin"]](list)
    for pin in parse(text):
        found[pin.name].append(pin)
    return found


def _shown(found: Sequence[Pin], *, other_than: str = "") -> str:
    versions = (f"{pin.version} ; {pin.marker}" if pin.marker else pin.version for pin in found)
    text = ", ".join(versions) or _NOTHING
    return f"{text} (other hashes)" if text == other_than else text


def table(title: str, rows: Sequence[tuple[str, str, str]]) -> str:
    """Format the changes of one lock file, a line for each package."""
    if not rows:
        return f"{title}: no change\n"
    wide, old_wide = (max(len(row[column]) for row in rows) for column in (0, 1))
    lines = [f"  {name:{wide}}  {old:>{old_wide}} → {new}\n" for name, old, new in rows]
    return "".join([f"{title}:\n", *lines])


def committed(path: Path, revision: str) -> str:
    """Read a file as it is in a revision; empty if it is not there.

    Raises:
        LookupError: the directory is no Git work tree, or has no such revision.
    """
    if _git(path.parent, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").returncode:
        raise LookupError(f"{path.parent} has no Git revision {revision}")
    return _git(path.parent, "show", f"{revision}:./{path.name}").stdout


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own arguments, no shell
        ["git", "-C", str(folder), *arguments],  # noqa: S607 - the Git of whoever calls it
        capture_output=True,
        text=True,
        check=False,
    )


def main(revision: str, folder: Path = PINNED.parent) -> None:
    """Print the changes of each lock file."""
    for path in sorted(folder.glob("requirements*.txt")):
        title = f"{folder.name}/{path.name}"
        rows = changes(committed(path, revision), path.read_text("utf-8"))
        sys.stdout.write(table(title, rows))


if __name__ == "__main__":
    try:
        main(sys.argv[1] if sys.argv[1:] else "HEAD")
    except LookupError as error:
        sys.exit(f"The changes are not shown: {error}")
