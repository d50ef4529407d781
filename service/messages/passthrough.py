"""What a stranger says in JSON, on its way into an event: bounded, and without secrets.

Nobody documents what the fields mean. So a field is masked by the words in its name, rather once
too often, and a text by its form.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pydantic_core import to_json

from service.telemetry import redact, redacted

if TYPE_CHECKING:
    from service.messages.wire import Json

MAX_BYTES: Final = 128 * 1024
"""How long it may be as JSON: eight times that is half of what a message may be."""
_MAX_DEPTH: Final = 32
_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_SECRET_WORDS: Final = frozenset(
    {
        *("pass", "pwd", "passphrase", "passcode", "pin", "psk", "key", "keys", "private", "hash"),
        *("auth", "credential", "credentials", "session", "community", "magic", "signature"),
    }
)
_MASK: Final = "***"


def passed_on(value: Json) -> Json:
    """Give what may be told of it: the same, but for secrets.

    Raises:
        ValueError: it is larger or nested deeper than anybody passes on; the text says which.
    """
    told = _unveiled(value, _MAX_DEPTH)
    if len(to_json(told)) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES} bytes")
    return told


def _unveiled(value: Json, depth: int) -> Json:
    if depth == 0:
        raise ValueError("is nested too deeply")
    if isinstance(value, dict):
        return {
            _text(name): _MASK if _is_secret(name, each) else _unveiled(each, depth - 1)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_unveiled(each, depth - 1) for each in value]
    return _text(value) if isinstance(value, str) else value


def _is_secret(name: str, value: Json) -> bool:
    """Tell a field whose value is not passed on; whether there is one is no secret."""
    return value is not None and not isinstance(value, bool) and value != "" and _says_secret(name)


@lru_cache(1024)
def _says_secret(name: str) -> bool:
    words = {word.lower() for word in _WORDS.findall(name)}
    return redacted(name, "") == _MASK or not words.isdisjoint(_SECRET_WORDS)


def _text(text: str) -> str:
    # A lone surrogate is legal in JSON and in no encoding.
    return redact(text if text.isascii() else text.encode("utf-8", "replace").decode())
