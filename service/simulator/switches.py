"""Switches: the attributes of an appliance that can be set from outside, each declared once.

A switch stands in the class with its default and what it must be. It is read and set like any
attribute; what it cannot be is refused, in Python as on the control page and in scripts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Self, TypeVar, overload

from service.simulator.checks import FieldError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service.simulator.checks import Check

T = TypeVar("T")


class Switch(Generic[T]):
    """One switch; its name is the attribute's."""

    def __init__(self, default: T, check: Check) -> None:
        self.check = check
        self._default = default

    def __set_name__(self, owner: type[Switched], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, holder: None, owner: type[Switched]) -> Self: ...

    @overload
    def __get__(self, holder: Switched, owner: type[Switched]) -> T: ...

    def __get__(self, holder: Switched | None, owner: type[Switched]) -> Self | T:
        return self if holder is None else vars(holder).get(self._name, self._default)

    def __set__(self, holder: Switched, value: T) -> None:
        self.check.demand(value, self._name)
        vars(holder)[self._name] = value


class Switched:
    """What has switches."""

    def switches(self) -> dict[str, object]:
        """Return every switch and how it stands."""
        return {name: getattr(self, name) for name in _declared(type(self))}

    def check_switches(self, values: Mapping[str, object]) -> None:
        """Check what switches are to be set to; nothing is set.

        Raises:
            FieldError: the first that does not exist or is not what it must be.
        """
        declared = _declared(type(self))
        for name, value in values.items():
            if name not in declared:
                raise FieldError(name, f"is no switch of {self}")
            declared[name].check.demand(value, name)

    def set_switches(self, values: Mapping[str, object]) -> None:
        """Set some switches, or none when one of them is wrong (see ``check_switches``)."""
        self.check_switches(values)
        for name, value in values.items():
            setattr(self, name, value)


def _declared(kind: type[Switched]) -> dict[str, Switch[object]]:
    return {
        name: each
        for owner in reversed(kind.__mro__)
        for name, each in vars(owner).items()
        if isinstance(each, Switch)
    }
