"""Which traces are recorded where nobody says it: all of them, until there are very many."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Link, SpanKind, TraceState
    from opentelemetry.util.types import Attributes

RATE = 10.0
"""New traces per second that are recorded in the long run."""
BURST = 100.0
"""New traces that are recorded at once after a quiet time."""


class Paced(Sampler):
    """Records traces up to a pace: a thousand a minute tell no more than the first hundred.

    To record one costs about a sixth of what its command costs; this keeps a courier that has
    much to do from doing less because it is looked at.

    Args:
        rate, burst: see `RATE` and `BURST`.
    """

    def __init__(self, rate: float = RATE, burst: float = BURST) -> None:
        """Begin after a quiet time."""
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = time.monotonic()

    def should_sample(
        self,
        parent_context: Context | None,  # noqa: ARG002  a trace that begins here has none
        trace_id: int,  # noqa: ARG002
        name: str,  # noqa: ARG002
        kind: SpanKind | None = None,  # noqa: ARG002
        attributes: Attributes = None,  # noqa: ARG002
        links: Sequence[Link] | None = None,  # noqa: ARG002
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide about a trace that begins."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return SamplingResult(Decision.DROP, trace_state=trace_state)
        self._left -= 1
        return SamplingResult(Decision.RECORD_AND_SAMPLE, trace_state=trace_state)

    def get_description(self) -> str:
        """Name it, as OpenTelemetry asks."""
        return f"Paced{{{self._rate:g}/s}}"
