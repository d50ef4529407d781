"""What no contract may do within its major version, each with the sentence that says so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Rule(StrEnum):
    """Which promise is broken."""

    CONTRACT_REMOVED = "contract-removed"
    PUBLISHED_CHANGED = "published-changed"
    CHANNEL_CHANGED = "channel-changed"
    IDENTITY_CHANGED = "identity-changed"
    FIELD_REMOVED = "field-removed"
    FIELD_CLAIMED = "field-claimed"
    REQUIRED_ADDED = "required-added"
    REQUIRED_DROPPED = "required-dropped"
    TYPE_NARROWED = "type-narrowed"
    TYPE_WIDENED = "type-widened"
    ENUM_MEMBER_REMOVED = "enum-member-removed"
    ENUM_MEMBER_ADDED = "enum-member-added"
    ENUM_CLOSED = "enum-closed"
    ENUM_OPENED = "enum-opened"
    ENUM_MEANING_CHANGED = "enum-meaning-changed"
    BOUND_NARROWED = "bound-narrowed"
    BOUND_WIDENED = "bound-widened"
    PATTERN_CHANGED = "pattern-changed"
    DEFAULT_CHANGED = "default-changed"
    OBJECT_CLOSED = "object-closed"
    OBJECT_OPENED = "object-opened"
    CONDITION_CHANGED = "condition-changed"
    KEYWORD_CHANGED = "keyword-changed"
    EXAMPLE_REFUSED = "example-refused"
    EXAMPLE_UNREADABLE = "example-unreadable"


SENTENCES: Final = {
    Rule.CONTRACT_REMOVED: "a published contract stays; a new major stands beside it",
    Rule.PUBLISHED_CHANGED: "what was published is not changed any more",
    Rule.CHANNEL_CHANGED: "where a message goes, and what it is bound to, stays",
    Rule.IDENTITY_CHANGED: "what names a message, and every fixed value, stays as it is",
    Rule.FIELD_REMOVED: "a published field stays",
    Rule.FIELD_CLAIMED: "an attribute that was ignored so far may hold anything: senders have it",
    Rule.REQUIRED_ADDED: "messages of the published version do not have this field",
    Rule.REQUIRED_DROPPED: "readers rely on this field to be there",
    Rule.TYPE_NARROWED: "a type that was allowed is allowed no more",
    Rule.TYPE_WIDENED: "readers do not expect this type",
    Rule.ENUM_MEMBER_REMOVED: "a listed value that was allowed is allowed no more",
    Rule.ENUM_MEMBER_ADDED: "the list is closed: readers do not expect another value",
    Rule.ENUM_CLOSED: "values were not listed, and now only these are allowed",
    Rule.ENUM_OPENED: "the list was closed, and now anything may come",
    Rule.ENUM_MEANING_CHANGED: "the words that say what a listed value means stay",
    Rule.BOUND_NARROWED: "values that were allowed are out of bounds now",
    Rule.BOUND_WIDENED: "readers do not expect values beyond the published bounds",
    Rule.PATTERN_CHANGED: "whether a pattern takes the same cannot be seen; a command may offer "
    "another one beside it, with anyOf",
    Rule.DEFAULT_CHANGED: "what an absent field means stays",
    Rule.OBJECT_CLOSED: "unknown fields were ignored so far",
    Rule.OBJECT_OPENED: "unknown fields were refused, so that no mistyped field is passed over",
    Rule.CONDITION_CHANGED: "what holds under a condition, or is excluded, stays",
    Rule.KEYWORD_CHANGED: "what the gate does not understand stays as it is",
    Rule.EXAMPLE_REFUSED: "an example of the published version is refused now",
    Rule.EXAMPLE_UNREADABLE: "a reader of the published version refuses this example",
}


@dataclass(frozen=True, order=True)
class Finding:
    """A broken promise.

    Attributes:
        path: where: the contract and a pointer into its messages, such as
            `events/query-devices.finished/v1 /data/devices/*/mac`. What holds under a condition
            only names it: `/data[conclusion=failed]/error`.
        detail: which value, keyword or file, where the path does not say it.
    """

    path: str
    rule: Rule
    detail: str = ""

    def __str__(self) -> str:
        """Write it as the line that is shown."""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.path}: {self.rule}: {SENTENCES[self.rule]}{detail}"


@dataclass(frozen=True)
class Place:
    """A place in the messages of a contract.

    Attributes:
        keys: the fields that lead there; `*` for every entry of a list.
        shown: the same as a pointer, with the conditions under which it is looked at.
        conditional: it is looked at under a condition.
    """

    contract: str
    keys: tuple[str, ...] = ()
    shown: str = ""
    conditional: bool = False

    def below(self, key: str) -> Place:
        """Give the place of a field, or with `*` that of a list's entries."""
        return replace(self, keys=(*self.keys, key), shown=f"{self.shown}/{key}")

    def where(self, condition: str) -> Place:
        """Give the same place, looked at under a condition."""
        return replace(self, shown=f"{self.shown}[{condition}]", conditional=True)

    def breaks(self, rule: Rule, detail: str = "") -> Finding:
        """Find a promise broken here."""
        return Finding(f"{self.contract} {self.shown}".rstrip(), rule, detail)
