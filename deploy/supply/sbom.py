"""The bill of materials: `python -m deploy.supply.sbom [FILE]` writes CycloneDX 1.6 as JSON.

Run it where the service is installed, such as in the image's build stage: it lists the pinned
distributions as they are there, with their licences and the hashes that they were checked against.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import NAMESPACE_URL, uuid5

from deploy.supply.parts import UNKNOWN, parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.supply.parts import Part

Json: TypeAlias = dict[str, object]

PRODUCT: Final = "appliance-courier"


def document(found: Sequence[Part], version: str) -> Json:
    """Make the bill; the same parts make the same one, byte for byte."""
    components = [_component(part) for part in found]
    refs = {part.pin.name: _purl(part.pin.name, part.pin.version) for part in found}
    own = _purl(PRODUCT, version)
    dependencies = [{"ref": own, "dependsOn": sorted(refs.values())}]
    dependencies += [
        {"ref": refs[part.pin.name], "dependsOn": sorted(refs[n] for n in part.needs if n in refs)}
        for part in found
    ]
    # Not random: whoever builds the same again gets the same bill.
    serial = uuid5(NAMESPACE_URL, json.dumps([own, components], sort_keys=True))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": PRODUCT,
                "version": version,
                "purl": own,
                "licenses": [{"license": {"id": "MIT"}}],
            }
        },
        "components": components,
        "dependencies": dependencies,
    }


def _component(part: Part) -> Json:
    ref = _purl(part.pin.name, part.pin.version)
    component: Json = {
        "type": "library",
        "bom-ref": ref,
        "name": part.pin.name,
        "version": part.pin.version,
        "purl": ref,
        "externalReferences": [
            {
                "type": "distribution",
                "url": ref,
                "hashes": [{"alg": "SHA-256", "content": each} for each in part.pin.hashes],
            }
        ],
    }
    if part.licence != UNKNOWN:
        component["licenses"] = [{"expression": part.licence}]
    return component


def _purl(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version}"


def main(arguments: Sequence[str]) -> None:
    """Write the bill to a file, or to standard output."""
    text = json.dumps(document(parts(), metadata.version(PRODUCT)), indent=2) + "\n"
    if arguments:
        Path(arguments[0]).write_text(text, "utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
