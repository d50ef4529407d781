"""What can be done to an appliance from outside: one language for the control page and scripts.

An order is its name and a value: ``password`` and the new one, ``do`` and ``stop``. It is checked
first and carried out later, so that a whole script can be checked before anything happens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

from service.simulator.certificates import CERTIFICATES
from service.simulator.checks import FieldError, within
from service.simulator.faults import Rule
from service.simulator.fortivoice import FortiVoice

if TYPE_CHECKING:
    from service.simulator.server import SimulatedAppliance

State = Mapping[str, object]
"""How things stand, as what JSON can hold."""

Deed = Callable[[], Awaitable[State]]
"""Carries out an order that was checked; returns how things stand then."""


def rule(appliance: SimulatedAppliance, given: object) -> Rule:
    """Read a rule for an appliance.

    Raises:
        FieldError: it is none, or names an operation that this kind does not have.
    """
    read = Rule.from_dict(given)
    if read.operation not in {"*", "other", *appliance.operations}:
        raise FieldError("operation", f"'{read.operation}' is no operation of {appliance}")
    return read


def _switches(appliance: SimulatedAppliance, given: object) -> Deed:
    if not isinstance(given, Mapping):
        raise FieldError("", "must be an object: a switch and how it is to stand")
    appliance.check_switches(given)

    async def deed() -> State:
        appliance.set_switches(given)
        return appliance.switches()

    return deed


def _faults(appliance: SimulatedAppliance, given: object) -> Deed:
    if not isinstance(given, list):
        raise FieldError("", "must be a list of rules")
    rules: list[Rule] = []
    for place, each in enumerate(given):
        with within(str(place)):
            rules.append(rule(appliance, each))

    async def deed() -> State:
        appliance.faults.replace(rules)
        return appliance.faults.as_dict()

    return deed


def _password(appliance: SimulatedAppliance, given: object) -> Deed:
    if not isinstance(given, str) or not given or not given.isprintable():
        raise FieldError("", "must be a string of printable characters that is not empty")

    async def deed() -> State:
        appliance.password = given
        return {"appliance": appliance.name}

    return deed


def _certificate(appliance: SimulatedAppliance, given: object) -> Deed:
    if not isinstance(given, str) or given not in CERTIFICATES:
        raise FieldError("", f"must be one of {', '.join(CERTIFICATES)}")

    async def deed() -> State:
        await appliance.certify(given)
        return {"certificate": given}

    return deed


def _do(appliance: SimulatedAppliance, given: object) -> Deed:
    async def stop() -> State:
        await appliance.stop()
        return {"on": False}

    async def start() -> State:
        await appliance.start()
        return {"on": True}

    async def expire_sessions() -> State:
        return {"expired": appliance.expire_sessions()}

    deeds: dict[str, Deed] = {"stop": stop, "start": start}
    if isinstance(appliance, FortiVoice):
        deeds["expire-sessions"] = expire_sessions
    if not isinstance(given, str) or given not in deeds:
        raise FieldError("", f"must be one of {', '.join(deeds)} for {appliance}")
    return deeds[given]


ORDERS: Final[Mapping[str, Callable[[SimulatedAppliance, object], Deed]]] = {
    "switches": _switches,
    "faults": _faults,
    "password": _password,
    "certificate": _certificate,
    "do": _do,
}
"""Every order: checks a value for an appliance and returns what carries it out.

Each raises a ``FieldError`` whose field is relative to the value, empty for the value itself.
"""
