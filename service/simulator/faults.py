"""Which request goes wrong, and how: rules in order, each with an action.

A rule in JSON is flat: ``{"operation": "activate", "times": 1, "action": "reset", "when":
"after"}``. For each request the rules are asked in order. A rule that names the operation (or
``*``) skips its first ``after`` requests, then fires with ``probability``, at most ``times``
times. Actions that only change the normal way (``delay``, ``expire-session``, ``page-cap``, ...)
add up; the first that decides the answer (``answer``, ``reset``, ``truncate``, ``hang``) ends the
search, so rules behind it neither count nor fire.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

from service.simulator.actions import ACTIONS, Action, Decision
from service.simulator.checks import FieldError, check, plain

if TYPE_CHECKING:
    from collections.abc import Iterable

SomeAction = TypeVar("SomeAction", bound=Action)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When an action happens.

    Attributes:
        action: What happens.
        operation: The operation that it happens to, or ``*``.
        times: How often it happens in all; None for always.
        after: How many matching requests pass unharmed first.
        probability: How likely it is for each further one, 0 to 1.
        seed: Makes the dice the same in every run; each rule and appliance has its own.
    """

    action: Action
    operation: str = "*"
    times: int | None = None
    after: int = 0
    probability: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def from_dict(cls, data: object) -> Self:
        """Read a rule from its JSON form.

        Raises:
            FieldError: the field that is missing, unknown or not what it must be.
        """
        if not isinstance(data, Mapping):
            raise FieldError("rule", "must be an object")
        name = data.get("action")
        action = ACTIONS.get(name) if isinstance(name, str) else None
        if action is None:
            raise FieldError("action", f"must be one of {', '.join(sorted(ACTIONS))}")
        own = {each.name for each in fields(cls)} - {"action"}
        given: dict[str, Any] = {key: data[key] for key in data if key in own}
        rest: dict[str, Any] = {key: data[key] for key in data if key not in {*own, "action"}}
        known = {each.name for each in fields(action)}
        for key in rest:
            if key not in known:
                raise FieldError(str(key), f"is no field of a rule or of '{name}'")
        for each in fields(action):
            if each.default is each.default_factory is MISSING and each.name not in rest:
                raise FieldError(each.name, f"is required by '{name}'")
        return cls(action=action(**rest), **given)

    def as_dict(self) -> dict[str, object]:
        """Return the JSON form, without what is at its default."""
        return {"operation": self.operation, "action": self.action.name} | (
            plain(self) | plain(self.action)
        )


class Fired(NamedTuple):
    """An action that happens to this request, and the how-manieth time it does."""

    action: Action
    number: int


class Plan(NamedTuple):
    """Everything that happens to one request."""

    fired: tuple[Fired, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The actions' names, in order."""
        return tuple(fired.action.name for fired in self.fired)

    @property
    def decision(self) -> Decision | None:
        """The action that decides the answer, if one does."""
        last = self.fired[-1].action if self.fired else None
        return last if isinstance(last, Decision) else None

    def all(self, kind: type[SomeAction]) -> list[tuple[SomeAction, int]]:
        """Return the actions of a kind, in order, each with the how-manieth time it happens."""
        return [(each.action, each.number) for each in self.fired if isinstance(each.action, kind)]


NO_FAULTS: Final = Plan()


@dataclass
class _Armed:
    """A rule and how far it has got."""

    rule: Rule
    dice: random.Random
    matched: int = 0
    fired: int = 0

    def fires(self, operation: str) -> bool:
        """Count the request and say whether the action happens to it."""
        rule = self.rule
        if rule.operation not in {"*", operation}:
            return False
        self.matched += 1
        spent = rule.times is not None and self.fired >= rule.times
        if self.matched <= rule.after or spent or self.dice.random() >= rule.probability:
            return False
        self.fired += 1
        return True


@dataclass
class Faults:
    """The rules of one appliance, in order; ``name`` gives each appliance its own dice."""

    name: str = ""
    _armed: list[_Armed] = field(default_factory=list, repr=False)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules, in order."""
        return tuple(armed.rule for armed in self._armed)

    @property
    def fired(self) -> tuple[int, ...]:
        """How often each rule has fired, in the order of ``rules``."""
        return tuple(armed.fired for armed in self._armed)

    def add(self, rule: Rule) -> None:
        """Append a rule."""
        seed = f"{rule.seed}/{self.name}/{len(self._armed)}"
        self._armed.append(_Armed(rule, random.Random(seed)))  # noqa: S311  # dice, no secret

    def replace(self, rules: Iterable[Rule]) -> None:
        """Forget every rule and take these."""
        self._armed.clear()
        for rule in rules:
            self.add(rule)

    def as_dict(self) -> dict[str, object]:
        """Return the rules in their JSON form and how often each has fired."""
        return {"rules": [rule.as_dict() for rule in self.rules], "fired": list(self.fired)}

    def plan(self, operation: str) -> Plan:
        """Ask the rules what happens to a request, and count it."""
        if not self._armed:
            return NO_FAULTS
        fired: list[Fired] = []
        for armed in self._armed:
            if armed.fires(operation):
                fired.append(Fired(armed.rule.action, armed.fired))
                if isinstance(armed.rule.action, Decision):
                    break
        return Plan(tuple(fired))
