"""What a stranger says in JSON, on its way into an event: bounded, and without secrets.

Nobody documents what the fields mean. So a value is masked by what its field is called, and a text
by its form; rather once too often, but figures and states that only speak of secrets are told.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pydantic_core import to_json

from service.telemetry import redact

if TYPE_CHECKING:
    from service.messages.wire import Json

MAX_BYTES: Final = 128 * 1024
"""How long it may be as JSON: eight times that is half of what a message may be."""
_MAX_DEPTH: Final = 32
_MAX_DOCUMENTS: Final = 3
"""How often JSON may stand in a text of JSON: every time its text is looked through again."""
_MAX_NAME: Final = 64
"""Characters of a field's name that is remembered; a longer one is judged anew each time."""
_MASK: Final = "***"

# Of a name in small letters, without what separates words in it.
_SECRET: Final = re.compile(
    r"(?<!com)(?<!by)pass(?!ive|through|enger|age)|pwd|pw$|secret|token|cookie|psk|privat|credential"
    r"|authoriz|nonce|otp$|^ha1|salt|signature|community|magic|sessi?o?n?id|^sid$|^sess(ion)?s?$"
    r"|^auth$|auth(hash|data|value)|hash$"
    r"|^keys?$|(api|app|auth|enc|access|ssh|ssl|tls|sign(ing)?|host|shared|master|wep|wpa|aes|crypt"
    r"|encryption|license|licence|product|activation|registration|session|server|client|sip)_?keys?$"
    r"|(^|user|admin|sip|phone|voicemail|mail|vm|access|security|device)pins?$"
)
_SEPARATORS: Final = re.compile(r"[^a-z0-9]+")
# Of the whole name: what only speaks of a secret, as a figure or a state.
_ABOUT: Final = re.compile(
    r"(count|total|status|state|mode|type|method|enabled?|length|limit|age|timeout|policy|expir\w*)s?$"
)
_PAIR: Final = re.compile(
    r"(?i)((?:passw(?:or)?d|passphrase|passcode|pwd|secret|token|psk|api_?key"
    r"|(?<![a-z])pin(?![a-z]))[\w-]{0,24}[\"']?\s{0,9}[:=]\s{0,9}[\"']?)[^\s\"',;&]+"
)
_CONFIGURED: Final = re.compile(
    r"(?i)\b(set\s{1,9}[\w-]{0,24}(?:pass|secret|psk|key|pwd)[\w-]{0,24}\s{1,9}|ENC\s{1,9})\S+"
)
_PRIVATE_KEY: Final = re.compile(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END[^\n]*|$)")
_SIP_USER: Final = re.compile(r"(?i)\b(sips?:[^:@\s]{1,64}:)[^@\s]{1,128}+(?=@)")
_PLURAL: Final = re.compile(r"[^s]s$")
_NAMES: Final = ("name", "key", "field", "id", "attribute", "parameter")


def passed_on(value: Json) -> Json:
    """Give what may be told of it: the same, but for secrets.

    Its size is checked first: what is looked for secrets takes a bounded time.

    Raises:
        ValueError: it is larger or nested deeper than anybody passes on; the text says which.
    """
    _check_size(value)
    told = _unveiled(value, _MAX_DEPTH, _MAX_DOCUMENTS)
    if len(to_json(told)) > MAX_BYTES:
        raise _too_large()
    return told


def _too_large() -> ValueError:
    return ValueError(f"is larger than {MAX_BYTES} bytes")


def _check_size(value: Json) -> None:
    """Count characters and values, which are fewer than the bytes of its JSON."""
    left, open_values = MAX_BYTES, [value]
    while open_values:
        each = open_values.pop()
        left -= 1
        if isinstance(each, str):
            left -= len(each)
        elif isinstance(each, list):
            left -= len(each)
            open_values += each if left >= 0 else ()
        elif isinstance(each, dict):
            left -= sum(map(len, each))
            open_values += each.values() if left >= 0 else ()
        if left < 0:
            raise _too_large()


def _unveiled(value: Json, depth: int, documents: int) -> Json:
    if depth == 0:
        raise ValueError("is nested too deeply")
    if isinstance(value, dict):
        hidden = _hidden(value)
        return {
            _text(name): _MASK if name in hidden else _unveiled(each, depth - 1, documents)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_unveiled(each, depth - 1, documents) for each in value]
    return _document(value, depth, documents) if isinstance(value, str) else value


def _hidden(fields: dict[str, Json]) -> set[str]:
    """Find the fields whose values are not told; that one is empty, or a yes or no, is told."""
    named = [fields[name] for name in _NAMES if "value" in fields and name in fields]
    secret = {name for name in fields if _says_secret(name)}
    if named:
        # A pair of name and value: the name may be told, and says what the value is.
        secret = (secret - {*_NAMES}) | {
            "value" for each in named if isinstance(each, str) and _says_secret(each)
        }
    return {name for name in secret if not _tells_nothing(name, fields[name])}


def _tells_nothing(name: str, value: Json) -> bool:
    is_count = isinstance(value, int) and _PLURAL.search(name) is not None  # so many keys
    return value in (None, "") or isinstance(value, bool) or is_count


def _document(text: str, depth: int, documents: int) -> str:
    """Look into a text that is JSON itself; one in too many others is masked as a whole."""
    if text.lstrip()[:1] in {"{", "["}:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return _text(text)
        if documents == 0:
            return _MASK
        try:
            told = _unveiled(document, depth - 1, documents - 1)
        except ValueError:
            return _text(text)
        if told != document:
            return json.dumps(told, ensure_ascii=False)
    return _text(text)


def _says_secret(name: str) -> bool:
    return _judged(name) if len(name) > _MAX_NAME else _remembered(name)


def _judged(name: str) -> bool:
    flat = _SEPARATORS.sub("", name.lower())
    return _SECRET.search(flat) is not None and _ABOUT.search(flat) is None


_remembered: Final = lru_cache(1024)(_judged)


def _text(text: str) -> str:
    # A lone surrogate is legal in JSON and in no encoding.
    told = redact(text if text.isascii() else text.encode("utf-8", "replace").decode())
    for pattern in (_PAIR, _CONFIGURED, _SIP_USER):
        told = pattern.sub(rf"\1{_MASK}", told)
    return _PRIVATE_KEY.sub(_MASK, told)
