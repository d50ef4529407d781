"""Renders a kustomization the way that `kubectl kustomize` does, as far as ours go.

Debian's kubectl is older than the words that are used there, and no other one can be had
everywhere. So this does the little that is needed and refuses the rest; that it is the same is
recorded: `python -m tests.support.kustomize` compares it with a kubectl and writes a digest down.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

Json: TypeAlias = dict[str, Any]

MANIFESTS: Final = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS: Final = ("postgresql", "sqlite", "autoscaled")
"""What is applied; `base` alone has no ledger."""
RECORD: Final = Path(__file__).parent / "kubernetes" / "rendered.json"
_KNOWN: Final = frozenset({"apiVersion", "kind", "namespace", "resources", "patches"})
_KEYS: Final = {
    "containers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
}
"""Lists whose members are merged by a field; any other list is replaced as a whole."""
_CLUSTER_WIDE: Final = frozenset({"Namespace"})


class NotKnown(Exception):
    """A kustomization says something that this renderer does not know."""


def render(folder: Path) -> list[Json]:
    """Give the objects of a kustomization.

    Raises:
        NotKnown: it uses more of kustomize than is done here.
    """
    (kustomization,) = documents(folder / "kustomization.yaml")
    if unknown := set(kustomization) - _KNOWN:
        raise NotKnown(f"{folder.name}: {', '.join(sorted(unknown))}")
    objects: list[Json] = []
    for name in kustomization["resources"]:
        place = folder / name
        objects += render(place.resolve()) if place.is_dir() else documents(place)
    for patch in kustomization.get("patches", ()):
        if set(patch) != {"path"}:
            raise NotKnown(f"{folder.name}: a patch by anything but a path")
        for change in documents(folder / patch["path"]):
            (index,) = [at for at, each in enumerate(objects) if identity(each) == identity(change)]
            objects[index] = _merged(objects[index], change)
    for each in objects:
        if each["kind"] not in _CLUSTER_WIDE:
            each["metadata"]["namespace"] = kustomization["namespace"]
    return objects


def documents(path: Path) -> list[Json]:
    """Read a file of manifests."""
    return [each for each in yaml.safe_load_all(path.read_text("utf-8")) if each]


def identity(each: Json) -> tuple[str, str]:
    """What an object is called; all of ours are in one namespace."""
    return each["kind"], each["metadata"]["name"]


def _merged(old: Json, change: Json) -> Json:
    made = dict(old)
    for name, value in change.items():
        if value is None:
            made.pop(name, None)
        elif isinstance(value, dict) and isinstance(made.get(name), dict):
            made[name] = _merged(made[name], value)
        elif name in _KEYS and name in made:
            made[name] = _merged_lists(made[name], value, _KEYS[name])
        else:
            made[name] = value
    return made


def _merged_lists(old: list[Json], changes: list[Json], key: str) -> list[Json]:
    by_key = {each[key]: each for each in changes}
    kept = [_merged(each, by_key.pop(each[key], {})) for each in old]
    return [*by_key.values(), *kept]  # what is new comes first, as it does there


def digest(objects: list[Json]) -> str:
    """Sum up what was rendered, whatever the order of the objects."""
    text = json.dumps(sorted(objects, key=identity), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> int:
    """Compare with kubectl, and record the digests."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        sys.exit("There is no kubectl (with kustomize 5 or newer) in PATH.")
    recorded = {}
    for name in OVERLAYS:
        folder = MANIFESTS / name
        done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, check=True)
        theirs = digest(list(yaml.safe_load_all(done.stdout)))
        if theirs != digest(render(folder)):
            sys.exit(f"{name} is not rendered as kubectl does it.")
        recorded[name] = theirs
    RECORD.write_text(json.dumps(recorded, indent=2) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
