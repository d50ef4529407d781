"""What a contract's schema says of its fields, flat: nested ones by their path."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.asyncapi.document import Json

_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "{} characters or more",
    "maxLength": "{} characters or fewer",
    "maxItems": "{} items or fewer",
    "pattern": "pattern {}",
    "default": "default {}",
}


@dataclass(frozen=True)
class Field:
    """A field of a message.

    Attributes:
        path: its name, with those above it, such as `data.file.name`; a list's entries are `[]`.
        required: it is always there, if what is above it is there.
        kind: its JSON types, or its values where they are listed.
        limits: what else is asked of it.
    """

    path: str
    required: bool
    kind: str
    description: str
    limits: tuple[str, ...]


def fields(schema: Json) -> Iterator[Field]:
    """List the fields of the whole message, in the contract's order."""
    named = {each["$id"]: each for each in schema["$defs"].values() if "$id" in each}
    yield from _below(schema, "", named)


def _below(schema: Json, path: str, places: dict[str, Json]) -> Iterator[Field]:
    # What has an $id of its own, as the payload has, refers to its own definitions.
    places = places | {f"#/$defs/{name}": each for name, each in schema.get("$defs", {}).items()}
    for name, given in schema.get("properties", {}).items():
        found = _whole(given, places)
        here = f"{path}{name}"
        yield Field(
            here,
            name in schema.get("required", ()),
            _kind(found),
            found.get("description", ""),
            tuple(_limits(found)),
        )
        yield from _below(found, f"{here}.", places)
        if "items" in found:
            yield from _below(_whole(found["items"], places), f"{here}[].", places)


def _whole(given: Json, places: dict[str, Json]) -> Json:
    """Put together what a field says itself and what it refers to; its own words win."""
    found: dict[str, Any] = {}
    for each in given.get("anyOf", ()):
        resolved = _whole(each, places)
        types = [*_types(found), *_types(resolved)]
        found |= resolved | ({"type": types} if types else {})
    if "$ref" in given:
        found |= _whole(places[given["$ref"]], places)
    return found | given


def _types(schema: Json) -> list[str]:
    given = schema.get("type", [])
    return [given] if isinstance(given, str) else list(given)


def _kind(schema: Json) -> str:
    if "const" in schema:
        return _word(schema["const"])
    if "enum" in schema:
        return " | ".join(map(_word, schema["enum"]))
    return " | ".join(_types(schema)) or "any"


def _limits(schema: Json) -> Iterator[str]:
    for name, words in _LIMITS.items():
        if name in schema:
            value = schema[name]
            yield words.format(value if name == "pattern" else _word(value))


def _word(value: object) -> str:
    """Write a value as JSON does, but a text without its quotes."""
    return value if isinstance(value, str) else json.dumps(value)
