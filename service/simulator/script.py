"""Scripts: what happens to the appliances at which second, written in TOML.

A script is a list of ``[[step]]`` tables. Each says ``at`` which second (0 when it does not) which
``appliance`` (``*``, all, when it does not) gets which of ``steering.ORDERS``.
"""

from __future__ import annotations

import asyncio
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from service.simulator.checks import SECONDS, FieldError, within
from service.simulator.steering import ORDERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from service.simulator.server import SimulatedAppliance
    from service.simulator.steering import Deed

_ALL: Final = "*"


@dataclass(frozen=True)
class Step:
    """One step, checked.

    Attributes:
        at: When, in seconds after the start.
        text: What it says on the way.
        deeds: What is done, in this order.
    """

    at: float
    text: str
    deeds: tuple[Deed, ...]

    async def carry_out(self) -> None:
        """Do it."""
        for deed in self.deeds:
            await deed()


class Script:
    """The steps of a script, in order of their time."""

    def __init__(self, steps: Sequence[Step] = ()) -> None:
        self._first = [step for step in steps if not step.at]
        self._later = sorted((step for step in steps if step.at), key=lambda step: step.at)

    @classmethod
    def load(cls, path: Path, appliances: Mapping[str, SimulatedAppliance]) -> Self:
        """Read and check a script; nothing is done.

        Raises:
            FieldError: what is wrong; its field names the file, the step (from 1) and the field.
            OSError: the file cannot be read.
        """
        try:
            script = tomllib.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise FieldError(str(path), str(error)) from None
        steps = script.pop("step", None)
        if script or not isinstance(steps, list):
            raise FieldError(str(path), "must be a list of [[step]] tables and nothing else")
        read: list[Step] = []
        for number, given in enumerate(steps, 1):
            try:
                read.append(_step(given, appliances))
            except FieldError as error:
                raise FieldError(f"{path}, step {number}", str(error)) from None
        return cls(read)

    async def prepare(self) -> None:
        """Do what is to be done before anything listens: the steps at second 0."""
        for step in self._first:
            await step.carry_out()

    async def play(self, tell: Callable[[str], None], ended: asyncio.Event) -> None:
        """Do all other steps in their time, counted from now, and tell of each; or until the end.

        Raises:
            OSError: an appliance that was to start could not listen.
        """
        began = asyncio.get_running_loop().time()
        for step in self._later:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(began + step.at):
                    await ended.wait()
                    return
            await step.carry_out()
            tell(step.text)


def _step(given: object, appliances: Mapping[str, SimulatedAppliance]) -> Step:
    if not isinstance(given, dict):
        raise FieldError("", "must be a table")
    orders = {name: _with_nulls(given.pop(name)) for name in ORDERS if name in given}
    at, whose = given.pop("at", 0), given.pop("appliance", _ALL)
    SECONDS.demand(at, "at")
    if not isinstance(whose, str) or whose not in {_ALL, *appliances}:
        raise FieldError("appliance", f"must be one of {', '.join((_ALL, *appliances))}")
    if given:
        raise FieldError(next(iter(given)), "is no field of a step")
    if not orders:
        raise FieldError("", f"must have at least one of {', '.join(ORDERS)}")
    deeds: list[Deed] = []
    for name, value in orders.items():
        for appliance in appliances.values() if whose == _ALL else [appliances[whose]]:
            with within(name):
                deeds.append(ORDERS[name](appliance, value))
    return Step(at, _text(at, whose, orders), tuple(deeds))


def _with_nulls(value: object) -> object:
    """Read the string "null" of a table as null, which TOML does not have."""
    if not isinstance(value, dict):
        return value
    return {key: None if each == "null" else each for key, each in value.items()}


def _text(at: float, whose: str, orders: Mapping[str, object]) -> str:
    """Return the time as minutes and seconds, the appliance and the orders."""
    minutes, tenths = divmod(round(at * 10), 600)
    words = (str(value) if name == "do" else name for name, value in orders.items())
    return f"{minutes:02}:{tenths / 10:04.1f} {whose} {' '.join(words)}"
