"""The AsyncAPI 3.0 document: who sends what where, and what is answered where.

It says nothing that is not said elsewhere: messages are the contract files, by reference; names and
arguments on the broker are those that the service declares; examples are the contracts' own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from service.topology import COMMANDS_EXCHANGE, EVENTS_EXCHANGE, OWN_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

Json: TypeAlias = dict[str, Any]

CONTRACTS: Final = Path(__file__).parents[2] / "contracts"
VERSION: Final = "1.0.0-draft"
"""Of the contracts; they are a draft until release 1.0.0."""
CONTENT_TYPE: Final = "application/cloudevents+json"
SCHEMA_FORMAT: Final = "application/schema+json;version=draft-2020-12"
_BINDING: Final = "0.3.0"
_REJECTED: Final = "command.rejected"
_SETTLED: Final = ".settled"
_PAGE: Final = ".page"
_EXAMPLES: Final = ("smallest", "fullest")
_APPLIANCE: Final = {
    "description": "The appliance's name in the courier's inventory; bind `*` for all.",
    "examples": ["fac-ottawa"],
}
_ABOUT: Final = """\
Commands go to the exchange `courier.commands`, with their CloudEvents `type` as routing key.
Every valid command ends in exactly one `finished` event on the exchange `courier.events`, and
whatever is no valid command in a `rejected` event; both are also sent to the command's AMQP
`reply_to`, with its `correlation_id`. An event may come more than once, always with the same `id`.
The pages of a streamed query and what a person settles go to the exchange `courier.events` only.

A subscriber's queue must be unbounded or drop its oldest messages (`x-overflow: drop-head`): one
that is full and rejects (`reject-publish`) stops the results of everybody.
"""
_PROPERTIES: Final = {
    "type": "object",
    "description": "AMQP properties, not headers.",
    "properties": {
        "reply_to": {
            "type": "string",
            "description": "A queue of yours that the end is sent to as well; optional.",
        },
        "correlation_id": {
            "type": "string",
            "description": "What the answer to reply_to is to carry; optional.",
        },
    },
}


@dataclass(frozen=True)
class Contract:
    """One major version of one kind of message.

    Attributes:
        kind: `commands` or `events`.
        name: such as `query-devices` or `query-devices.finished`.
        major: such as `v1`.
    """

    kind: str
    name: str
    major: str

    @property
    def type(self) -> str:
        """The CloudEvents type."""
        return f"{OWN_PREFIX}{self.name}.{self.major}"

    @property
    def file(self) -> str:
        """The schema's path below `contracts/`."""
        return f"{self.kind}/{self.name}/{self.major}.schema.json"

    @property
    def key(self) -> str:
        """What it is called in the document."""
        return f"{self.name}.{self.major}"

    @property
    def schema(self) -> Json:
        """What the file says."""
        return dict(json.loads((CONTRACTS / self.file).read_text("utf-8")))

    @property
    def examples(self) -> Iterator[Json]:
        """Give the smallest and the fullest example; the others stand beside the schema."""
        folder = (CONTRACTS / self.file).parent / f"{self.major}.examples"
        for file in (folder / f"{name}.json" for name in _EXAMPLES):
            if file.is_file():
                yield {"name": file.stem, "payload": json.loads(file.read_text("utf-8"))}


def contracts(kind: str) -> list[Contract]:
    """List the contracts of a kind, by name and version."""
    files = sorted((CONTRACTS / kind).glob("*/*.schema.json"))
    return [Contract(kind, file.parent.name, file.name.split(".")[0]) for file in files]


def document() -> Json:
    """Make the document.

    Raises:
        OSError, ValueError: a contract cannot be read, or an example is no JSON.
    """
    commands, events = contracts("commands"), contracts("events")
    ends = {each.name.removesuffix(".finished"): each for each in events}
    return {
        "asyncapi": "3.0.0",
        "id": "urn:courier",
        "info": {
            "title": "Appliance Courier",
            "version": VERSION,
            "description": _ABOUT,
            "license": {"name": "MIT"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": _servers(),
        "channels": {
            **{each.key: _command_channel(each) for each in commands},
            **{each.key: _event_channel(each) for each in events},
            "reply": {
                "address": None,
                "description": "The queue that a command's AMQP reply_to names.",
                "messages": {each.key: _ref(each) for each in events if _is_end(each)},
            },
        },
        "operations": {
            **{
                f"run.{each.key}": _receiving(each, ends[each.name], ends[_REJECTED])
                for each in commands
            },
            **{f"tell.{each.key}": _sending(each) for each in events},
        },
        "components": {"messages": {each.key: _message(each) for each in [*commands, *events]}},
    }


def _servers() -> Json:
    return {
        scheme: {
            "host": "{host}",
            "pathname": "/{vhost}",
            "protocol": scheme,
            "protocolVersion": "0.9.1",
            "description": about,
            "variables": {
                "host": {"description": "The RabbitMQ broker.", "default": "localhost"},
                "vhost": {"description": "Its virtual host.", "default": "%2F"},
            },
            "security": [{"type": "userPassword"}],
        }
        for scheme, about in (("amqp", "Without TLS."), ("amqps", "With TLS."))
    }


def _command_channel(contract: Contract) -> Json:
    return {
        "address": contract.type,
        "title": contract.schema["title"],
        "messages": {contract.key: _ref(contract)},
        "bindings": _exchange(COMMANDS_EXCHANGE),
    }


def _event_channel(contract: Contract) -> Json:
    parameters: Json = {"appliance": _APPLIANCE}
    if contract.name == _REJECTED:
        address = "rejected.{reason}"
        reasons = contract.schema["$defs"]["data"]["properties"]["reason"]["description"]
        parameters = {"reason": {"description": reasons}}
    elif contract.name.endswith(_PAGE):
        address = "page.{appliance}"
    elif contract.name.endswith(_SETTLED):
        address = "{verdict}.{appliance}"
        parameters["verdict"] = _listed(contract, "verdict")
    else:
        address = "{conclusion}.{appliance}"
        parameters["conclusion"] = _listed(contract, "conclusion")
    return {
        "address": f"{contract.type}.{address}",
        "title": contract.schema["title"],
        "parameters": parameters,
        "messages": {contract.key: _ref(contract)},
        "bindings": _exchange(EVENTS_EXCHANGE),
    }


def _listed(contract: Contract, field: str) -> Json:
    found = contract.schema["$defs"]["data"]["properties"][field]
    return {"description": found["description"], "enum": found["enum"]}


def _exchange(name: str) -> Json:
    exchange = {"name": name, "type": "topic", "durable": True, "autoDelete": False}
    return {"amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": _BINDING}}


def _receiving(command: Contract, end: Contract, rejected: Contract) -> Json:
    return {
        "action": "receive",
        "title": command.schema["title"].removeprefix("Command: "),
        "summary": command.schema["description"].partition(" The whole message:")[0],
        "channel": {"$ref": f"#/channels/{command.key}"},
        "messages": [{"$ref": f"#/channels/{command.key}/messages/{command.key}"}],
        "bindings": {
            "amqp": {
                "deliveryMode": 2,
                "mandatory": True,
                "ack": True,
                "bindingVersion": _BINDING,
            }
        },
        "reply": {
            "address": {
                "location": "$message.header#/reply_to",
                "description": "The finished or rejected event is sent there once more.",
            },
            "channel": {"$ref": "#/channels/reply"},
            "messages": [
                {"$ref": f"#/channels/reply/messages/{each.key}"} for each in (end, rejected)
            ],
        },
    }


def _sending(event: Contract) -> Json:
    return {
        "action": "send",
        "title": event.schema["title"].removeprefix("Event: "),
        "summary": event.schema["description"].partition(" The whole message:")[0],
        "channel": {"$ref": f"#/channels/{event.key}"},
        "messages": [{"$ref": f"#/channels/{event.key}/messages/{event.key}"}],
        "bindings": {
            "amqp": {
                "deliveryMode": 2,
                "mandatory": True,
                "timestamp": True,
                "bindingVersion": _BINDING,
            }
        },
    }


def _message(contract: Contract) -> Json:
    schema = contract.schema
    made: Json = {
        "name": contract.type,
        "title": schema["title"],
        "summary": schema["description"].partition(" The whole message:")[0],
        "contentType": CONTENT_TYPE,
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": {"$ref": contract.file}},
        "correlationId": {
            "location": "$message.payload#/correlationid",
            "description": "The command's own, else the command's id.",
        },
        "bindings": {"amqp": {"messageType": contract.type, "bindingVersion": _BINDING}},
        "examples": list(contract.examples),
    }
    if contract.kind == "commands":
        made["headers"] = _PROPERTIES
    return made


def _is_end(contract: Contract) -> bool:
    """Tell what a command ends by, and what is sent to a `reply_to` as well."""
    return not contract.name.endswith((_PAGE, _SETTLED))


def _ref(contract: Contract) -> Json:
    return {"$ref": f"#/components/messages/{contract.key}"}
