"""A contract's schema as one tree, its references put in, and an index of what it says where.

So that moving a definition is no change, and changing one is seen wherever it is used.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Json: TypeAlias = dict[str, Any]
Keys: TypeAlias = tuple[str, ...]

ANNOTATIONS: Final = frozenset({"title", "description", "$comment", "examples", "deprecated"})
"""Keywords that refuse nothing; free to change, but for the words of a closed list."""
NOTHING: Final[Json] = {"not": {}}
"""What `false` says as a schema; `true` says `{}`."""
_MAPS: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})
_LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SINGLE: Final = frozenset(
    {
        *("items", "contains", "additionalProperties", "propertyNames"),
        *("unevaluatedItems", "unevaluatedProperties", "not", "if", "then", "else"),
    }
)


def tree(schema: Json) -> Json:
    """Put everything that a schema refers to where it is referred to.

    Raises:
        KeyError: a reference leads nowhere.
        RecursionError: a schema refers to itself, which none of ours does.
    """
    named = {part["$id"]: part for part in schema.get("$defs", {}).values() if "$id" in part}
    return _whole(schema, named)


def asserts(node: Json) -> bool:
    """Tell whether a schema refuses anything at all."""
    return not node.keys() <= ANNOTATIONS


def canonical(value: object) -> str:
    """Write a value so that equal ones are written alike; 1 and true are not equal here."""
    return json.dumps(value, sort_keys=True)


def joined(own: Json, target: Json) -> Json:
    """Say in one schema what a reference and what stands beside it say."""
    beside = own.keys() - ANNOTATIONS
    words = " ".join(each["description"] for each in (own, target) if "description" in each)
    # Keywords that heed one another, such as properties and additionalProperties, are kept apart.
    if beside & (target.keys() | _MAPS | _LISTS | _SINGLE):
        return own | {"allOf": [*own.get("allOf", ()), target]}
    return target | own | ({"description": words} if words else {})


def _whole(part: Json | bool, places: Json) -> Json:
    if isinstance(part, bool):
        return {} if part else NOTHING
    # What has an $id of its own, as the payload has, refers to its own definitions.
    places = places | {f"#/$defs/{name}": each for name, each in part.get("$defs", {}).items()}
    own = {
        key: _value(key, value, places)
        for key, value in part.items()
        if key not in {"$defs", "$ref"}
    }
    return joined(own, _whole(places[part["$ref"]], places)) if "$ref" in part else own


def _value(key: str, value: Any, places: Json) -> object:  # noqa: ANN401  any JSON
    if key in _MAPS:
        return {name: _whole(part, places) for name, part in value.items()}
    if key in _LISTS:
        return [_whole(part, places) for part in value]
    return _whole(value, places) if key in _SINGLE else value


@dataclass(frozen=True)
class Index:
    """What a schema says anywhere about a place in its messages.

    Attributes:
        fields: those that it names, by their whole path.
        values: those that it names at a path, canonically.
    """

    fields: frozenset[Keys]
    values: frozenset[tuple[Keys, str]]

    @classmethod
    def of(cls, whole: Json) -> Index:
        """Look through a tree, conditions and exclusions as well."""
        said = list(_said(whole, ()))
        return cls(
            frozenset(keys for keys, value in said if value is None),
            frozenset((keys, value) for keys, value in said if value is not None),
        )


def _said(node: Json, keys: Keys) -> Iterator[tuple[Keys, str | None]]:
    for value in [*node.get("enum", ()), *([node["const"]] if "const" in node else ())]:
        yield keys, canonical(value)
    for name, part in node.get("properties", {}).items():
        yield from _said(part, (*keys, name))
    for name in [*node.get("properties", ()), *node.get("required", ())]:
        yield (*keys, name), None
    if "items" in node:
        yield from _said(node["items"], (*keys, "*"))
    here = [node[key] for key in ("not", "if", "then") if key in node]
    for part in [*here, *node.get("allOf", ()), *node.get("anyOf", ())]:
        yield from _said(part, keys)
