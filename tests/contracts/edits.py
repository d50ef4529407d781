"""Any change of a schema whatever, and the messages that would show what it breaks."""

import copy
import json
from collections.abc import Iterator
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from deploy.compatibility.trees import ANNOTATIONS, Json

NEW: Final = "new-"
"""What a name or a word begins with that the published version does not know."""
_TYPES: Final = ["null", "boolean", "integer", "number", "string", "array", "object"]
_ADDED: Final[Json] = {
    "type": ["string", "null"],
    "minimum": 1,
    "maximum": 3,
    "minLength": 2,
    "maxLength": 3,
    "minItems": 1,
    "maxItems": 1,
    "uniqueItems": True,
    "pattern": "^[a-z]",
    "enum": ["new-word", None, 0],
    "const": "new-word",
    "required": ["new-field"],
    "minProperties": 4,
    "additionalProperties": False,
    "not": {"type": "string"},
    "items": {"type": "null"},
}
_BOUNDS: Final = [key for key in _ADDED if key.startswith(("min", "max"))]
_VALUES: Final[list[object]] = [None, False, True, 0, -1, 2, 1.5, 2**53, "", "new-word", [], {}]


def nodes(node: Json, place: tuple[str, ...] = ()) -> Iterator[tuple[Json, tuple[str, ...]]]:
    """Every schema within a tree, with the place in a message that it speaks of."""
    yield node, place
    for name, part in node.get("properties", {}).items():
        yield from nodes(part, (*place, name))
    if "items" in node:
        yield from nodes(node["items"], (*place, "*"))
    here = [node[key] for key in ("not", "if", "then") if key in node]
    for part in [*here, *node.get("allOf", ()), *node.get("anyOf", ())]:
        yield from nodes(part, place)


@st.composite
def edited(draw: DrawFn, whole: Json) -> tuple[Json, tuple[str, ...]]:
    """A tree in which one keyword was added, changed or left out, and the place it speaks of."""
    changed = copy.deepcopy(whole)
    node, place = draw(st.sampled_from(list(nodes(changed))))
    own = sorted(node.keys() - ANNOTATIONS - {"$id", "$schema"})
    key = draw(st.sampled_from([*own, *_ADDED] if own else sorted(_ADDED)))
    if key not in node:
        node[key] = _ADDED[key]
    elif draw(st.integers(0, 3)) == 0:
        del node[key]
    else:
        node[key] = draw(_redone(node[key], key))
    return changed, place


def _redone(value: Any, key: str) -> SearchStrategy[object]:  # noqa: ANN401  any JSON
    """Another value of a keyword."""
    if key == "properties":
        return _fields(value)
    if isinstance(value, dict):
        return st.sampled_from([{}, {"type": "null"}])
    if isinstance(value, list):
        fewer = st.sampled_from(range(len(value) or 1)).map(lambda i: value[:i] + value[i + 1 :])
        return fewer | _longer(value, key)
    if key == "type":
        return st.sampled_from(_TYPES) | st.sampled_from(_TYPES).map(lambda each: [value, each])
    if isinstance(value, int) and not isinstance(value, bool):
        return st.sampled_from([value - 1, value + 1, 0, 10 * value])
    others = ["^[a-z]*$", ""] if key == "pattern" else ["new-word", None, False, True]
    return st.sampled_from(others)


def _longer(value: list[object], key: str) -> SearchStrategy[object]:
    words: dict[str, list[object]] = {
        "type": [*_TYPES],
        "required": ["new-field", "total", "search", "traceparent", "time", "limit"],
        "enum": ["new-word", "cancelled", None, 0],
    }
    parts: list[object] = [
        {"type": "string"},
        {"required": ["new-field"]},
        {"properties": {"new-field": {"type": "string"}}},
        {"if": {"required": ["new-field"]}, "then": {"properties": {"appliance": {"not": {}}}}},
        {
            "if": {"required": ["conclusion"], "properties": {"conclusion": {"const": "failed"}}},
            "then": {"properties": {"attempts": {"const": 0}}},
        },
    ]
    return st.sampled_from(words.get(key, parts)).map(lambda each: [*value, each])


def _fields(value: Json) -> SearchStrategy[object]:
    fewer = st.sampled_from(sorted(value) or [""]).map(
        lambda name: {key: part for key, part in value.items() if key != name}
    )
    added = st.sampled_from([{"type": "string"}, {}, {"enum": [1, 2]}])
    return fewer | added.map(lambda part: {**value, "new-field": part})


def fresh(message: object) -> bool:
    """Tell whether a message says what no version says that was published."""
    return NEW in json.dumps(message)


def witnesses(message: Any, place: tuple[str, ...], said: list[object]) -> Iterator[Any]:  # noqa: ANN401  any JSON
    """Messages like one that is given, but for what stands at a place.

    Args:
        message: the one, or a part of it.
        place: where it is to differ.
        said: what the schemas say of this place: bounds, and values that they list.
    """
    if not place:
        yield message
        yield from _instead(message, said)
        return
    key, *rest = place
    if isinstance(message, list):
        for part in witnesses(message[0], tuple(rest), said) if message else ():
            yield [part, *message[1:]]
    elif isinstance(message, dict):
        if not rest:
            yield {name: part for name, part in message.items() if name != key}
        for part in witnesses(message.get(key), tuple(rest), said):
            yield {**message, key: part}


def _instead(value: Any, said: list[object]) -> Iterator[object]:  # noqa: ANN401  any JSON
    yield from [*_VALUES, *said]
    counts = [each for each in said if type(each) is int]
    for count in {count + step for count in counts for step in (-1, 0, 1)}:
        yield count
        if isinstance(value, str) and count < 6000:
            yield value[:1] * count
        if isinstance(value, list) and count < 30:
            yield value[:1] * count
    if isinstance(value, str | list):
        yield from (value[:-1], value * 2)
    if isinstance(value, dict):
        for name in value:
            yield {key: part for key, part in value.items() if key != name}
            yield from ({**value, name: part} for part in [None, 0, "x", True])
        yield from ({**value, "new-field": part} for part in ["x", 0])


def said(place: tuple[str, ...], *wholes: Json) -> list[object]:
    """The bounds and listed values that trees name at a place."""
    found: list[object] = []
    for node in (node for whole in wholes for node, here in nodes(whole) if here == place):
        found += [node[key] for key in ("const", *_BOUNDS) if key in node]
        found += node.get("enum", ())
    return found
