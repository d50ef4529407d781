"""What the service tells about itself: the event log, and nothing secret in it.

One JSON object per line; the slugs and their fields are the contract
`contracts/event-log/v1.schema.json`. What libraries log comes as `library-message` lines.

Whatever else tells of commands, the metrics and the page, listens to these lines (`heard_by`): it
cannot tell another story.

- `redaction`: what is secret, by name and by form.
- `traces`: the same story for OpenTelemetry, where an exporter is configured; `otlp` makes it,
  `pacing` says how much of it.
- `reading`, `stories`, `showing`: the way back, for `courier log`: a line, a story, their looks.
"""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TextIO

import structlog

from service.telemetry.redaction import redact, redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping

    Fields = MutableMapping[str, object]
    Listener = Callable[[Mapping[str, object]], None]

__all__ = ["about", "configure", "heard_by", "log", "redact", "redacted"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
"""The one logger. `log.info("slug", field=value)`; a command's fields come by themselves."""

_listeners: list[Listener] = []
_failing: list[Listener] = []
_QUIET = {
    # They log a traceback per running handler for each lost connection; we log the loss once.
    "aio_pika": logging.CRITICAL,
    "aiormq": logging.CRITICAL,
    "pamqp": logging.CRITICAL,  # repeats the names of a stranger's headers when they are too long
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    # A collector that is down is told once, and what they quote may be a header with a key.
    "opentelemetry": logging.CRITICAL,
    "urllib3": logging.CRITICAL,
}


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
    least = logging.getLevelNamesMapping()[level]
    structlog.configure(
        processors=[*shared, *closing, _hear, _only_from(least), renderer],
        # Listeners hear the ordinary lines, however little is told.
        wrapper_class=structlog.make_filtering_bound_logger(min(least, logging.INFO)),
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
    root.setLevel(max(least, logging.WARNING))
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)


@contextmanager
def heard_by(*listeners: Listener) -> Iterator[None]:
    """Give every line from level INFO on to some listeners as well, for as long as the body lasts.

    Args:
        listeners: called with a line's fields, secrets taken out, in the order in which they stand
            in the log. That one fails is told once.
    """
    _listeners.extend(listeners)
    try:
        yield
    finally:
        for known in (_listeners, _failing):
            known[:] = [each for each in known if each not in listeners]


about = structlog.contextvars.bound_contextvars
"""`with about(command_id=...):` gives every line inside these fields."""


def _hear(_: object, name: str, fields: Fields) -> Fields:
    if structlog.processors.NAME_TO_LEVEL[name] < logging.INFO:
        return fields
    for listener in tuple(_listeners):
        try:
            listener(fields)
        except Exception:
            if listener not in _failing:
                _failing.append(listener)  # first: it hears of its own failure, too
                log.exception("internal-error")
    return fields


def _only_from(least: int) -> structlog.typing.Processor:
    def drop(_: object, name: str, fields: Fields) -> Fields:
        if structlog.processors.NAME_TO_LEVEL[name] < least:
            raise structlog.DropEvent
        return fields

    return drop


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
