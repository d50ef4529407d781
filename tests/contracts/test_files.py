"""The contract files hold together by themselves; nothing here knows the service."""

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
Object: TypeAlias = "dict[str, Json]"

ROOT = Path(__file__).parents[2] / "contracts"
# The copies in published/ are the business of test_compatibility.py.
SCHEMAS = sorted(
    file
    for kind in ("commands", "event-log", "events")
    for file in ROOT.glob(f"{kind}/**/*.schema.json")
)
MESSAGES = [path for path in SCHEMAS if path.parts[-3] in {"commands", "events"}]
COMMANDS = [path for path in MESSAGES if path.parts[-3] == "commands"]
FINISHED = [path for path in MESSAGES if path.parent.name.endswith(".finished")]
PAGES = [path for path in MESSAGES if path.parent.name.endswith(".page")]
SETTLED = [path for path in MESSAGES if path.parent.name.endswith(".settled")]
REJECTED = ROOT / "events/command.rejected/v1.schema.json"

NAMESPACE = uuid.UUID("f3cd522e-1948-43b0-b490-493a9659023b")
MEBIBYTE = 1_048_576
# What RE2 (Go), ECMAScript, Java and Python read alike has none of these.
UNPORTABLE = re.compile(r"\(\?[^:]|\\[A-Za-z0-9]")


def beside(schema: Path, kind: str) -> list[Path]:
    return sorted(schema.with_name(f"{schema.name.split('.', 1)[0]}.{kind}").glob("*.json"))


EXAMPLES = [(schema, file) for schema in SCHEMAS for file in beside(schema, "examples")]
COUNTEREXAMPLES = [
    (schema, file) for schema in SCHEMAS for file in beside(schema, "counterexamples")
]
EVENT_EXAMPLES = [
    (schema, file) for schema, file in EXAMPLES if schema in {*FINISHED, *PAGES, *SETTLED, REJECTED}
]


def name(value: object) -> str | None:
    return value.relative_to(ROOT).as_posix() if isinstance(value, Path) else None


def without_twins(pairs: list[tuple[str, Json]]) -> Object:
    found = dict(pairs)
    assert len(found) == len(pairs), f"a key stands twice among {sorted(found)}"
    return found


def load(path: Path) -> Json:
    content: Json = json.loads(path.read_text("utf-8"), object_pairs_hook=without_twins)
    return content


def at(value: Json, *keys: str) -> Json:
    for key in keys:
        assert isinstance(value, dict)
        value = value[key]
    return value


def mapping(value: Json, *keys: str) -> Object:
    found = at(value, *keys)
    assert isinstance(found, dict)
    return found


def validator(schema: Path) -> Draft202012Validator:
    return Draft202012Validator(mapping(load(schema)))


def places(error: ValidationError) -> Iterator[str]:
    """Where an error lies: a missing field at its own path, an unknown one at its parent's."""
    path = [str(part) for part in error.absolute_path]
    if error.validator == "required":
        assert isinstance(error.validator_value, list)
        assert isinstance(error.instance, dict)
        missing = [key for key in error.validator_value if key not in error.instance]
        yield from (".".join([*path, key]) for key in missing)
    else:
        yield ".".join(path) or "message"
    for nested in error.context or ():
        yield from places(nested)


def defects(schema: Path, message: Json) -> set[str]:
    return {place for error in validator(schema).iter_errors(message) for place in places(error)}


def walk(value: Json) -> Iterator[Object]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from walk(part)


def test_every_agreed_message_has_a_contract() -> None:
    """Five commands with their results, one's pages, two settlements and the rejection."""
    names = ["activate-sms-license", "apply-voice-license", "query-devices", "query-sms-balance"]
    names += ["query-appliance-status"]
    expected = {f"commands/{each}/v1.schema.json" for each in names}
    expected |= {f"events/{each}.finished/v1.schema.json" for each in names}
    expected |= {f"events/{each}.settled/v1.schema.json" for each in names if "license" in each}
    expected |= {
        "events/command.rejected/v1.schema.json",
        "events/query-devices.page/v1.schema.json",
    }
    assert expected <= {name(path) for path in MESSAGES}


@pytest.mark.parametrize("schema", SCHEMAS, ids=name)
def test_a_schema_follows_the_metaschema(schema: Path) -> None:
    """Every schema declares JSON Schema 2020-12 and is valid by its rules."""
    content = mapping(load(schema))
    assert content["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(content)


@pytest.mark.parametrize("schema", MESSAGES, ids=name)
def test_a_schema_is_named_after_its_place(schema: Path) -> None:
    """A message's $id, and that of its data, say kind, name and major version."""
    place = f"{schema.parts[-3]}:{schema.parts[-2]}:{schema.name.split('.', 1)[0]}"
    content = load(schema)
    assert at(content, "$id") == f"urn:courier:message:{place}"
    assert at(content, "$defs", "data", "$id") == f"urn:courier:contract:{place}"


@pytest.mark.parametrize("schema", SCHEMAS, ids=name)
def test_a_schema_needs_no_other_file(schema: Path) -> None:
    """Every reference stays inside the file, so that a copy of it is enough."""
    parts = list(walk(load(schema)))
    own = {part["$id"] for part in parts if "$id" in part}
    references = {str(part["$ref"]) for part in parts if "$ref" in part}
    assert {ref for ref in references if not ref.startswith("#/")} <= own


@pytest.mark.parametrize("schema", SCHEMAS, ids=name)
def test_a_pattern_means_the_same_in_every_language(schema: Path) -> None:
    """No pattern uses look-around, flags or letter escapes."""
    patterns = [part["pattern"] for part in walk(load(schema)) if "pattern" in part]
    assert [each for each in patterns if UNPORTABLE.search(str(each))] == []


@pytest.mark.parametrize("schema", MESSAGES, ids=name)
def test_every_field_is_described(schema: Path) -> None:
    """A reader finds a sentence at every attribute and every field of data."""
    content = load(schema)
    fields = mapping(content, "properties") | mapping(content, "$defs", "data", "properties")
    described = {key for key, field in fields.items() if at(field, "description")}
    assert set(fields) == described


@pytest.mark.parametrize("group", [COMMANDS, [*FINISHED, *SETTLED]], ids=["commands", "events"])
def test_the_envelope_is_the_same_everywhere(group: list[Path]) -> None:
    """All commands share one envelope, and all events about a command another."""
    own = {"type", "dataschema", "data"}
    envelopes = [mapping(load(schema), "properties") for schema in group]
    shared = [{key: each[key] for key in each.keys() - own} for each in envelopes]
    assert [shared[0]] * len(group) == shared


@pytest.mark.parametrize("schema", MESSAGES, ids=name)
def test_only_the_data_of_commands_is_closed(schema: Path) -> None:
    """Unknown fields are refused in a command's data and allowed everywhere else."""
    closed = [part for part in walk(load(schema)) if "additionalProperties" in part]
    data = mapping(load(schema), "$defs", "data")
    objects = [part for part in walk(data) if part.get("type") == "object"]
    assert closed == (objects if schema in COMMANDS else [])


@pytest.mark.parametrize("schema", SCHEMAS, ids=name)
def test_a_contract_is_shown_by_examples(schema: Path) -> None:
    """Every contract has at least three examples and five counterexamples."""
    assert len(beside(schema, "examples")) >= 3
    assert len(beside(schema, "counterexamples")) >= 5


@pytest.mark.parametrize(("schema", "file"), EXAMPLES, ids=name)
def test_an_example_is_accepted(schema: Path, file: Path) -> None:
    """Every example follows its contract."""
    assert defects(schema, load(file)) == set()


@pytest.mark.parametrize(("schema", "file"), COUNTEREXAMPLES, ids=name)
def test_a_counterexample_is_refused_where_its_name_says(schema: Path, file: Path) -> None:
    """Every counterexample has an error at the path that its name begins with."""
    assert file.stem.split("--", 1)[0] in defects(schema, load(file))


@pytest.mark.parametrize(
    ("schema", "file"), [pair for pair in COUNTEREXAMPLES if pair[0] in MESSAGES], ids=name
)
def test_a_counterexample_is_wrong_in_one_place_only(schema: Path, file: Path) -> None:
    """Every counterexample of a message would be valid but for that one place."""
    assert {file.stem.split("--", 1)[0]} == defects(schema, load(file))


@pytest.mark.parametrize("schema", [*FINISHED, *SETTLED], ids=name)
def test_every_member_of_a_closed_list_has_an_example(schema: Path) -> None:
    """The examples of an event show each conclusion, effect and verdict that it can have."""
    fields = mapping(load(schema), "$defs", "data", "properties")
    for closed in fields.keys() & {"conclusion", "effect", "verdict"}:
        members = at(fields, closed, "enum")
        assert isinstance(members, list)
        assert set(members) == {
            at(load(file), "data", closed) for file in beside(schema, "examples")
        }


def test_every_reason_has_an_example() -> None:
    """The examples of the rejection show each known reason."""
    shown = {at(load(file), "data", "reason") for file in beside(REJECTED, "examples")}
    assert shown == {
        "too-large",
        "not-json",
        "not-a-cloudevent",
        "unknown-command",
        "contract-violation",
        "id-conflict",
        "delivery-limit",
    }


@pytest.mark.parametrize(("schema", "file"), EVENT_EXAMPLES, ids=name)
def test_an_events_id_can_be_computed(schema: Path, file: Path) -> None:
    """An event's id is the UUIDv5 of what it answers, of its type, and of a page's numbers."""
    event = load(file)
    if schema == REJECTED:
        parts = [at(event, "data", "body_sha256"), at(event, "type")]
    else:
        command = mapping(event, "data", "command")
        parts = [command["source"], command["id"], at(event, "type")]
        if schema in PAGES:
            parts += [at(event, "data", "attempt"), at(event, "data", "sequence")]
    assert str(uuid.uuid5(NAMESPACE, "\n".join(map(str, parts)))) == at(event, "id")


@pytest.mark.parametrize(
    "file", [file for schema, file in EXAMPLES if schema in {*FINISHED, *PAGES, *SETTLED}], ids=name
)
def test_an_events_envelope_agrees_with_its_data(file: Path) -> None:
    """The subject is the appliance, and the causationid the command's id."""
    event = load(file)
    assert at(event, "data", "appliance") == at(event, "subject")
    assert at(event, "data", "command", "id") == at(event, "causationid")


@pytest.mark.parametrize(
    "file",
    beside(ROOT / "events/activate-sms-license.finished/v1.schema.json", "examples"),
    ids=name,
)
def test_added_sms_is_the_growth_of_the_total(file: Path) -> None:
    """Where both figures were read, added_sms is the second total minus the first."""
    data = mapping(load(file), "data")
    if data["before"] is not None and data["after"] is not None:
        before, after = at(data, "before", "total_sms"), at(data, "after", "total_sms")
        assert isinstance(before, int)
        assert isinstance(after, int)
        assert after - before == data["added_sms"]


@pytest.mark.parametrize(
    ("size", "accepted"),
    [(MEBIBYTE - 1, True), (MEBIBYTE, True), (MEBIBYTE + 1, False), (MEBIBYTE + 2, False)],
)
def test_a_licence_file_has_at_most_one_mebibyte(size: int, accepted: bool) -> None:
    """The limit on base64 is exact to the byte."""
    schema = ROOT / "commands/apply-voice-license/v1.schema.json"
    message = mapping(load(schema.with_name("v1.examples") / "smallest.json"))
    mapping(message, "data", "file")["content"] = base64.b64encode(bytes(size)).decode()
    assert defects(schema, message) == (set() if accepted else {"data.file.content"})


def test_digests_are_recorded() -> None:
    """contracts/digests.json names the SHA-256 of every schema, sorted by path."""
    expected = {str(name(path)): hashlib.sha256(path.read_bytes()).hexdigest() for path in SCHEMAS}
    recorded = (ROOT / "digests.json").read_text("utf-8")
    assert json.dumps(expected, indent=2, sort_keys=True) + "\n" == recorded


def test_the_newest_changelog_entry_belongs_to_the_digests() -> None:
    """A changed contract has its line in CHANGELOG.md, under the digest of digests.json."""
    digest = hashlib.sha256((ROOT / "digests.json").read_bytes()).hexdigest()[:16]
    newest = (ROOT / "CHANGELOG.md").read_text("utf-8").split("\n## ")[1]
    assert digest in newest, f"the newest entry has to name {digest}"
