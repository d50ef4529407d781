"""The AsyncAPI document: valid, up to date, and true of what the service does."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator

from deploy.asyncapi.document import CONTRACTS, document
from deploy.asyncapi.page import PAGE, page
from deploy.asyncapi.text import as_yaml
from service.messages.commands import COMMANDS
from service.messages.encode import Event
from service.messages.wire import now
from service.topology import exchanges
from tests.support.npm import node_modules

Json = dict[str, Any]

FILE: Final = CONTRACTS / "asyncapi.yaml"
SCHEMA: Final = Path("@asyncapi", "specs", "schemas", "3.0.0.json")
EXAMPLES: Final = sorted((CONTRACTS / "events").glob("*/v1.examples/*.json"))


@cache
def committed() -> Json:
    return dict(yaml.safe_load(FILE.read_text("utf-8")))


@cache
def official() -> Draft7Validator:
    return Draft7Validator(json.loads((node_modules() / SCHEMA).read_text("utf-8")))


def found(reference: str) -> Json:
    """What a reference inside the document leads to."""
    place = committed()
    for step in reference.removeprefix("#/").split("/"):
        place = place[step]
    return place


def references(part: object) -> list[str]:
    if isinstance(part, list):
        return [each for item in part for each in references(item)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
    return own + [each for item in part.values() for each in references(item)]


def test_what_is_generated_is_what_is_committed() -> None:
    """`make contracts` was called after the last change."""
    assert as_yaml(document()) == FILE.read_text("utf-8")
    assert page(document()) == PAGE.read_text("utf-8")


def test_it_is_valid_by_the_specification() -> None:
    """AsyncAPI's own JSON Schema of version 3.0.0 finds nothing."""
    assert [] == [error.message for error in official().iter_errors(committed())]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("asyncapi", "2.6.0"),
        ("channels/query-devices.v1/bindings/amqp/exchange/type", "sometimes"),
        ("operations/run.query-devices.v1/action", "answer"),
        ("operations/run.query-devices.v1/reply/address/location", 7),
        ("components/messages/query-devices.v1/contentType", 7),
    ],
)
def test_the_specification_would_find_what_is_wrong(path: str, value: object) -> None:
    """The check can fail."""
    broken: Json = yaml.safe_load(FILE.read_text("utf-8"))
    *above, last = path.split("/")
    place: Any = broken
    for step in above:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[last] = value
    assert not official().is_valid(broken)


def test_every_reference_leads_somewhere() -> None:
    """Inside the document, or to a contract."""
    for reference in references(committed()):
        if reference.startswith("#/"):
            assert found(reference), reference
        else:
            assert (
                Draft202012Validator.META_SCHEMA["$id"]
                == (json.loads((CONTRACTS / reference).read_text("utf-8"))["$schema"])
            )


def test_every_command_is_received_and_answered() -> None:
    """With its own end or a rejection, to where its sender wants it."""
    for command in COMMANDS:
        key = command.removeprefix("courier.")
        name, _, major = key.rpartition(".")
        operation = found(f"#/operations/run.{key}")
        assert "receive" == operation["action"]
        assert command == found(operation["channel"]["$ref"])["address"]
        answers = [found(each["$ref"])["$ref"] for each in operation["reply"]["messages"]]
        assert answers == [
            f"#/components/messages/{name}.finished.{major}",
            "#/components/messages/command.rejected.v1",
        ]
    received = [each for each in committed()["operations"].values() if each["action"] == "receive"]
    assert len(COMMANDS) == len(received)


def test_exchanges_are_those_that_the_service_declares() -> None:
    """By name and type."""
    declared = {(each.name, each.kind) for each in exchanges([])}
    named = [each["bindings"]["amqp"]["exchange"] for each in bound()]
    assert {(each["name"], each["type"]) for each in named} <= declared
    assert {"courier.commands", "courier.events"} == {each["name"] for each in named}
    assert all(each["durable"] and not each["autoDelete"] for each in named)


def bound() -> list[Json]:
    return [each for each in committed()["channels"].values() if each["address"] is not None]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_events_go_where_it_says(path: Path) -> None:
    """The address, with its parameters filled in, is the routing key that the service uses."""
    told = json.loads(path.read_text("utf-8"))
    channel = found(f"#/channels/{told['type'].removeprefix('courier.')}")
    outcomes = (told["data"].get(name) for name in ("conclusion", "verdict", "reason"))
    event = Event(
        id=told["id"],
        source=told["source"],
        type=told["type"],
        time=now(),
        outcome=next(filter(None, outcomes), "page"),
        data=b"{}",
        appliance=told.get("subject"),
    )
    pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^.]+)", re.escape(channel["address"]))
    match = re.fullmatch(pattern, event.routing_key)
    assert match, (channel["address"], event.routing_key)
    assert set(channel["parameters"]) == set(match.groupdict())
    for name, value in match.groupdict().items():
        assert value in channel["parameters"][name].get("enum", [value])
