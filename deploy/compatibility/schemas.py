"""Two versions of a contract's schema, walked side by side."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from deploy.compatibility import keywords
from deploy.compatibility.keywords import members
from deploy.compatibility.rules import Place, Rule
from deploy.compatibility.trees import ANNOTATIONS, Index, asserts, canonical, joined, tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.compatibility.rules import Finding
    from deploy.compatibility.trees import Json

_BESIDE_ALTERNATIVES: Final = ANNOTATIONS | {"anyOf", "default"}


def compared(contract: str, old: Json, new: Json) -> list[Finding]:
    """Say what a schema breaks of its published version.

    Args:
        contract: such as `commands/query-devices/v1`. Commands may take more; whatever else there
            is, is read by others and only gains optional fields.
        old: the published schema.
        new: the schema of today.
    """
    before, after = tree(old), tree(new)
    walk = _Walk(contract.startswith("commands/"), Index.of(before))
    return sorted(set(walk.node(before, after, Place(contract))))


@dataclass(frozen=True)
class _Walk:
    widening: bool
    before: Index

    def node(self, old: Json, new: Json, place: Place) -> Iterator[Finding]:
        """Compare all that is said about one place."""
        olds, news = _alternatives(old), _alternatives(new)
        if len(olds) == len(news) == 1:
            yield from self._single(olds[0], news[0], place)
        else:
            yield from self._choice(olds, news, place)

    def _same(self, old: Json, new: Json, place: Place) -> bool:
        return next(self.node(old, new, place), None) is None

    def _choice(self, olds: list[Json], news: list[Json], place: Place) -> Iterator[Finding]:
        gone = [old for old in olds if not any(self._same(old, new, place) for new in news)]
        come = [new for new in news if not any(self._same(old, new, place) for old in olds)]
        if self.widening:
            come = []
        if (gone or come) and len(olds) == len(news):
            for old, new in zip(olds, news, strict=True):
                yield from self.node(old, new, place)
            return
        if gone:
            yield place.breaks(Rule.TYPE_NARROWED, "an alternative is gone")
        if come:
            yield place.breaks(Rule.TYPE_WIDENED, "a new alternative")

    def _single(self, old: Json, new: Json, place: Place) -> Iterator[Finding]:
        yield from keywords.identity(old, new, place)
        yield from keywords.default(old, new, place)
        yield from keywords.others(old, new, place)
        if members(old) is not None or members(new) is not None:
            yield from keywords.lists(old, new, place, widening=self.widening)
            return
        for check in (keywords.types, keywords.bounds, keywords.pattern, keywords.required):
            yield from check(old, new, place, widening=self.widening)
        yield from keywords.closing(old, new, place)
        yield from self._fields(old, new, place)
        if "items" in old or "items" in new:
            yield from self.node(old.get("items", {}), new.get("items", {}), place.below("*"))
        yield from self._exclusion(old, new, place)
        yield from self._branches(old, new, place)

    def _fields(self, old: Json, new: Json, place: Place) -> Iterator[Finding]:
        before, after = (each.get("properties", {}) for each in (old, new))
        for name in sorted(before.keys() | after.keys()):
            here = place.below(name)
            if name not in after:
                yield from self._removal(before[name], here)
            elif name in before:
                yield from self.node(before[name], after[name], here)
            elif asserts(after[name]):
                yield from self._addition(old, here)

    def _removal(self, old: Json, field: Place) -> Iterator[Finding]:
        if not (field.conditional and asserts(old)):
            yield field.breaks(Rule.FIELD_REMOVED)
        elif not self.widening:
            yield field.breaks(Rule.CONDITION_CHANGED)

    def _addition(self, old: Json, field: Place) -> Iterator[Finding]:
        if field.keys in self.before.fields:
            yield field.breaks(Rule.CONDITION_CHANGED)
        elif self.widening and not old.get("additionalProperties"):
            yield field.breaks(Rule.FIELD_CLAIMED)

    def _exclusion(self, old: Json, new: Json, place: Place) -> Iterator[Finding]:
        before, after = old.get("not"), new.get("not")
        if canonical(before) == canonical(after) or (self.widening and after is None):
            return
        if not self._gains_words(before or {}, after or {}, place):
            yield place.breaks(Rule.CONDITION_CHANGED, "not")

    def _gains_words(self, before: Json, after: Json, place: Place) -> bool:
        """Tell whether an open list gained words, which are excluded where they do not belong."""
        if self.widening or not (before.keys() == after.keys() == {"enum"}):
            return False
        known, words = ({canonical(each) for each in part["enum"]} for part in (before, after))
        come = {(place.keys, each) for each in words - known}
        return known <= words and not come & self.before.values

    def _branches(self, old: Json, new: Json, place: Place) -> Iterator[Finding]:
        before, after = _by_condition(old), _by_condition(new)
        for key in sorted(before.keys() | after.keys()):
            condition = json.loads(key)
            if key in before or not self._is_news(condition, old, place):
                here = place.where(_shown(condition)) if condition else place
                yield from self._branch(before.get(key, []), after.get(key, []), here)

    def _is_news(self, condition: Json, old: Json, place: Place) -> bool:
        """Tell whether no message of the published version fulfils a condition."""
        for name in condition.get("required", ()):
            field = place.below(name).keys
            if field not in self.before.fields:
                return not self.widening or bool(old.get("additionalProperties"))
            words = members(condition.get("properties", {}).get(name, {})) or []
            known = {value for keys, value in self.before.values if keys == field}
            # Where words are listed, by conditions perhaps, a new one is a word of nobody's.
            if known and not self.widening and _are_new(words, known):
                return True
        return False

    def _branch(self, olds: list[Json], news: list[Json], place: Place) -> Iterator[Finding]:
        """Compare what always holds, or holds under one condition, in whatever order it is said."""
        left = list(news)
        pairs: list[tuple[Json | None, Json | None]] = []
        for old in olds:
            pair = next((new for new in left if self._same(old, new, place)), None)
            if pair is not None:
                left.remove(pair)
            pairs.append((old, pair))
        unpaired = [old for old, pair in pairs if pair is None]
        pairs = [(old, pair) for old, pair in pairs if pair is not None]
        for before, after in [*pairs, *zip_longest(unpaired, left)]:
            yield from self._held(before, after, place)

    def _held(self, old: Json | None, new: Json | None, place: Place) -> Iterator[Finding]:
        if new is None:
            if not self.widening:
                yield place.breaks(Rule.CONDITION_CHANGED)
            return
        yield from self.node(old or {}, new, place)
        if old is not None and place.conditional:
            # What stands under a condition says what a word means, as with the log's slugs.
            yield from keywords.meaning(old, new, place)


def _are_new(words: list[object], known: set[str]) -> bool:
    return bool(words) and all(
        isinstance(each, str) and canonical(each) not in known for each in words
    )


def _alternatives(node: Json) -> list[Json]:
    """Give what may hold instead of one another; most schemas have no alternative."""
    if "anyOf" not in node or not node.keys() <= _BESIDE_ALTERNATIVES:
        return [node]
    about = {key: value for key, value in node.items() if key != "anyOf"}
    return [joined(about, each) for each in node["anyOf"]]


def _by_condition(node: Json) -> dict[str, list[Json]]:
    """Sort what allOf says by its conditions; what always holds has the condition `{}`."""
    found: dict[str, list[Json]] = {}
    for each in node.get("allOf", ()):
        conditional = "if" in each and each.keys() - ANNOTATIONS <= {"if", "then"}
        condition, then = (each["if"], each.get("then", {})) if conditional else ({}, each)
        found.setdefault(canonical(condition), []).append(then)
    return found


def _shown(condition: Json) -> str:
    asked = condition.get("properties", {}).items()
    words = [f"{name}={_asked(part)}" for name, part in asked]
    return ",".join(words) or "if"


def _asked(part: Json) -> str:
    return keywords.named(members(part) or [part.get("type", "...")], "|")
