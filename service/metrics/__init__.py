"""What Prometheus reads: what was counted so far, and how things stand at the moment.

- `counted`: commands, counted from the lines of the event log, so that both tell one story.
- `asked`: what is a state, looked up whenever somebody asks.

Names, types, units and labels are public: `deploy/metrics.yaml` lists them for people and the
dashboard, and a test holds it against what is exported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric


class Metrics(Collector):
    """The metrics of a courier.

    Args:
        parts: those who know them. None of them may wait for anything: Prometheus must be answered
            whatever hangs.
    """

    def __init__(self, *parts: Collector) -> None:
        """Use a registry of its own: two couriers in one process do not mix."""
        self._parts = parts
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Give them in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """Ask every part."""
        for part in self._parts:
            for metric in part.collect():
                # The library adds a series of its own to each: when it began to count.
                metric.samples = [
                    each for each in metric.samples if not each.name.endswith("_created")
                ]
                yield metric
