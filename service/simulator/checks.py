"""What a value that is set from outside must be: questions, and the error that names the field."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from dataclasses import Field

    from _typeshed import DataclassInstance


class FieldError(ValueError):
    """Something that cannot be set: names the field, if it is one of several, and what it must be.

    ``field`` is the way to it from the outside to the inside, as in ``rules.1.times``.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


@contextmanager
def within(place: str) -> Iterator[None]:
    """Begin the field that an error names with the place at which it stands."""
    try:
        yield
    except FieldError as error:
        way = ".".join(part for part in (place, error.field) if part)
        raise FieldError(way, error.message) from None


class Check(NamedTuple):
    """A question to a value, and what the value must be."""

    passes: Callable[[object], bool]
    must: str

    def demand(self, value: object, field: str = "") -> None:
        """Raise a ``FieldError`` unless the value is what it must be."""
        if not self.passes(value):
            raise FieldError(field, self.must)


def whole(low: int, high: int | None = None) -> Check:
    """Ask for a whole number; neither ``true`` nor 1.0 is one."""

    def passes(value: object) -> bool:
        return type(value) is int and low <= value and (high is None or value <= high)

    return Check(passes, f"must be a whole number from {low} {f'to {high}' if high else 'on'}")


def number(low: float, high: float) -> Check:
    """Ask for a number, whole or not."""

    def passes(value: object) -> bool:
        return (
            isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        )

    return Check(passes, f"must be a number from {low} to {high}")


def one_of(*options: str | int) -> Check:
    """Ask for one of some values, all of one type."""

    def passes(value: object) -> bool:
        return type(value) is type(options[0]) and value in options

    return Check(passes, f"must be one of {', '.join(map(str, options))}")


def matching(pattern: str, must: str) -> Check:
    """Ask for a string of ASCII that a pattern describes."""

    def passes(value: object) -> bool:
        return isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None

    return Check(passes, must)


def or_null(check: Check) -> Check:
    """Allow null besides."""
    return Check(lambda value: value is None or check.passes(value), f"{check.must}, or null")


def some_of(*options: str) -> Check:
    """Ask for a list of some of these values."""

    def passes(value: object) -> bool:
        return isinstance(value, list | tuple) and all(each in options for each in value)

    return Check(passes, f"must be a list of some of {', '.join(options)}")


def _is_headers(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(text, str) and text.isprintable() for pair in value.items() for text in pair
    )


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


INTEGER: Final = Check(lambda value: type(value) is int, "must be a whole number")
TRUTH: Final = Check(lambda value: isinstance(value, bool), "must be true or false")
TEXT: Final = Check(
    lambda value: isinstance(value, str) and value.isprintable(),
    "must be a string of printable characters",
)
SECONDS: Final = number(0, 86_400)

OPERATIONS: Final = (
    *("*", "login", "logout", "devices", "token", "upload", "apply", "licinfo", "balance"),
    *("activate", "fabric", "other"),
)
"""What a rule can name; ``other`` is a request that meets no operation of the appliance."""

CHECKS: Final[Mapping[str, Check]] = {
    "when": one_of("before", "after"),
    "status": whole(200, 599),
    "headers": Check(_is_headers, "must be an object of printable strings"),
    "body": Check(lambda value: isinstance(value, str), "must be a string"),
    "json": Check(_is_json, "must be what JSON can hold"),
    "repeat": whole(1),
    "seconds": SECONDS,
    "clean": TRUTH,
    "keep": whole(1),
    "size": whole(1),
    "step": whole(1),
    "count": whole(1),
    "value": whole(0),
    "add": INTEGER,
    "operation": one_of(*OPERATIONS),
    "times": whole(1),
    "after": whole(0),
    "probability": number(0, 1),
    "seed": INTEGER,
}
"""What each field of an action or a rule must be: one meaning per name, whoever has it."""


def check(holder: DataclassInstance) -> None:
    """Check every field of a dataclass against ``CHECKS``; a field left at its default is good.

    Raises:
        FieldError: the first field that is not what it must be.
    """
    for each in fields(holder):
        value = getattr(holder, each.name)
        if each.name in CHECKS and value != each.default:
            CHECKS[each.name].demand(value, each.name)


def plain(holder: DataclassInstance) -> dict[str, object]:
    """Return the fields that differ from their defaults."""
    return {
        each.name: getattr(holder, each.name)
        for each in fields(holder)
        if each.name in CHECKS and getattr(holder, each.name) != _default(each)
    }


def _default(each: Field[object]) -> object:
    return each.default if each.default_factory is MISSING else each.default_factory()
