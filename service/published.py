"""The contracts as they are published: files that are shown, and by which no message is read."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def root() -> Traversable:
    """Find the contracts: inside the installed package, or beside it in a checkout."""
    packaged = files("service") / "contracts"
    return packaged if packaged.is_dir() else files("service") / ".." / "contracts"


def schemas() -> dict[str, Traversable]:
    """List the schema files by the type of the messages that they describe."""
    found = {}
    for kind in ("commands", "events"):
        for folder in sorted((root() / kind).iterdir(), key=lambda item: item.name):
            for file in folder.iterdir():
                if file.name.endswith(".schema.json"):
                    found[f"courier.{folder.name}.{file.name.split('.')[0]}"] = file
    log = root() / "event-log" / "v1.schema.json"
    return found | ({"event-log.v1": log} if log.is_file() else {})
