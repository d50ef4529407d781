from __future__ import annotations

from dataclasses import fields
from datetime import date
from operator import itemgetter

import pytest

from service.simulator import (
    Answer,
    Delay,
    ExpireSession,
    Faults,
    FieldError,
    FortiAuthenticator,
    FortiVoice,
    Hang,
    PageCap,
    Reset,
    Rule,
    Total,
)
from service.simulator.actions import ACTIONS
from service.simulator.checks import CHECKS, OPERATIONS

EVERY_RULE: list[dict[str, object]] = [
    {"operation": "*", "action": "answer", "status": 503, "headers": {"Retry-After": "7"}},
    {"operation": "login", "action": "answer", "json": {"a": 1}, "when": "after", "repeat": 3},
    {"operation": "login", "action": "answer", "body": "<html>"},
    {"operation": "activate", "action": "delay", "seconds": 0.5, "probability": 0.25, "seed": 4},
    {"operation": "apply", "action": "reset", "when": "after", "clean": True, "times": 2},
    {"operation": "upload", "action": "truncate", "keep": 3, "after": 1},
    {"operation": "token", "action": "hang"},
    {"operation": "devices", "action": "expire-session"},
    {"operation": "devices", "action": "rotate-cookie"},
    {"operation": "devices", "action": "page-cap", "size": 3},
    {"operation": "devices", "action": "shrink-pages", "size": 3, "step": 2},
    {"operation": "devices", "action": "duplicate-rows", "count": 1},
    {"operation": "devices", "action": "total", "value": 3},
    {"operation": "devices", "action": "empty-page"},
    {"operation": "devices", "action": "endless"},
]


def decisions(faults: Faults, operation: str, times: int) -> list[bool]:
    return [faults.plan(operation).decision is not None for _ in range(times)]


@pytest.mark.parametrize("rule", EVERY_RULE, ids=itemgetter("action"))
def test_a_rules_json_form_comes_back_as_it_was(rule: dict[str, object]) -> None:
    """Reading and writing a rule are each other's opposite."""
    assert Rule.from_dict(rule).as_dict() == rule


def test_every_action_is_in_the_examples_and_everything_that_is_named_has_a_check() -> None:
    """No action, field and operation is left without its rule."""
    assert {rule["action"] for rule in EVERY_RULE} == set(ACTIONS)
    kinds = (FortiAuthenticator, FortiVoice)
    assert {"*", "other"}.union(*(kind.operations for kind in kinds)) == set(OPERATIONS)
    named = {field.name for action in (*ACTIONS.values(), Rule) for field in fields(action)}
    assert named - {"action"} == set(CHECKS)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([], "rule"),
        ({}, "action"),
        ({"action": "explode"}, "action"),
        ({"action": ["hang"]}, "action"),
        ({"action": "delay"}, "seconds"),
        ({"action": "delay", "seconds": -1}, "seconds"),
        ({"action": "delay", "seconds": True}, "seconds"),
        ({"action": "hang", "when": "during"}, "when"),
        ({"action": "hang", "when": ["after"]}, "when"),
        ({"action": "hang", "seconds": 1}, "seconds"),
        ({"action": "hang", "operation": "reboot"}, "operation"),
        ({"action": "hang", "operation": ["login"]}, "operation"),
        ({"action": "hang", "times": 0}, "times"),
        ({"action": "hang", "times": True}, "times"),
        ({"action": "hang", "after": -1}, "after"),
        ({"action": "hang", "probability": 1.5}, "probability"),
        ({"action": "hang", "seed": "x"}, "seed"),
        ({"action": "answer", "status": 99}, "status"),
        ({"action": "answer", "headers": {"A": 1}}, "headers"),
        ({"action": "answer", "headers": {"A": "b\r\nC: d"}}, "headers"),
        ({"action": "answer", "headers": []}, "headers"),
        ({"action": "answer", "body": 1}, "body"),
        ({"action": "answer", "body": "", "json": {}}, "body"),
        ({"action": "answer", "json": date(2026, 1, 1)}, "json"),
        ({"action": "answer", "repeat": 0}, "repeat"),
        ({"action": "reset", "clean": 1}, "clean"),
        ({"action": "truncate", "keep": 0}, "keep"),
        ({"action": "page-cap", "size": 0}, "size"),
        ({"action": "shrink-pages", "size": 1, "step": 0}, "step"),
        ({"action": "duplicate-rows", "count": "1"}, "count"),
        ({"action": "total", "value": -1}, "value"),
        ({"action": "total", "add": 0.5}, "add"),
    ],
)
def test_a_wrong_rule_is_refused_with_the_fields_name(data: object, field: str) -> None:
    """The error says which field is wrong."""
    with pytest.raises(FieldError) as caught:
        Rule.from_dict(data)

    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")


def test_an_action_written_in_python_is_checked_as_well() -> None:
    """The checks belong to the action, not to its JSON form."""
    with pytest.raises(FieldError, match="size"):
        PageCap(size=0)


def test_a_rule_meets_its_operation_only() -> None:
    """Other operations go their normal way; the star means all."""
    faults = Faults()
    faults.add(Rule(operation="login", action=Hang()))

    assert decisions(faults, "devices", 1) == [False]
    assert decisions(faults, "login", 1) == [True]

    faults.add(Rule(action=Hang()))
    assert decisions(faults, "devices", 1) == [True]


def test_a_rule_skips_the_first_and_stops_after_its_times() -> None:
    """``after`` requests pass, then ``times`` are hit."""
    faults = Faults()
    faults.add(Rule(action=Hang(), after=1, times=2))

    assert decisions(faults, "login", 5) == [False, True, True, False, False]
    assert faults.fired == (2,)


def test_a_probability_is_the_same_in_every_run_and_differs_between_appliances() -> None:
    """The dice depend on the seed and on the appliance's name."""
    rolls = []
    for name, seed in (("a", 1), ("a", 1), ("b", 1), ("a", 2)):
        faults = Faults(name)
        faults.add(Rule(action=Hang(), probability=0.5, seed=seed))
        rolls.append(decisions(faults, "login", 64))

    assert rolls[0] == rolls[1]
    assert rolls[0] not in rolls[2:]
    assert 16 < sum(rolls[0]) < 48


def test_actions_add_up_until_one_decides() -> None:
    """Rules behind the decision are neither asked nor counted."""
    faults = Faults()
    for action in (Delay(seconds=1), ExpireSession(), Reset(), Answer(status=500)):
        faults.add(Rule(action=action))

    plan = faults.plan("login")

    assert plan.names == ("delay", "expire-session", "reset")
    assert plan.decision == Reset()
    assert faults.fired == (1, 1, 1, 0)


def test_an_action_without_decision_leaves_the_answer() -> None:
    """A plan may change the way without deciding its end."""
    faults = Faults()
    faults.add(Rule(action=Total(add=1)))

    assert faults.plan("devices").decision is None


def test_replacing_forgets_the_old_rules_and_their_counts() -> None:
    """New rules begin anew."""
    faults = Faults()
    faults.add(Rule(action=Hang()))
    faults.plan("login")
    faults.replace(Rule.from_dict(rule) for rule in EVERY_RULE)
    assert faults.as_dict() == {"rules": EVERY_RULE, "fired": [0] * len(EVERY_RULE)}

    faults.replace([])
    assert faults.rules == ()
