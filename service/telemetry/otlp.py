"""Spans made and exported with OpenTelemetry; see `traces`. It and `pacing` alone know it."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import Context as Variables
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING

import requests
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_TRACES_SAMPLER
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.errors import CommandError, ConfigurationError
from service.telemetry import log
from service.telemetry.pacing import Paced
from service.telemetry.redaction import redact
from service.telemetry.traces import NOTHING, Kind, Place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from service.telemetry.traces import Attributes

CONVENTIONS = "https://opentelemetry.io/schemas/1.44.0"
"""The semantic conventions by which spans and attributes are named (messaging: development)."""
FLUSH = 1.0
"""Seconds that the last spans may take at the end; a collector that is down is not waited for."""
_PRODUCT = "appliance-courier"
_KINDS = {kind: SpanKind[kind.name] for kind in Kind}
_W3C = TraceContextTextMapPropagator()


@asynccontextmanager
async def exporting() -> AsyncIterator[SpanTracer]:
    """Export spans as the environment says, in a thread, for as long as the body lasts.

    Raises:
        ConfigurationError: OpenTelemetry cannot make anything of its variables.
    """
    loop = asyncio.get_running_loop()

    def tell(reason: str) -> None:
        # Where the listeners of the event log live; in no command's name.
        with suppress(RuntimeError):  # too late: the loop has ended
            loop.call_soon_threadsafe(_tell_failure, reason, context=Variables())

    try:
        exporter = Exporter(tell)
        # Where the environment names a sampler, OpenTelemetry takes that one.
        sampler = None if os.environ.get(OTEL_TRACES_SAMPLER) else ParentBased(Paced())
        provider = TracerProvider(sampler, _resource(), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter))
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"OTEL_ variables: {type(error).__name__}") from None
    try:
        yield SpanTracer(provider)
    finally:
        if not await _ended(provider):
            exporter.tell_once(f"the last spans were not taken within {FLUSH:g} s")
            await asyncio.sleep(0)  # until it is told


class SpanTracer:
    """Makes spans. See `Tracer`.

    Args:
        provider: what they are exported by.
    """

    def __init__(self, provider: TracerProvider) -> None:
        """Keep the part of it that makes spans."""
        self._tracer = provider.get_tracer(_PRODUCT, version(_PRODUCT), schema_url=CONVENTIONS)

    def span(self, name: str, kind: Kind, attributes: Attributes) -> AbstractContextManager[None]:
        """Begin a span below the one of the moment, and end it."""
        above = trace.get_current_span()
        if above.get_span_context().is_valid and not above.is_recording():
            return NOTHING  # whatever is below it is not recorded either
        return self._begun(name, kind, attributes, None)

    def delivery(
        self, name: str, sender: Place | None, attributes: Attributes
    ) -> AbstractContextManager[None]:
        """Begin the span of a message below its sender's, or a new trace; and end it."""
        return self._begun(name, Kind.CONSUMER, attributes, _continued(sender))

    def here(self) -> Place | None:
        """Give the span of the moment."""
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return None
        ids = f"{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        return Place(f"00-{ids}", context.trace_state.to_header() or None)

    def note(self, attributes: Attributes) -> None:
        """Say more of the span of the moment."""
        span = trace.get_current_span()
        if span.is_recording():
            span.set_attributes(_told(attributes))

    def fail(self, error_type: str) -> None:
        """Say that what the span of the moment stands for failed."""
        _fail(trace.get_current_span(), error_type)

    def link(self, other: Place) -> None:
        """Say that the span of the moment has to do with another one."""
        trace.get_current_span().add_link(_context_of(other))

    @contextmanager
    def _begun(
        self, name: str, kind: Kind, attributes: Attributes, above: Context | None
    ) -> Iterator[None]:
        with self._tracer.start_as_current_span(
            _named(name),
            context=above,
            kind=_KINDS[kind],
            # What an exception says, and what stands in its traceback, may be secret.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            if span.is_recording():  # else nobody needs to know what it would say
                span.set_attributes(_told(attributes))
            try:
                yield
            except CommandError as error:
                _fail(span, error.code.value)
                raise
            except BaseException as error:
                _fail(span, type(error).__name__)
                raise


class Exporter(SpanExporter):
    """OpenTelemetry's exporter, which says once that it cannot export until it can again.

    It works in the thread of the batches, and reads its variables itself.

    Args:
        tell: says why, from whatever thread.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        """Build what sends them; nothing is sent yet."""
        self._session = _Session()
        self._inner = OTLPSpanExporter(session=self._session)
        self._tell = tell
        self._told = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send some spans; those that cannot be sent in time are lost."""
        result = self._inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._told = False
        else:
            self.tell_once(self._session.trouble)
        return result

    def tell_once(self, reason: str) -> None:
        """Say that spans were lost, unless nothing has worked since it was said last."""
        if not self._told:
            self._told = True
            self._tell(reason)

    def shutdown(self) -> None:
        """End what is under way."""
        self._inner.shutdown()  # type: ignore[no-untyped-call]  # theirs has no annotation


class _Session(requests.Session):
    """Remembers what went wrong last: OpenTelemetry only logs it.

    Attributes:
        trouble: in words that hold no part of an address or a header.
    """

    trouble = "the spans could not be encoded"

    def send(self, request: requests.PreparedRequest, **options: object) -> requests.Response:
        try:
            response = super().send(request, **options)
        except (requests.RequestException, OSError) as error:
            self.trouble = f"the collector cannot be reached: {_reason(error)}"
            raise
        if not response.ok:
            self.trouble = f"the collector answered {response.status_code}"
        return response


def _tell_failure(reason: str) -> None:
    log.warning("traces-not-exported", reason=reason)


async def _ended(provider: TracerProvider) -> bool:
    """Export what is left, but no longer than that; tell whether it came to its end.

    In a thread that nobody waits for at the end of the process, as for those of an executor.
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def end() -> None:
        provider.shutdown()
        with suppress(RuntimeError):  # nobody waits any more
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=end, name="last spans", daemon=True).start()
    try:
        async with asyncio.timeout(FLUSH):
            await ended.wait()
    except TimeoutError:
        return False
    return True


def _resource() -> Resource:
    """Say whose spans they are; what the environment says of it wins."""
    ours = {"service.name": _PRODUCT, "service.version": version(_PRODUCT)}
    return Resource.create(ours).merge(OTELResourceDetector().detect())


def _continued(sender: Place | None) -> Context:
    """Give the context below a sender's span; an empty one if there is none that is valid."""
    if sender is None:
        return Context()
    carrier = {"traceparent": sender.traceparent}
    # It is the producer's text, as any other.
    if sender.tracestate and redact(sender.tracestate) == sender.tracestate:
        carrier["tracestate"] = sender.tracestate
    return _W3C.extract(carrier, context=Context())


def _context_of(place: Place) -> SpanContext:
    return trace.get_current_span(_continued(place)).get_span_context()


def _fail(span: Span, error_type: str) -> None:
    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR))


@lru_cache(256)
def _named(name: str) -> str:
    return redact(name)


def _told(attributes: Attributes) -> dict[str, str | int | float | bool]:
    known = {name: value for name, value in attributes.items() if value is not None}
    # Most often there is nothing to take out, and one look at all of it is enough; no secret goes
    # over a line's end.
    texts = "\n".join([value for value in known.values() if isinstance(value, str)])
    if redact(texts) == texts:
        return known
    return {
        name: redact(value) if isinstance(value, str) else value for name, value in known.items()
    }


def _reason(error: BaseException) -> str:
    """Find what the operating system said, else the kind: other texts hold the address."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
