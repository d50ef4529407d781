"""The same story for OpenTelemetry: what the rest of the service says of its spans.

Off, and OpenTelemetry not even imported, unless the environment names an exporter. Everything here
is a plain function that does nothing while traces are off; the spans themselves are made by
`service.telemetry.otlp`.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    Attributes = Mapping[str, str | int | float | bool | None]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Whoever sets one of these wants traces."""
_OFF = {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "none"}
"""What switches them off again, in OpenTelemetry's words."""


class Kind(Enum):
    """What a span stands for, in OpenTelemetry's words."""

    INTERNAL = "work of our own"
    CLIENT = "a request that is answered"
    PRODUCER = "a message that somebody will get"
    CONSUMER = "a message that somebody sent"


@dataclass(frozen=True)
class Place:
    """A span as others can continue it, over any distance (W3C Trace Context)."""

    traceparent: str
    tracestate: str | None = None

    @property
    def trace_id(self) -> str:
        """The trace that it belongs to, 32 hexadecimal digits."""
        return self.traceparent.split("-")[1]


class Tracer(Protocol):
    """Makes spans. The span of the moment is kept by context, as tasks inherit it.

    Attributes with the value None are left out. No exception is told but by its kind: what it says
    may hold what is secret.
    """

    def span(self, name: str, kind: Kind, attributes: Attributes) -> AbstractContextManager[None]:
        """Begin a span below the one of the moment, and end it."""

    def delivery(
        self, name: str, sender: Place | None, attributes: Attributes
    ) -> AbstractContextManager[None]:
        """Begin the span of a message below its sender's, or a new trace; and end it."""

    def here(self) -> Place | None:
        """Give the span of the moment."""

    def note(self, attributes: Attributes) -> None:
        """Say more of the span of the moment."""

    def fail(self, error_type: str) -> None:
        """Say that what the span of the moment stands for failed."""

    def link(self, other: Place) -> None:
        """Say that the span of the moment has to do with another one."""


_tracers: list[Tracer] = []
NOTHING = nullcontext()
"""The span of whoever need not even look what to say of it."""


@asynccontextmanager
async def exported() -> AsyncIterator[None]:
    """Export spans for as long as the body lasts, if the environment says where to.

    The variables are OpenTelemetry's own, of the process: `.env` is not looked at.

    Raises:
        ConfigurationError: they cannot be used.
    """
    if not switched(os.environ)[0]:
        yield
        return
    # Here, because it costs a quarter of a second and twenty megabytes.
    from service.telemetry.otlp import exporting  # noqa: PLC0415

    async with exporting() as tracer:
        with made_by(tracer):
            yield


@contextmanager
def made_by(tracer: Tracer) -> Iterator[None]:
    """Let a tracer make the spans for as long as the body lasts."""
    _tracers.append(tracer)
    try:
        yield
    finally:
        _tracers.remove(tracer)


def span(
    name: str, kind: Kind = Kind.INTERNAL, attributes: Attributes | None = None
) -> AbstractContextManager[None]:
    """Tell of the body: a span below the one of the moment.

    Args:
        name: of few different ones.
        kind: what it stands for.
        attributes: what is known of it at its beginning; see `note`.
    """
    return _tracers[-1].span(name, kind, attributes or {}) if _tracers else NOTHING


def delivery(
    name: str, sender: Place | None, attributes: Attributes
) -> AbstractContextManager[None]:
    """Tell of the body, which deals with a message: a span below its sender's, if that is known."""
    return _tracers[-1].delivery(name, sender, attributes) if _tracers else NOTHING


def are_on() -> bool:
    """Tell whether anybody looks at spans."""
    return bool(_tracers)


def here() -> Place | None:
    """Give the span of the moment, or None while traces are off."""
    return _tracers[-1].here() if _tracers else None


def trace_id() -> str | None:
    """Give the trace of the moment, or None while traces are off."""
    place = here()
    return place.trace_id if place else None


def note(attributes: Attributes) -> None:
    """Say more of the span of the moment."""
    if _tracers:
        _tracers[-1].note(attributes)


def fail(error_type: str) -> None:
    """Say that what the span of the moment stands for failed.

    Args:
        error_type: an error code or the name of an exception's class; nothing that it says.
    """
    if _tracers:
        _tracers[-1].fail(error_type)


def link(other: Place | None) -> None:
    """Say that the span of the moment has to do with another one."""
    if _tracers and other:
        _tracers[-1].link(other)


def switched(environment: Mapping[str, str]) -> tuple[bool, list[str]]:
    """Tell whether traces are to be exported, and which variables say so.

    An empty variable is one that is not set.
    """
    off = [name for name, word in _OFF.items() if environment.get(name, "").strip().lower() == word]
    on = [name for name in ENDPOINTS if environment.get(name)]
    return bool(on) and not off, off or on
