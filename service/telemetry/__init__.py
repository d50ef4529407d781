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

import json
import logging
import sys
import time
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TextIO

import structlog

from service.telemetry.redaction import redact, redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping
    from contextvars import Token

    Fields = MutableMapping[str, object]
    Listener = Callable[[Mapping[str, object]], None]

__all__ = ["about", "configure", "heard_by", "log", "redact", "redacted"]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
"""The one logger. `log.info("slug", field=value)`; a command's fields come by themselves."""

_about: ContextVar[Mapping[str, object]] = ContextVar("about", default=MappingProxyType({}))
_JSON = json.JSONEncoder()
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
        else _as_json
    )
    least = logging.getLevelNamesMapping()[level]
    structlog.configure(
        processors=[_complete, _hear, _only_from(least), renderer],
        # Listeners hear the ordinary lines, however little is told.
        wrapper_class=structlog.make_filtering_bound_logger(min(least, logging.INFO)),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    vars(log).pop("bind", None)  # where structlog caches the logger of an earlier configuration
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, _as_library_message],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _complete,
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


class about:  # noqa: N801  it is used as a verb is
    """`with about(command_id=...):` gives every line inside these fields; None says nothing."""

    def __init__(self, **fields: object) -> None:
        """Take out what is secret once, and not at every line."""
        self._fields = {
            name: redacted(name, value) for name, value in fields.items() if value is not None
        }
        self._before: Token[Mapping[str, object]] | None = None

    def __enter__(self) -> None:
        """Give the lines the fields, beside those that they have."""
        self._before = _about.set({**_about.get(), **self._fields})

    def __exit__(self, *_: object) -> None:
        """Take them away."""
        if self._before is not None:
            _about.reset(self._before)


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


def _complete(logger: object, level: str, fields: Fields) -> Fields:
    """Put time, level and slug first, so that the eye finds them; leave out what does not apply."""
    event = str(fields.pop("event"))
    if fields.get("exc_info"):
        fields = structlog.processors.format_exc_info(logger, level, fields)
    at = time.time()
    own = {name: redacted(name, value) for name, value in fields.items() if value is not None}
    return {
        "timestamp": f"{_second(int(at))}.{int(at % 1 * 1000):03}Z",
        "level": level,
        "event": redact(event),
        **_about.get(),
        **own,
    }


@lru_cache(1)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


def _as_json(_: object, __: str, fields: Fields) -> str:
    return _JSON.encode(fields)


def _as_library_message(_: object, __: str, fields: Fields) -> Fields:
    fields["message"] = str(fields["event"])
    fields["event"] = "library-message"
    return fields
