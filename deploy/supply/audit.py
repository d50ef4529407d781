"""Looks the requirements up among known vulnerabilities: `python -m deploy.supply.audit`.

Exit code 1 when one is known. Where the database cannot be had that is no failure, but it is said
aloud, for nobody may take it for a good answer.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from deploy.supply.parts import PINNED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_AUDIT: Final = (
    *(sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"),
    *("--progress-spinner", "off", "--timeout", "10", "--format", "json", "--requirement"),
)
_PATIENCE: Final = 240.0
"""Seconds for all of them."""
_RULE: Final = "!" * 78


@dataclass
class Result:
    """What came of it.

    Attributes:
        audited: distributions that the database knows.
        skipped: those that it could not be asked about.
        known: one line per vulnerability.
    """

    audited: int = 0
    skipped: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)


def read(report: dict[str, Any]) -> Result:
    """Read what pip-audit says."""
    result = Result()
    for each in report["dependencies"]:
        if "skip_reason" in each:
            result.skipped.append(each["name"])
            continue
        result.audited += 1
        result.known += [
            f"{each['name']} {each['version']}: {one['id']}, mended in"
            f" {', '.join(one['fix_versions']) or 'no version yet'}"
            for one in each["vulns"]
        ]
    return result


def run(command: Sequence[str], *, patience: float = _PATIENCE) -> Result | str:
    """Ask; or say in one sentence why that could not be done."""
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments, no shell
            command, capture_output=True, text=True, timeout=patience, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it did not end within {patience:g} s"
    try:
        return read(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError):
        return (done.stderr.strip().splitlines() or ["it said nothing"])[-1]


def told(result: Result | str) -> tuple[str, int]:
    """Say what came of it, and the exit code."""
    if isinstance(result, str):
        return _aloud(f"pip-audit was NOT DONE: {result}"), 0
    if result.known:
        return "\n".join(["Known vulnerabilities:", *result.known]), 1
    if not result.audited:
        return _aloud("pip-audit was NOT DONE: the database of vulnerabilities cannot be had"), 0
    done = f"pip-audit: {result.audited} distributions, no known vulnerability"
    if result.skipped:
        return _aloud(f"{done}; NOT ASKED ABOUT: {', '.join(result.skipped)}"), 0
    return done, 0


def _aloud(text: str) -> str:
    return f"{_RULE}\n{text}\n{_RULE}"


def main(path: Path = PINNED) -> int:
    """Do it, and say so."""
    text, exit_code = told(run([*_AUDIT, str(path)]))
    sys.stdout.write(f"{text}\n")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
