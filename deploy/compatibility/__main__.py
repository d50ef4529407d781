"""Runs the gate, or records a version; see `deploy.compatibility`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.compatibility.gate import findings
from deploy.compatibility.versions import NotPublished, contracts, newest, publish, released

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTRACTS: Final = Path(__file__).parents[2] / "contracts"


def main(arguments: Sequence[str] | None = None) -> int:
    """Say what is found; exit code 1 when there is something, or when nothing can be recorded."""
    parser = argparse.ArgumentParser(prog="python -m deploy.compatibility")
    parser.add_argument("--contracts", type=Path, default=CONTRACTS, help="another folder of them")
    parser.add_argument("--publish", metavar="VERSION", help="record them: 1.0.0, draft-5")
    asked = parser.parse_args(arguments)
    try:
        if asked.publish:
            return _publish(asked.contracts, asked.publish)
        return _check(asked.contracts)
    except NotPublished as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _check(folder: Path) -> int:
    found, version = findings(folder), newest(folder)
    for each in found:
        sys.stdout.write(f"{each}\n")
    if found:
        sys.stdout.write(f"not compatible with {version}; findings: {len(found)}\n")
    else:
        sys.stdout.write(f"compatible with {version}: {len(contracts(folder))} contracts\n")
    return 1 if found else 0


def _publish(folder: Path, version: str) -> int:
    # A draft may break with the one before it; what was released may not.
    if released(folder) and _check(folder):
        return 1
    publish(folder, version)
    sys.stdout.write(f"published {version}: {len(contracts(folder))} contracts\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
