"""Asks how things stand, whenever Prometheus asks: connections, queues, ledger, appliances.

Nothing is counted twice or kept, and an appliance that left the inventory leaves the metrics. And
nothing is waited for: what takes its time, the broker's and the ledger's figures, was looked up by
somebody else a moment ago.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from service.appliances import breaker, session
from service.messages.commands import COMMANDS
from service.messages.wire import now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client import Histogram, Metric

    from service.appliances.ports import Appliance
    from service.ledger.survey import Survey
    from service.topology import Count


@dataclass(frozen=True)
class Sources:
    """Who is asked; none of them waits for anything.

    Attributes:
        version: of this program.
        not_ready: the reasons why nothing is done at the moment, none when all is well.
        running: how many commands of which type are being run.
        connected: where each connection to the broker leads to; empty while it is lost.
        queues: how full the queues are, by name.
        publishing: how long the broker takes to confirm.
        survey: what is open in the ledger.
        appliances: those that there are now.
    """

    version: str
    not_ready: Callable[[], Iterable[str]]
    running: Callable[[], Mapping[str, int]]
    connected: Callable[[], Mapping[str, object]]
    queues: Callable[[], Mapping[str, Count]]
    publishing: Histogram
    survey: Survey
    appliances: Iterable[Appliance]


class Asked(Collector):
    """How things stand.

    Args:
        sources: who is asked.
    """

    def __init__(self, sources: Sources) -> None:
        """Keep who is asked."""
        self._ask = sources

    def collect(self) -> Iterable[Metric]:
        """Ask everybody. See `Metrics`."""
        yield from self._service()
        yield from self._broker()
        yield from self._ledger()
        yield from self._appliances()

    def _service(self) -> Iterable[Metric]:
        ask, reasons = self._ask, sorted(set(self._ask.not_ready()))
        yield _by(
            "version",
            {ask.version: 1},
            "courier_build_info",
            "Always 1; the label is the version that runs.",
        )
        yield GaugeMetricFamily(
            "courier_ready", "1 while the service can do its work, else 0.", value=not reasons
        )
        yield _by(
            "reason",
            dict.fromkeys(reasons, 1),
            "courier_not_ready",
            "1 for each reason why the service cannot do its work at the moment; none when it can.",
        )
        yield _by(
            "command_type",
            dict.fromkeys(COMMANDS, 0) | dict(ask.running()),
            "courier_commands_running",
            "Commands that are being run.",
        )

    def _broker(self) -> Iterable[Metric]:
        ask, queues = self._ask, self._ask.queues()
        yield _by(
            "connection",
            {name: int(bool(node)) for name, node in ask.connected().items()},
            "courier_broker_connected",
            "1 while a connection to the broker stands, else 0.",
        )
        yield _by(
            "queue",
            {name: count.messages for name, count in queues.items()},
            "courier_queue_messages",
            "Messages that waited in a queue when it was last looked at, every few seconds.",
        )
        yield _by(
            "queue",
            {name: count.consumers for name, count in queues.items()},
            "courier_queue_consumers",
            "Consumers that a queue had when it was last looked at, every few seconds.",
        )
        yield from ask.publishing.collect()

    def _ledger(self) -> Iterable[Metric]:
        survey = self._ask.survey
        oldest, at = survey.oldest_unresolved, survey.surveyed_at
        for value, name, meaning in (
            (
                at.timestamp() if at else 0,
                "survey_timestamp_seconds",
                "When the ledger's figures were last read, in Unix time; 0 until they were.",
            ),
            (
                survey.open_intents,
                "open_intents",
                "Licence writes that were announced and whose outcome is not established yet.",
            ),
            (
                survey.unresolved,
                "unresolved",
                "Licence commands that ended unknown and that nobody has settled.",
            ),
            (
                max(0.0, (now() - oldest).total_seconds()) if oldest else 0,
                "oldest_unresolved_seconds",
                "How long ago the oldest unsettled unknown ended; 0 when there is none.",
            ),
        ):
            yield GaugeMetricFamily(f"courier_ledger_{name}", meaning, value=value)
            if at is None:
                return  # nothing is known yet: no figure is better than a false one

    def _appliances(self) -> Iterable[Metric]:
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
        for appliance in self._ask.appliances:
            name, status = appliance.name, appliance.status()
            for state in session.State:
                sessions.add_metric([name, state], state == status.session)
            for stage in breaker.State:
                breakers.add_metric([name, stage], stage == status.breaker)
            in_flight.add_metric([name], status.in_flight)
            logins.add_metric([name, "accepted"], status.logins)
            logins.add_metric([name, "refused"], status.refused_logins)
        yield from (sessions, breakers, in_flight, logins)


def _by(label: str, values: Mapping[str, int], name: str, meaning: str) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for each, value in values.items():
        family.add_metric([each], value)
    return family
