"""The distributions that are pinned, as they are installed here.

Only Python's own library is needed, so that it runs while an image is built.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

PINNED: Final = Path(__file__).parents[1] / "requirements.txt"
_PIN: Final = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\\n]*[^\\\s]))?.*(?:\n .*)*",
    re.MULTILINE,
)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_CLASSIFIED: Final = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_WRITTEN: Final = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "ISC License": "ISC",
}
"""How some say it who do not say it in SPDX's words."""
_SPDX: Final = re.compile(r"[A-Za-z0-9.-]+(?: (?:AND|OR|WITH) [A-Za-z0-9.-]+)*")
UNKNOWN: Final = "unknown"


@dataclass(frozen=True)
class Pin:
    """One line of the requirements.

    Attributes:
        marker: where it is needed; empty for everywhere.
        hashes: SHA-256 of every file that may be installed.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """A pinned distribution that is installed.

    Attributes:
        licence: an SPDX expression, or `unknown`.
        needs: the names of others that it says it requires.
    """

    pin: Pin
    licence: str
    needs: tuple[str, ...]


def pins(path: Path = PINNED) -> list[Pin]:
    """Read a file of requirements."""
    return parse(path.read_text("utf-8"))


def parse(text: str) -> list[Pin]:
    """Parse the text of a file of requirements."""
    return [
        Pin(found["name"], found["version"], found["marker"] or "", tuple(_HASH.findall(found[0])))
        for found in _PIN.finditer(text)
    ]


def parts(path: Path = PINNED) -> list[Part]:
    """Look the pinned distributions up where this runs.

    What is pinned for other platforms only is left out.

    Raises:
        LookupError: one is not installed, or in another version.
    """
    found = []
    for pin in pins(path):
        try:
            installed = metadata.metadata(pin.name)
        except metadata.PackageNotFoundError:
            if pin.marker:
                continue
            raise LookupError(f"{pin.name} is pinned and not installed") from None
        if installed["Version"] != pin.version:
            raise LookupError(f"{pin.name} is {installed['Version']}, and {pin.version} is pinned")
        needs = {
            canonical(re.split(r"[^\w.-]", each, maxsplit=1)[0]) for each in _required(installed)
        }
        found.append(Part(pin, licence_of(installed), tuple(sorted(needs))))
    return found


def canonical(name: str) -> str:
    """Write a name the one way that all indexes know."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(installed: metadata.PackageMetadata) -> str:
    """Say the licence as an SPDX expression; `unknown` if the distribution does not tell."""
    if "License-Expression" in installed:
        return installed["License-Expression"]
    written = installed["License"].strip() if "License" in installed else ""
    if written in _WRITTEN:
        return _WRITTEN[written]
    if written and _SPDX.fullmatch(written):
        return written
    named = [each.rpartition(" :: ")[2] for each in installed.get_all("Classifier") or ()]
    known = sorted({_CLASSIFIED[each] for each in named if each in _CLASSIFIED})
    return " OR ".join(known) or UNKNOWN


def _required(installed: metadata.PackageMetadata) -> list[str]:
    """List what is needed without extras."""
    lines = [str(each) for each in installed.get_all("Requires-Dist") or ()]
    return [each for each in lines if "extra ==" not in each]
