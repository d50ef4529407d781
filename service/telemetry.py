"""What the service tells about itself: the event log, and nothing secret in it.

One JSON object per line; the slugs and their fields are the contract
`contracts/event-log/v1.schema.json`. What libraries log comes as `library-message` lines.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    Fields = MutableMapping[str, object]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
"""The one logger. `log.info("slug", field=value)`; a command's fields come by themselves."""

_SECRET_KEYS = re.compile(
    r"password|passwd|secret|token|cookie|authorization|api_?key", re.IGNORECASE
)
_SECRETS = (
    # Any letter may stand before them: the repr of a line break ends with one. A UUID goes on.
    (re.compile(r"\w{4}(?:-[A-Za-z0-9]{4}){3}-([A-Za-z0-9]{4})(?![A-Za-z0-9])"), r"****-\1"),
    (re.compile(r"(?<=://)[^\s/]*@"), "***@"),
    (re.compile(r"(?i)(APSCookie\w*=|Basic |Bearer )[^\s;,'\"]+"), r"\1***"),
)
_QUIET = {
    # They log a traceback per running handler for each lost connection; we log the loss once.
    "aio_pika": logging.CRITICAL,
    "aiormq": logging.CRITICAL,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "aiosqlite": logging.WARNING,
}


def redact(text: str) -> str:
    """Take out what looks like a licence, a credential or a session."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def configure(
    *, log_format: Literal["json", "console"] | None, level: str, stream: TextIO | None = None
) -> None:
    """Send the event log to `stream` (standard output).

    Args:
        log_format: `json`, `console`, or None for console on a terminal and JSON elsewhere.
        level: the lowest level that is told.
        stream: where to, for those who look at it in process.
    """
    stream = stream or sys.stdout
    readable = log_format == "console" or (log_format is None and stream.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=22, sort_keys=False)
        if readable
        else structlog.processors.JSONRenderer()
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _stamp,
    ]
    closing: list[structlog.typing.Processor] = [_exception_as_text, _redact_fields]
    structlog.configure(
        processors=[*shared, *closing, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, _as_library_message],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *closing,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.getLevelNamesMapping()[level], logging.WARNING))
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)


about = structlog.contextvars.bound_contextvars
"""`with about(command_id=...):` gives every line inside these fields."""


def _stamp(_: object, __: str, fields: Fields) -> Fields:
    """Put time, level and slug first, so that the eye finds them; leave out what does not apply."""
    level, event = fields.pop("level"), fields.pop("event")
    return {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level,
        "event": event,
        **{name: value for name, value in fields.items() if value is not None},
    }


def _as_library_message(_: object, __: str, fields: Fields) -> Fields:
    fields["message"] = str(fields["event"])
    fields["event"] = "library-message"
    return fields


def _exception_as_text(logger: object, name: str, fields: Fields) -> Fields:
    return structlog.processors.format_exc_info(logger, name, fields)


def _redact_fields(_: object, __: str, fields: Fields) -> Fields:
    return {key: redacted(key, value) for key, value in fields.items()}


def redacted(key: str, value: object) -> object:
    """Take secrets out of a value, by name and by form; what JSON cannot hold becomes text."""
    if _SECRET_KEYS.search(key):
        return "***"
    if isinstance(value, dict):
        return {redact(str(name)): redacted(str(name), each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(key, each) for each in value]
    return value if isinstance(value, int | float | None) else redact(str(value))
