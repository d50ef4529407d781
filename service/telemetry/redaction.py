"""Takes out what is secret, by name and by form, wherever something is told."""

from __future__ import annotations

import re

_SECRET_KEYS = re.compile(
    r"password|passwd|secret|token|cookie|authorization|api_?key", re.IGNORECASE
)
_SECRETS = (
    # Any letter may stand before them: the repr of a line break ends with one. A UUID goes on.
    (re.compile(r"\w{4}(?:-[A-Za-z0-9]{4}){3}-([A-Za-z0-9]{4})(?![A-Za-z0-9])"), r"****-\1"),
    (re.compile(r"(?<=://)[^\s/]*@"), "***@"),
    (re.compile(r"(?i)(APSCookie\w*=|Basic |Bearer )[^\s;,'\"]+"), r"\1***"),
)


def redact(text: str) -> str:
    """Take out what looks like a licence, a credential or a session."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def redacted(key: str, value: object) -> object:
    """Take secrets out of a value, by name and by form; what JSON cannot hold becomes text."""
    if _SECRET_KEYS.search(key):
        return "***"
    if isinstance(value, dict):
        return {redact(str(name)): redacted(str(name), each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(key, each) for each in value]
    return value if isinstance(value, int | float | None) else redact(str(value))
