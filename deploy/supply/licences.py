"""The page LICENSES.md: `python -m deploy.supply.licences` writes it anew."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.supply.parts import parts, pins

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE: Final = Path(__file__).parents[1] / "LICENSES.md"
ALLOWED: Final = frozenset(
    {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0"}
)
"""What may be shipped with this product without another thought; MPL-2.0 binds its own files."""
ELSEWHERE: Final = {"colorama": "BSD-3-Clause"}
"""What is pinned for other platforms, and so cannot be looked up on this one."""
_HEAD: Final = """\
# What this is made of

The distributions in [`requirements.txt`](requirements.txt), which are installed with the service,
and their licences in SPDX's words. `make licences` writes this page from what the distributions say
themselves; a test compares it and refuses a licence that nobody has thought about. The versions and
hashes stand in the bill of materials: `make sbom`.

| distribution | licence |
|---|---|
"""


def licences() -> dict[str, str]:
    """Say the licence of everything that is pinned."""
    here = {part.pin.name: part.licence for part in parts()}
    return {pin.name: here.get(pin.name) or ELSEWHERE.get(pin.name, "unknown") for pin in pins()}


def refused(found: Mapping[str, str]) -> list[str]:
    """Name what may not be shipped: of several to choose from one must be allowed, of all each."""
    return [name for name, expression in found.items() if not _is_allowed(expression)]


def _is_allowed(expression: str) -> bool:
    choices = re.split(r" OR ", expression)
    return any(all(each in ALLOWED for each in re.split(r" AND ", one)) for one in choices)


def page(found: Mapping[str, str]) -> str:
    """Write the page."""
    rows = [f"| {name} | {licence} |\n" for name, licence in found.items()]
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(licences()), "utf-8")
