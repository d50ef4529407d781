"""A collector of traces, as OpenTelemetry defines it: OTLP over HTTP, in protobuf.

It knows nothing of the service: what is exported is read as any collector would read it.
"""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.support.canaries import Told
from tests.support.stand import COURIER

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

PATH = "/v1/traces"
Value = str | int | float | bool


@dataclass(frozen=True)
class Span:
    """One span as it was exported.

    Attributes:
        parent: the id of the span above it; empty at the top of a trace.
        kind: CONSUMER, CLIENT, ...
        links: the spans that it has to do with, as (trace, span).
        failed: its status is an error.
        events: how many things were noted to have happened in it.
        resource: whose span it is.
    """

    trace: str
    id: str
    parent: str
    name: str
    kind: str
    attributes: dict[str, Value]
    links: list[tuple[str, str]]
    state: str
    failed: bool
    events: int
    resource: dict[str, Value]


class Collector:
    """Takes spans while `answer` says so.

    Attributes:
        url: what a service is told as its endpoint.
        spans: those that were taken, in order.
        answer: the status that it gives.
        asked: how often somebody wanted to export.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Span] = []
        self.answer = 200
        self.asked = 0
        self._texts: list[str] = []

    def receive(self, body: bytes) -> int:
        """Take an export; what is refused is looked at by the one who scans, too."""
        self.asked += 1
        request = ExportTraceServiceRequest.FromString(body)
        self._texts.append(str(request))
        if self.answer == 200:
            self.spans += _spans(request)
        return self.answer

    def trace(self, trace: str) -> list[Span]:
        """The spans of a trace, in the order in which they ended."""
        return [each for each in self.spans if each.trace == trace]

    def told(self) -> list[Told]:
        """Everything that it was sent."""
        return [("a trace", text) for text in self._texts]


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a port of its own, in a thread."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            status = collector.receive(body) if self.path == PATH else 404
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def traced(endpoint: str, **variables: str) -> tuple[str, ...]:
    """The service's program, with OpenTelemetry's variables in its environment."""
    given = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "NO_PROXY": "127.0.0.1",
        **variables,
    }
    return ("env", *(f"{name}={value}" for name, value in given.items()), *COURIER)


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        whose = _values(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.name,
                    trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    _values(span.attributes),
                    [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                    span.trace_state,
                    span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
                    len(span.events),
                    whose,
                )


def _values(attributes: "list[KeyValue]") -> dict[str, Value]:
    return {
        each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in attributes
    }
