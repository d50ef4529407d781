"""What an appliance says about itself, passed on as it is: an answer → a `Reading`.

The vendor names these resources and documents no schema, so nothing is interpreted here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.appliances.answers import Meaning, known_status, problem, unexpected
from service.appliances.phones import parse_lenient
from service.appliances.ports import Reading
from service.errors import CommandError, Failed
from service.messages.passthrough import MAX_BYTES

if TYPE_CHECKING:
    from service.appliances.answers import Answer

_MISSING: Final = frozenset({404, 405})
_MAX_BYTES: Final = 4 * MAX_BYTES
"""Of a body that is looked into: spaces and escapes take their part."""


def of_answer(name: str, answer: Answer) -> Reading:
    """Pass on what was answered, or say why there is nothing to pass on."""
    if answer.status in _MISSING:
        return Reading.missing(name, answer.status)
    if answer.meaning is not Meaning.DONE:
        return of_error(name, problem(answer, "the appliance"))
    if len(answer.body) > _MAX_BYTES:
        return of_error(name, unexpected(f"is larger than {_MAX_BYTES} bytes", answer.status))
    try:
        return Reading(name, answer.status, parse_lenient(answer))
    except Failed as error:
        return of_error(name, error)


def of_error(name: str, error: CommandError) -> Reading:
    """Say why there is nothing to pass on."""
    return Reading(name, known_status(error.status), error=(error.code.value, error.message))
