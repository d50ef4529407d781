"""What may become of the keywords of one schema: of its type, bounds, lists, names of fields.

A command may take more than it did. An event does not change: a reader of the published version
must understand what is told today, and a result that was stored then is told again today.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from jsonschema import Draft202012Validator

from deploy.compatibility.rules import Rule
from deploy.compatibility.trees import ANNOTATIONS, NOTHING, canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from deploy.compatibility.rules import Finding, Place
    from deploy.compatibility.trees import Json

UNDERSTOOD: Final = ANNOTATIONS | {
    *("$schema", "$id", "default", "const", "enum", "type", "pattern", "not", "allOf"),
    *("minimum", "minLength", "minItems", "maximum", "maxLength", "maxItems"),
    *("required", "properties", "additionalProperties", "items"),
}
_ALL: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_LEAST: Final = ("minimum", "minLength", "minItems")
_MOST: Final = ("maximum", "maxLength", "maxItems")
_CLAUSE: Final = re.compile(r"[;.](?:\s+|$)")


def members(node: Json) -> list[object] | None:
    """Give the values that a schema lists; nothing where it lists none."""
    return [node["const"]] if "const" in node else node.get("enum")


def named(values: Iterable[object], between: str = ", ") -> str:
    """Write values as a reader of the contract knows them."""
    return between.join(each if isinstance(each, str) else canonical(each) for each in values)


def identity(old: Json, new: Json, place: Place) -> Iterator[Finding]:
    """Compare the names of schemas."""
    for key in ("$schema", "$id"):
        if old.get(key) != new.get(key):
            yield place.breaks(Rule.IDENTITY_CHANGED, key)


def default(old: Json, new: Json, place: Place) -> Iterator[Finding]:
    """Compare what an absent field means."""
    if canonical(old.get("default")) != canonical(new.get("default")):
        yield place.breaks(Rule.DEFAULT_CHANGED)


def others(old: Json, new: Json, place: Place) -> Iterator[Finding]:
    """Compare the keywords that nothing here understands."""
    for key in sorted((old.keys() | new.keys()) - UNDERSTOOD):
        if key not in old or key not in new or canonical(old[key]) != canonical(new[key]):
            yield place.breaks(Rule.KEYWORD_CHANGED, key)


def lists(old: Json, new: Json, place: Place, *, widening: bool) -> Iterator[Finding]:
    """Compare the values that are listed, in one schema at least."""
    before, after = members(old), members(new)
    gone = _refused(before or (), new)
    if gone:
        fixed = "const" in old and "const" in new
        rule = Rule.IDENTITY_CHANGED if fixed else Rule.ENUM_MEMBER_REMOVED
        yield place.breaks(rule, named(gone))
    if before is None or after is None:
        yield from _listing(before, place, widening=widening)
        return
    come = _refused(after, old)
    if come and not widening and "const" not in new:
        yield place.breaks(Rule.ENUM_MEMBER_ADDED, named(come))
    yield from meaning(old, new, place, more=bool(come))


def _refused(values: Iterable[object], node: Json) -> list[object]:
    # The whole schema is asked, since a listed value is also held to what stands beside the list.
    judge = Draft202012Validator(node)
    return [each for each in values if not judge.is_valid(each)]


def _listing(before: list[object] | None, place: Place, *, widening: bool) -> Iterator[Finding]:
    if before is None:
        yield place.breaks(Rule.ENUM_CLOSED)
    elif not widening:
        yield place.breaks(Rule.ENUM_OPENED)


def meaning(old: Json, new: Json, place: Place, *, more: bool = False) -> Iterator[Finding]:
    """Compare the words of a list, clause by clause; with more values more may be said."""
    before, after = _clauses(old), _clauses(new)
    if not before <= after or (before != after and not more):
        changed = sorted(before - after) or sorted(after - before)
        yield place.breaks(Rule.ENUM_MEANING_CHANGED, changed[0])


def _clauses(node: Json) -> set[str]:
    text = " ".join(node.get("description", "").split())
    return {each for each in _CLAUSE.split(text) if each}


def types(old: Json, new: Json, place: Place, *, widening: bool) -> Iterator[Finding]:
    """Compare the types that are allowed."""
    before, after = _types(old), _types(new)
    if before - after:
        yield place.breaks(Rule.TYPE_NARROWED, named(sorted(before - after)))
    if after - before and not widening:
        yield place.breaks(Rule.TYPE_WIDENED, named(sorted(after - before)))


def _types(node: Json) -> frozenset[str]:
    given = node.get("type", _ALL)
    found = frozenset([given] if isinstance(given, str) else given)
    return found | {"integer"} if "number" in found else found


def bounds(old: Json, new: Json, place: Place, *, widening: bool) -> Iterator[Finding]:
    """Compare how small and how large a value may be."""
    for keys, sign in ((_LEAST, -1), (_MOST, 1)):
        for key in keys:
            before, after = (sign * each.get(key, sign * float("inf")) for each in (old, new))
            if after < before:
                yield place.breaks(Rule.BOUND_NARROWED, key)
            if after > before and not widening:
                yield place.breaks(Rule.BOUND_WIDENED, key)


def pattern(old: Json, new: Json, place: Place, *, widening: bool) -> Iterator[Finding]:
    """Compare patterns; what two patterns have in common is not computed."""
    if old.get("pattern") != new.get("pattern") and not (widening and "pattern" not in new):
        yield place.breaks(Rule.PATTERN_CHANGED)


def closing(old: Json, new: Json, place: Place) -> Iterator[Finding]:
    """Compare what becomes of unknown fields."""
    before, after = (each.get("additionalProperties", {}) for each in (old, new))
    if before != after:
        yield place.breaks(Rule.OBJECT_OPENED if before == NOTHING else Rule.OBJECT_CLOSED)


def required(old: Json, new: Json, place: Place, *, widening: bool) -> Iterator[Finding]:
    """Compare which fields are always there."""
    before, after = (set(each.get("required", ())) for each in (old, new))
    for name in sorted(after - before):
        yield place.below(name).breaks(Rule.REQUIRED_ADDED)
    for name in sorted(before - after if not widening else ()):
        yield place.below(name).breaks(Rule.REQUIRED_DROPPED)
