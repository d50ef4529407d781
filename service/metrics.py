"""What Prometheus reads: so far how things stand with each appliance.

Collected when it is asked for, from what the appliances know of themselves: nothing is counted
twice, and an appliance that left the inventory leaves the metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from service.appliances import breaker, session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

    from service.appliances.ports import Appliance


class Metrics(Collector):
    """The metrics of a courier.

    Args:
        appliances: those that there are whenever it is asked.
    """

    def __init__(self, appliances: Iterable[Appliance]) -> None:
        """Use a registry of its own: two couriers in one process do not mix."""
        self._appliances = appliances
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """Give them in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """Ask every appliance."""
        sessions = GaugeMetricFamily(
            "courier_appliance_session",
            "Where the session with an appliance stands: 1 for the state that it is in.",
            labels=["appliance", "state"],
        )
        breakers = GaugeMetricFamily(
            "courier_appliance_breaker",
            "Whether requests are let through to an appliance: 1 for the state that it is in.",
            labels=["appliance", "state"],
        )
        in_flight = GaugeMetricFamily(
            "courier_appliance_requests_in_flight",
            "Requests that an appliance is answering.",
            labels=["appliance"],
        )
        logins = CounterMetricFamily(
            "courier_appliance_logins",
            "Logins that an appliance has answered.",
            labels=["appliance", "outcome"],
        )
        for appliance in self._appliances:
            name, status = appliance.name, appliance.status()
            for state in session.State:
                sessions.add_metric([name, state], state == status.session)
            for stage in breaker.State:
                breakers.add_metric([name, stage], stage == status.breaker)
            in_flight.add_metric([name], status.in_flight)
            logins.add_metric([name, "accepted"], status.logins)
            logins.add_metric([name, "refused"], status.refused_logins)
        return [sessions, breakers, in_flight, logins]
