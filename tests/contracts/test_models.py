"""The models agree with the contract files, in both directions."""

import copy
import json
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject, DrawFn
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from service.errors import Reason, Rejection
from service.messages.commands import COMMANDS, decode, explain, identify
from service.messages.encode import FINISHED, PAGES, SETTLED, Event, read_finished, rejected_event
from service.messages.events import Finished, QueryDevicesPage, Rejected
from service.messages.results import Conclusion
from service.messages.settled import Settled
from service.messages.wire import Identity
from tests.contracts import strategies
from tests.contracts.strategies import COMMAND_NAMES, encode, values
from tests.contracts.test_files import (
    COUNTEREXAMPLES,
    EVENT_EXAMPLES,
    EXAMPLES,
    ROOT,
    Json,
    Object,
    at,
    load,
    mapping,
    name,
    validator,
)

COMMAND_EXAMPLES: Final = [file for schema, file in EXAMPLES if schema.parts[-3] == "commands"]
COMMAND_COUNTEREXAMPLES: Final = [
    file for schema, file in COUNTEREXAMPLES if schema.parts[-3] == "commands"
]
DATA_COUNTEREXAMPLES: Final = [
    file
    for schema, file in COUNTEREXAMPLES
    if schema.parts[-3] == "events" and file.stem.split("--")[0].split(".")[0] == "data"
]
CONCLUSIONS: Final = [
    (command, conclusion)
    for command in COMMAND_NAMES
    for conclusion in Conclusion
    if conclusion != Conclusion.UNKNOWN or not command.startswith("query-")
]
COMMAND_SCHEMAS: Final = {
    command: validator(ROOT / f"commands/{command}/v1.schema.json") for command in COMMAND_NAMES
}
_OF_COMMANDS: Final = [
    *(f"{command}.finished" for command in COMMAND_NAMES),
    "query-devices.page",
    *(settled.removeprefix("courier.").removesuffix(".v1") for settled in SETTLED),
]
EVENT_SCHEMAS: Final = {
    f"courier.{event}.v1": validator(ROOT / f"events/{event}/v1.schema.json")
    for event in [*_OF_COMMANDS, "command.rejected"]
}


def place(file: Path) -> str:
    """The JSON Pointer that a counterexample's name begins with."""
    where = file.stem.split("--")[0]
    return "" if where == "message" else "/" + where.replace(".", "/")


def expected_reason(message: Json, where: str) -> Reason:
    """What interface.md calls a defect there: the envelope comes before type, type before data."""
    data = at(message, "data") if where == "/data" and "data" in mapping(message) else None
    if where.startswith("/data/") or isinstance(data, dict):
        return Reason.CONTRACT_VIOLATION
    if where == "/type" and "type" in mapping(message):
        return Reason.UNKNOWN_COMMAND
    return Reason.NOT_A_CLOUDEVENT


def known(told: Json, like: Json) -> Json:
    """What was told, without the fields that the model has no word for; absent is null."""
    if isinstance(told, dict) and isinstance(like, dict):
        return {key: known(told.get(key), value) for key, value in like.items()}
    if isinstance(told, list) and isinstance(like, list):
        return [known(*pair) for pair in zip(told, like, strict=True)]
    return told


def read(body: bytes) -> Finished | QueryDevicesPage | Rejected | Settled:
    """Read an event by its type, as those do who are bound to it."""
    document = json.loads(body)
    told = PAGES.get(document["type"]) or SETTLED.get(document["type"])
    return told.model_validate(document["data"]) if told else read_finished(body)


def complaints(schema: Draft202012Validator, event: Event) -> list[str]:
    document = json.loads(event.body())
    return [f"{error.json_path}: {error.message}" for error in schema.iter_errors(document)]


def test_every_contract_has_its_model() -> None:
    """A command or result with a contract is known to the code, and the other way round."""
    types = {str(at(load(file), "type")) for _, file in EVENT_EXAMPLES}
    assert {f"courier.{command}.v1" for command in COMMAND_NAMES} == set(COMMANDS)
    assert types == {*FINISHED, *PAGES, *SETTLED, "courier.command.rejected.v1"}


@pytest.mark.parametrize("file", COMMAND_EXAMPLES, ids=name)
def test_an_example_of_a_command_is_decoded(file: Path) -> None:
    """Every example of a command is read, and read as what it says."""
    message = mapping(load(file))
    command = decode(file.read_bytes())
    assert (message["source"], message["id"]) == command.key
    assert message["type"] == command.envelope.type
    assert at(message, "data", "appliance") == command.data.appliance


@pytest.mark.parametrize("file", COMMAND_COUNTEREXAMPLES, ids=name)
def test_a_counterexample_of_a_command_is_rejected_where_its_name_says(file: Path) -> None:
    """Every counterexample of a command is rejected for the right reason, at its one place."""
    with pytest.raises(Rejection) as caught:
        decode(file.read_bytes())
    assert expected_reason(load(file), place(file)) == caught.value.reason
    assert {place(file)} == {path for path, _ in caught.value.errors}


@pytest.mark.parametrize("file", [file for _, file in EVENT_EXAMPLES], ids=name)
def test_an_example_of_an_event_is_read(file: Path) -> None:
    """Every example of an event is read, and nothing in it is read as something else."""
    like: Json = read(file.read_bytes()).model_dump(mode="json")
    assert known(at(load(file), "data"), like) == like


@pytest.mark.parametrize("file", DATA_COUNTEREXAMPLES, ids=name)
def test_a_counterexample_of_an_event_is_refused_where_its_name_says(file: Path) -> None:
    """A result that contradicts its contract is refused by its model, at its one place."""
    with pytest.raises(ValidationError) as caught:
        read(file.read_bytes())
    assert {place(file)} == {path for path, _ in explain(caught.value, "/data")}


@pytest.mark.parametrize("command", COMMAND_NAMES)
@settings(max_examples=50)
@given(data=st.data(), ascii_only=st.booleans())
def test_a_command_that_its_contract_accepts_is_decoded(
    command: str, data: DataObject, ascii_only: bool
) -> None:
    """Whatever a producer may write is read: every default left out, every null attribute."""
    message = data.draw(strategies.messages(command))
    assert [] == list(COMMAND_SCHEMAS[command].iter_errors(message))
    assert message["id"] == decode(encode(message, ascii_only=ascii_only)).envelope.id


@st.composite
def spoiled(draw: DrawFn, message: Object) -> Object:
    """A message in which one field, anywhere, was replaced, removed or added."""
    message = copy.deepcopy(message)
    target = message
    while True:
        inner = [value for value in target.values() if isinstance(value, dict)]
        if not inner or draw(st.booleans()):
            break
        target = draw(st.sampled_from(inner))
    key = draw(st.sampled_from(sorted(target)) | st.text(max_size=9))
    if draw(st.booleans()):
        target.pop(key, None)
    else:
        target[key] = draw(values)
    return message


@pytest.mark.parametrize("file", COMMAND_EXAMPLES, ids=name)
@settings(max_examples=50)
@given(data=st.data())
def test_a_spoiled_command_is_judged_alike(file: Path, data: DataObject) -> None:
    """Schema and model accept the same commands, whatever single thing is changed in one."""
    message = data.draw(spoiled(mapping(load(file))))
    accepted = COMMAND_SCHEMAS[file.parts[-3]].is_valid(message)
    try:
        decode(encode(message))
    except Rejection:
        decoded = False
    else:
        decoded = True
    assert accepted == decoded


@pytest.mark.parametrize("file", [file for _, file in EVENT_EXAMPLES], ids=name)
@settings(max_examples=50)
@given(data=st.data())
def test_an_event_that_its_contract_accepts_is_read(file: Path, data: DataObject) -> None:
    """Whoever waits for an answer reads whatever the contract lets a later courier say."""
    message = data.draw(spoiled(mapping(load(file))))
    if EVENT_SCHEMAS[str(at(load(file), "type"))].is_valid(message):
        told = read(encode(message))
        assert known(message["data"], told.model_dump(mode="json"))


@pytest.mark.parametrize(("command", "conclusion"), CONCLUSIONS)
@settings(max_examples=50)
@given(data=st.data())
def test_whatever_ends_a_command_follows_the_contract(
    command: str, conclusion: Conclusion, data: DataObject
) -> None:
    """Every finished event that the models can produce is valid, and is read as it was told."""
    event = data.draw(strategies.finished_events(command, conclusion))
    assert [] == complaints(EVENT_SCHEMAS[event.type], event)
    assert event.data == read_finished(event.body()).model_dump_json().encode()


@pytest.mark.parametrize("command", ["activate-sms-license", "apply-voice-license"])
@settings(max_examples=50)
@given(data=st.data())
def test_whatever_a_person_settles_follows_the_contract(command: str, data: DataObject) -> None:
    """Every settled event that the models can produce is valid, and is read as it was told."""
    event = data.draw(strategies.settled_events(command))
    assert [] == complaints(EVENT_SCHEMAS[event.type], event)
    assert event.data == read(event.body()).model_dump_json().encode()


@settings(max_examples=50)
@given(data=st.data())
def test_whatever_is_told_in_pages_follows_the_contract(data: DataObject) -> None:
    """Every page that the models can produce is valid, and is read as it was told."""
    event = data.draw(strategies.page_events())
    assert [] == complaints(EVENT_SCHEMAS[event.type], event)
    assert event.data == read(event.body()).model_dump_json().encode()


@settings(max_examples=50)
@given(
    body=st.binary(max_size=99)
    | values.map(encode)
    | st.sampled_from(COMMAND_EXAMPLES)
    .flatmap(lambda file: spoiled(mapping(load(file))))
    .map(encode)
)
def test_whatever_answers_a_message_that_is_no_command_follows_the_contract(body: bytes) -> None:
    """The rejection of any bytes is a valid event."""
    try:
        decode(body)
    except Rejection as rejection:
        event = rejected_event(rejection, identify(body), body, "/courier")
        assert [] == complaints(EVENT_SCHEMAS[event.type], event)


@pytest.mark.parametrize("reason", Reason)
@settings(max_examples=50)
@given(identity=strategies.senders, source=strategies.references, body=st.binary(max_size=9))
def test_every_reason_is_told_by_the_contract(
    reason: Reason, identity: Identity, source: str, body: bytes
) -> None:
    """A rejection is valid however much of the sender could be read."""
    event = rejected_event(Rejection(reason, [("/id", "why")]), identity, body, source)
    assert [] == complaints(EVENT_SCHEMAS[event.type], event)
