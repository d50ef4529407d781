"""JSON as it stands in a text: an object may have a key twice, and a value may be no JSON."""

import json
from typing import TypeAlias

Node: TypeAlias = (
    "tuple[tuple[str, Node], ...] | list[Node] | str | int | float | bool | Raw | None"
)


class Raw:
    """A piece of text that stands where a value should."""

    def __init__(self, text: str) -> None:
        self.text = text


def of_json(value: object) -> Node:
    """Make a tree of what was parsed."""
    if isinstance(value, dict):
        return tuple((str(key), of_json(each)) for key, each in value.items())
    if isinstance(value, list):
        return [of_json(each) for each in value]
    assert isinstance(value, str | int | float | None)
    return value


def text_of(node: Node, *, ascii_only: bool = True) -> str:
    """Write it down; what is raw stands as it is."""
    if isinstance(node, Raw):
        return node.text
    if isinstance(node, tuple):
        inside = (f"{_quoted(k, ascii_only)}:{text_of(v, ascii_only=ascii_only)}" for k, v in node)
        return "{" + ",".join(inside) + "}"
    if isinstance(node, list):
        return "[" + ",".join(text_of(each, ascii_only=ascii_only) for each in node) + "]"
    return json.dumps(node, ensure_ascii=ascii_only)


def _quoted(key: str, ascii_only: bool) -> str:
    # A key that is written with escapes is the same key.
    return key if key.startswith('"') else json.dumps(key, ensure_ascii=ascii_only)


def places(node: Node, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """List the ways to every value, the whole included."""
    found = [path]
    if isinstance(node, tuple):
        for index, (_, each) in enumerate(node):
            found += places(each, (*path, index))
    elif isinstance(node, list):
        for index, each in enumerate(node):
            found += places(each, (*path, index))
    return found


def at(node: Node, path: tuple[int, ...]) -> Node:
    """Give the value at a place."""
    for index in path:
        if isinstance(node, tuple):
            node = node[index][1]
        elif isinstance(node, list):
            node = node[index]
    return node


def put(node: Node, path: tuple[int, ...], value: Node) -> Node:
    """Give a tree that differs in one value."""
    if not path:
        return value
    index, *rest = path
    if isinstance(node, tuple):
        pairs = list(node)
        pairs[index] = (pairs[index][0], put(pairs[index][1], tuple(rest), value))
        return tuple(pairs)
    if isinstance(node, list):
        return [put(e, tuple(rest), value) if n == index else e for n, e in enumerate(node)]
    return node
