"""Takes out what is secret, by name and by form, wherever something is told."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_SECRET_KEYS = re.compile(
    r"password|passwd|secret|token|cookie|authorization|api_?key", re.IGNORECASE
)
# Any letter may stand before it: the repr of a line break ends with one. A UUID goes on.
_LICENCE = re.compile(r"\w{4}(?:-[A-Za-z0-9]{4}){3}-([A-Za-z0-9]{4})(?![A-Za-z0-9])")
_HYPHENS = 4
_CREDENTIALS = re.compile(r"(?<=://)[^\s/]*@")
# A name is looked through once: up to the next place where one could begin, and no further.
_PROOF = re.compile(
    r"(APSCookie(?:(?!APSCookie)\w)*=|Basic |Bearer )[^\s;,'\"]+", re.IGNORECASE | re.ASCII
)
_MAX_KEY = 64
"""Characters of a key that is remembered: some of them are names from outside, of any length."""
_PROOFS = ("apscookie", "basic ", "bearer ")


def redact(text: str) -> str:
    """Take out what looks like a licence, a credential or a session.

    Nearly always there is nothing, and a look for what must stand there tells so much sooner.
    """
    if text.count("-") >= _HYPHENS:
        text = _LICENCE.sub(r"****-\1", text)
    if "@" in text:
        text = _CREDENTIALS.sub("***@", text)
    if (" " in text or "=" in text) and any(proof in text.lower() for proof in _PROOFS):
        text = _PROOF.sub(r"\1***", text)
    return text


def redacted(key: str, value: object) -> object:
    """Take secrets out of a value, by name and by form; what JSON cannot hold becomes text."""
    if _is_secret(key):
        return "***"
    if type(value) is str:
        return redact(value)
    if isinstance(value, dict):
        return {redact(str(name)): redacted(str(name), each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(key, each) for each in value]
    return value if isinstance(value, int | float | None) else redact(str(value))


def _is_secret(key: str) -> bool:
    return _judged(key) if len(key) > _MAX_KEY else _remembered(key)


def _judged(key: str) -> bool:
    return _SECRET_KEYS.search(key) is not None


_remembered: Final = lru_cache(1024)(_judged)
