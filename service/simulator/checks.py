"""What the fields of rules and actions must be: a table, and the error that names the field."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from dataclasses import Field

    from _typeshed import DataclassInstance


class FaultError(ValueError):
    """A rule that cannot be: names the field and says what it must be."""

    def __init__(self, field_name: str, message: str) -> None:
        super().__init__(f"{field_name}: {message}")
        self.field = field_name
        self.message = message


def _whole(low: int, high: int | None = None) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value and (high is None or value <= high)


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: type(value) in {int, float} and low <= value <= high


def _is_headers(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(text, str) and text.isprintable() for pair in value.items() for text in pair
    )


def _is_operation(value: object) -> bool:
    return isinstance(value, str) and value in OPERATIONS


CHECKS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "when": (
        lambda value: isinstance(value, str) and value in {"before", "after"},
        "must be 'before' or 'after'",
    ),
    "status": (_whole(200, 599), "must be a whole number from 200 to 599"),
    "headers": (_is_headers, "must be an object of printable strings"),
    "body": (lambda value: isinstance(value, str), "must be a string"),
    "json": (lambda _: True, "may be any JSON value"),
    "repeat": (_whole(1), "must be a whole number from 1 on"),
    "seconds": (_number(0, 86_400), "must be a number from 0 to 86400"),
    "clean": (lambda value: isinstance(value, bool), "must be true or false"),
    "keep": (_whole(1), "must be a whole number from 1 on"),
    "size": (_whole(1), "must be a whole number from 1 on"),
    "step": (_whole(1), "must be a whole number from 1 on"),
    "count": (_whole(1), "must be a whole number from 1 on"),
    "value": (_whole(0), "must be a whole number from 0 on"),
    "add": (lambda value: type(value) is int, "must be a whole number"),
    "operation": (_is_operation, "must be the name of an operation or '*'"),
    "times": (_whole(1), "must be a whole number from 1 on"),
    "after": (_whole(0), "must be a whole number from 0 on"),
    "probability": (_number(0, 1), "must be a number from 0 to 1"),
    "seed": (lambda value: type(value) is int, "must be a whole number"),
}
"""What each field of an action or a rule must be: one meaning per name, whoever has it."""

OPERATIONS: Final = frozenset(
    {"*", "login", "logout", "devices", "token", "upload", "apply", "licinfo", "balance"}
    | {"activate", "other"}
)
"""What a rule can name; ``other`` is a request that meets no operation of the appliance."""


def check(holder: DataclassInstance) -> None:
    """Check every field of a dataclass against ``CHECKS``; a field left at its default is good.

    Raises:
        FaultError: the first field that is not what it must be.
    """
    for each in fields(holder):
        value = getattr(holder, each.name)
        if each.name in CHECKS and value != each.default and not CHECKS[each.name][0](value):
            raise FaultError(each.name, CHECKS[each.name][1])


def plain(holder: DataclassInstance) -> dict[str, object]:
    """Return the fields that differ from their defaults."""
    return {
        each.name: getattr(holder, each.name)
        for each in fields(holder)
        if each.name in CHECKS and getattr(holder, each.name) != _default(each)
    }


def _default(each: Field[object]) -> object:
    return each.default if each.default_factory is MISSING else each.default_factory()
