"""Holds a message against the contract of its type: where it does not fit, and by which rule.

Never with a value: what is in the wrong place may be a licence.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from jsonschema import Draft202012Validator

from service.errors import Rejection
from service.messages.commands import COMMANDS, MAX_ERRORS, decode, identify
from service.messages.wire import parse_json
from service.parking.words import printable, wrong
from service.published import schemas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema.exceptions import ValidationError

    from service.messages.wire import Json

_LONGEST = 255
_DIGITS = 12


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one message.

    Attributes:
        id: the message's own, else the beginning of its body's SHA-256.
        contract: what it was held against, or would be; None when it has no type.
        fault: all that is wrong with it; empty when it fits.
    """

    id: str
    contract: str | None
    fault: str = ""

    def __str__(self) -> str:
        """Say it in one line."""
        name = printable(self.contract)[:_LONGEST]
        return f"{self.id}  {name}  {f'invalid: {self.fault}' if self.fault else 'valid'}"


def judge(
    body: bytes, *, contract: str | None = None, content_encoding: str | None = None
) -> Verdict:
    """Hold a message against its contract; a command also against what a schema cannot say.

    Args:
        body: the message as it is sent.
        contract: hold it against this one instead of that of its type.
        content_encoding: the AMQP property.
    """
    name = identify(body).id or hashlib.sha256(body).hexdigest()[:_DIGITS]
    try:
        document = parse_json(body)
    except Rejection as rejection:
        return Verdict(name, contract, wrong(rejection))
    told = document.get("type") if isinstance(document, dict) else None
    wanted = contract or (told if isinstance(told, str) else None)
    validator = _validator(wanted)
    if validator is None:
        return Verdict(name, wanted, "there is no contract of this type" if wanted else "no type")
    faults = list(dict.fromkeys(_faults(validator, document)))[:MAX_ERRORS]
    if faults or wanted not in COMMANDS:
        return Verdict(name, wanted, "; ".join(faults))
    try:
        decode(body, content_encoding=content_encoding)
    except Rejection as rejection:
        return Verdict(name, wanted, wrong(rejection))
    return Verdict(name, wanted)


@cache
def _validator(name: str | None) -> Draft202012Validator | None:
    schema = schemas().get(name or "")
    return Draft202012Validator(json.loads(schema.read_text("utf-8"))) if schema else None


def _faults(validator: Draft202012Validator, document: Json) -> Iterator[str]:
    for error in sorted(validator.iter_errors(document), key=lambda each: each.json_path):
        path = "".join(f"/{step}" for step in error.absolute_path)
        for below in _missing(error) or [""]:
            yield f"{path}{below or ('' if path else '/')} does not fit `{error.validator}`"


def _missing(error: ValidationError) -> list[str]:
    """Name the fields that are missing, which only the schema's words can be."""
    wanted, found = error.validator_value, error.instance
    if error.validator != "required" or not isinstance(wanted, list) or not isinstance(found, dict):
        return []
    return [f"/{each}" for each in wanted if each not in found]
