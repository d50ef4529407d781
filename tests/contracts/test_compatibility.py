"""The compatibility gate finds what breaks with a published version, and nothing else."""

import copy
import json
from functools import cache
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject, SearchStrategy
from jsonschema import Draft202012Validator

from deploy.compatibility.gate import findings
from deploy.compatibility.rules import SENTENCES, Rule
from deploy.compatibility.schemas import compared
from deploy.compatibility.trees import Json, tree
from deploy.compatibility.versions import contracts, examples, newest
from service.messages.commands import decode
from service.messages.results import Conclusion
from tests.contracts import edits, strategies
from tests.contracts.mutations import ALLOWED, FORBIDDEN, Edits, Row
from tests.contracts.test_files import ROOT, at

PUBLISHED: Final = contracts(ROOT / "published" / newest(ROOT))
COMMANDS: Final = [name for name in strategies.COMMAND_NAMES if f"commands/{name}/v1" in PUBLISHED]
BROKEN: Final = [(row, rule) for rule, rows in FORBIDDEN.items() for row in rows]
KEPT: Final = [(contract, changes) for contract, rows in ALLOWED.items() for changes in rows]
OF_FOLDERS: Final = {
    Rule.CONTRACT_REMOVED,
    Rule.PUBLISHED_CHANGED,
    Rule.CHANNEL_CHANGED,
    Rule.EXAMPLE_REFUSED,
    Rule.EXAMPLE_UNREADABLE,
}
"""Rules that two schemas cannot break; see test_compatibility_gate.py."""


@cache
def published(contract: str) -> Json:
    return dict(json.loads(PUBLISHED[contract].read_text("utf-8")))


@cache
def whole(contract: str) -> Json:
    return tree(published(contract))


@cache
def told(contract: str) -> list[Json]:
    """The published examples."""
    return [json.loads(file.read_text("utf-8")) for file in examples(PUBLISHED[contract])]


def edited(contract: str, changes: Edits) -> Json:
    schema = copy.deepcopy(published(contract))
    for change in changes:
        change(schema)
    return schema


def apart(some: Edits, others: Edits) -> bool:
    """Whether no change is made within what another one changes."""
    pairs = [(one.steps, other.steps) for one in some for other in others]
    return not any(one[: len(other)] == other[: len(one)] for one, other in pairs)


def messages(contract: str) -> SearchStrategy[Json]:
    """What was sent, told or logged when a contract was published, as far as it can be made up."""
    kind, name, *_ = contract.split("/")
    if kind == "commands":
        made: SearchStrategy[Json] = strategies.messages(name)
    elif name.endswith(".finished"):
        made = finished(name.removesuffix(".finished"))
    else:
        made = st.sampled_from(told(contract))
    return made.filter(Draft202012Validator(published(contract)).is_valid)


def finished(command: str) -> SearchStrategy[Json]:
    ends = [each for each in Conclusion if each != Conclusion.UNKNOWN or "license" in command]
    events = st.sampled_from(ends).flatmap(lambda end: strategies.finished_events(command, end))
    return events.map(lambda event: dict(json.loads(event.body())))


def found(contract: str, schema: Json) -> set[tuple[str, Rule]]:
    paths = compared(contract, published(contract), schema)
    return {(each.path.removeprefix(contract).strip(), each.rule) for each in paths}


WHEN_A: Final[Json] = {"allOf": [{"if": {"required": ["a"]}, "then": {"maxProperties": 1}}]}
ONLY_A: Final[Json] = {"properties": {"a": {"type": "null"}}}
CLOSED: Final[Json] = {"additionalProperties": False}
ELSE: Final[Json] = {"if": ONLY_A, "then": {}, "else": {"maximum": 1}}
LIMITED: Final[Json] = {"$ref": "#/$defs/x", "maximum": 5}


def shown(value: object) -> str:
    return f"{value.contract} {value.path}" if isinstance(value, Row) else str(value)


@pytest.mark.parametrize(("row", "rule"), BROKEN, ids=shown)
def test_what_breaks_a_promise_is_found(row: Row, rule: Rule) -> None:
    """Every forbidden kind of change is found by its rule, at its place, and by no other rule."""
    finds = found(row.contract, edited(row.contract, row.edits))
    assert row.path in {path for path, _ in finds}
    assert {rule} == {rule for _, rule in finds}


@pytest.mark.parametrize(
    ("kind", "old", "new", "rules"),
    [
        (
            "commands",
            {"not": {"enum": ["a"]}},
            {"not": {"enum": ["a", "b"]}},
            {"condition-changed"},
        ),
        ("commands", {"not": {"enum": ["a"]}}, {}, set()),
        ("commands", {"allOf": [{"minimum": 1}]}, {}, set()),
        ("commands", {"enum": ["a"]}, {"enum": ["a"], "maxLength": 0}, {"enum-member-removed"}),
        ("commands", {"enum": ["a"]}, {"type": "string"}, set()),
        ("commands", {"type": "integer"}, {"type": "number"}, set()),
        # What stands beside a reference is kept apart from it where both say the same keyword ...
        (
            "commands",
            {**LIMITED, "$defs": {"x": {"maximum": 3}}},
            {**LIMITED, "$defs": {"x": {"maximum": 2}}},
            {"bound-narrowed"},
        ),
        # ... or keywords that heed one another.
        (
            "events",
            {"$ref": "#/$defs/x", "$defs": {"x": CLOSED}, **ONLY_A},
            {"$ref": "#/$defs/x", "$defs": {"x": {**CLOSED, **ONLY_A}}},
            {"object-closed", "condition-changed"},
        ),
        ("events", {}, {"items": {"type": "null"}}, {"type-narrowed"}),
        (
            "events",
            {"items": {"required": ["a"]}},
            {"items": WHEN_A},
            {"required-dropped", "keyword-changed"},
        ),
        ("events", {"required": ["a"]}, {"required": ["a"], **ONLY_A}, {"condition-changed"}),
        ("events", {"allOf": [ELSE]}, {"allOf": [ELSE | {"else": {}}]}, {"keyword-changed"}),
        ("events", {"allOf": [{"description": "1."}]}, {"allOf": [{"description": "2."}]}, set()),
    ],
)
def test_what_no_contract_says_yet_is_understood(
    kind: str, old: Json, new: Json, rules: set[str]
) -> None:
    """The gate is ready for more of the dialect than the contracts use today."""
    assert rules == {each.rule for each in compared(f"{kind}/x/v1", old, new)}


def test_every_rule_is_broken_by_some_row() -> None:
    """No rule is without a sentence and a change that it catches."""
    assert set(Rule) == FORBIDDEN.keys() | OF_FOLDERS == SENTENCES.keys()


@pytest.mark.parametrize(("contract", "changes"), KEPT)
def test_what_keeps_them_is_let_through(contract: str, changes: Edits) -> None:
    """An allowed change is a change, and no finding."""
    schema = edited(contract, changes)
    assert json.dumps(published(contract)) != json.dumps(schema)
    assert set() == found(contract, schema)


@settings(max_examples=50)
@given(row=st.sampled_from(KEPT), data=st.data())
def test_what_was_valid_stays_valid(row: tuple[str, Edits], data: DataObject) -> None:
    """Whatever was sent or told before an allowed change is valid after it."""
    schema = edited(*row)
    assert Draft202012Validator(schema).is_valid(data.draw(messages(row[0])))


@settings(max_examples=50)
@given(broken=st.sampled_from(BROKEN), data=st.data())
def test_an_allowed_change_hides_no_forbidden_one(
    broken: tuple[Row, Rule], data: DataObject
) -> None:
    """Whatever else is changed in a contract, what is forbidden is found."""
    (contract, path, changes), rule = broken
    beside = [each for each in ALLOWED.get(contract, ()) if apart(changes, each)]
    others = data.draw(st.lists(st.sampled_from(beside or [[]]), max_size=3))
    for each in others:
        changes = changes + [change for change in each if apart(changes, [change])]
    assert (path, rule) in found(contract, edited(contract, changes))


@settings(max_examples=150)
@given(contract=st.sampled_from(sorted(PUBLISHED)), data=st.data())
def test_what_is_let_through_harms_nobody(contract: str, data: DataObject) -> None:
    """After any change that the gate allows, messages mean what they meant to both sides.

    What was accepted is accepted. What is told can be read by the published schema, which ignores
    the fields that it does not know, and what was told then can be read by the changed one.
    """
    old = whole(contract)
    new, place = data.draw(edits.edited(old))
    if compared(contract, old, new):
        return
    before, after = Draft202012Validator(old), Draft202012Validator(new)
    example = data.draw(st.sampled_from(told(contract)))
    for message in edits.witnesses(example, place, edits.said(place, old, new)):
        if contract.startswith("commands/") or not edits.fresh(message):
            assert after.is_valid(message) or not before.is_valid(message)
        if not contract.startswith("commands/"):
            assert before.is_valid(message) or not after.is_valid(message)


def test_the_contracts_keep_what_was_published() -> None:
    """Schemas, examples both ways, channels: nothing breaks with the newest published version."""
    assert [] == list(map(str, findings(ROOT)))


@settings(max_examples=50)
@given(name=st.sampled_from(COMMANDS), data=st.data())
def test_what_producers_send_by_the_published_version_is_accepted(
    name: str, data: DataObject
) -> None:
    """The courier of today decodes whatever the published contract allows."""
    message = data.draw(messages(f"commands/{name}/v1"))
    assert message["id"] == decode(strategies.encode(message)).envelope.id


@settings(max_examples=50)
@given(name=st.sampled_from(COMMANDS), data=st.data())
def test_what_is_told_is_read_by_the_published_version(name: str, data: DataObject) -> None:
    """Results that the courier tells today are valid for who has the published contract."""
    event = data.draw(finished(name))
    errors = Draft202012Validator(published(f"events/{name}.finished/v1")).iter_errors(event)
    assert [] == [(error.json_path, at(event, "type")) for error in errors]
