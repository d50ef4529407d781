"""Counts commands from the lines of the event log, so that metrics and log tell one story.

Labels are bounded, whatever is sent: a value that is not known is `other`. What can be counted
stands at 0 from the start, so that the first rise is one: Prometheus sees none in a series that
begins with 1.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Histogram
from prometheus_client.registry import Collector

from service.errors import Code, Reason
from service.messages.commands import COMMANDS
from service.messages.events import CODES
from service.messages.results import Conclusion

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from prometheus_client import Metric

    from service.appliances.ports import Appliance

    Line = Mapping[str, object]

OTHER: Final = "other"
"""What stands for a label's value that nobody knows."""
_TYPES: Final = frozenset(COMMANDS)
_CONCLUSIONS: Final = frozenset(Conclusion)
_CODES: Final = frozenset({"", *Code})
_REASONS: Final = frozenset(Reason)
_WHY_LATER: Final = (*sorted(CODES[Conclusion.FAILED] - {Code.EXPIRED}), Code.BUSY)
"""Why a command is put off: what fails may be tried again; but for its time, which has ended."""

# Seconds. A command that waits for a password may take all the time that it has.
_DURATIONS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200)
_WAITS: Final = (0.01, 0.05, 0.25, 1, 5, 30, 60, 300, 1800, 7200)
_ANSWERS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ATTEMPTS: Final = (0, 1, 2, 3, 5, 10, 20)


class Counted(Collector):
    """What was counted since the service began.

    Args:
        appliances: those that there are whenever it is asked. One that leaves them leaves the
            metrics.
    """

    def __init__(self, appliances: Iterable[Appliance]) -> None:
        """Begin with 0 everywhere; `hear` counts."""
        self._appliances = appliances
        self._names: set[str] = set()
        self._received = Counter(
            "courier_commands_received",
            "Deliveries that brought a valid command,"
            " copies that had waited and redeliveries included.",
            ["command_type"],
            registry=None,
        )
        self._finished = Counter(
            "courier_commands_finished",
            "Commands that ended, by how and why (empty where nothing went wrong); a query run"
            " again, again.",
            ["command_type", "conclusion", "error_code"],
            registry=None,
        )
        self._delayed = Counter(
            "courier_commands_delayed",
            "Times that a command was put off to be tried again, by why.",
            ["command_type", "error_code"],
            registry=None,
        )
        self._rejected = Counter(
            "courier_commands_rejected",
            "Messages that were no valid command and were parked, by why.",
            ["reason"],
            registry=None,
        )
        self._duration = Histogram(
            "courier_command_duration_seconds",
            "From a command's first receipt to its end, waiting included.",
            ["command_type"],
            registry=None,
            buckets=_DURATIONS,
        )
        self._attempts = Histogram(
            "courier_command_attempts",
            "Tries that sent something to the appliance, of each command that ended.",
            ["command_type"],
            registry=None,
            buckets=_ATTEMPTS,
        )
        self._wait = Histogram(
            "courier_command_queue_wait_seconds",
            "From the time that the producer wrote on a command to its first receipt.",
            ["command_type"],
            registry=None,
            buckets=_WAITS,
        )
        self._answer = Histogram(
            "courier_appliance_answer_seconds",
            "One delivery's whole visit to an appliance, login and waiting for a turn included.",
            ["appliance"],
            registry=None,
            buckets=_ANSWERS,
        )
        self._repeated = Counter(
            "courier_publish_repeated",
            "Messages that the broker did not confirm at first, so that they were published again.",
            registry=None,
        )
        self._errors = Counter(
            "courier_internal_errors",
            "Mistakes of the courier itself; each stands in the event log with its traceback.",
            registry=None,
        )
        # Found once, and not for every command.
        self._received_of = cache(self._received.labels)
        self._finished_of = cache(self._finished.labels)
        self._duration_of = cache(self._duration.labels)
        self._attempts_of = cache(self._attempts.labels)
        self._wait_of = cache(self._wait.labels)
        self._answer_of = cache(self._answer.labels)
        self._begin()
        self._counting: dict[object, Callable[[Line], None]] = {
            "command-received": self._on_received,
            "command-finished": self._on_finished,
            "command-delayed": self._on_delayed,
            "command-rejected": self._on_rejected,
            "appliance-answered": self._on_answered,
            "publish-repeated": lambda _: self._repeated.inc(),
            "internal-error": lambda _: self._errors.inc(),
        }

    def hear(self, line: Line) -> None:
        """Count what a line of the event log tells; most tell nothing that is counted."""
        count = self._counting.get(line["event"])
        if count is not None:
            count(line)

    def collect(self) -> Iterable[Metric]:
        """Tell what was counted. See `Metrics`."""
        self._meet()
        for each in (
            *(self._received, self._finished, self._delayed, self._rejected),
            *(self._duration, self._attempts, self._wait, self._answer),
            *(self._repeated, self._errors),
        ):
            yield from each.collect()

    def _begin(self) -> None:
        """Let everything that is known to happen stand at 0."""
        for command_type in COMMANDS:
            for each in (self._received, self._duration, self._attempts, self._wait):
                each.labels(command_type)
            for conclusion, codes in CODES.items():
                for code in codes or {""}:
                    self._finished.labels(command_type, conclusion.value, str(code))
        for command_type, code in product(COMMANDS, _WHY_LATER):
            self._delayed.labels(command_type, code.value)
        for reason in Reason:
            self._rejected.labels(reason.value)

    def _on_received(self, line: Line) -> None:
        command_type = _type_of(line)
        self._received_of(command_type).inc()
        _observe(self._wait_of(command_type), line.get("waited_ms"), unit=1000)

    def _on_finished(self, line: Line) -> None:
        command_type = _type_of(line)
        conclusion = _known(line.get("conclusion"), _CONCLUSIONS)
        self._finished_of(
            command_type, conclusion, _known(line.get("error_code", ""), _CODES)
        ).inc()
        _observe(self._duration_of(command_type), line.get("duration_ms"), unit=1000)
        _observe(self._attempts_of(command_type), line.get("attempt"))

    def _on_delayed(self, line: Line) -> None:
        self._delayed.labels(_type_of(line), _known(line.get("error_code", ""), _CODES)).inc()

    def _on_rejected(self, line: Line) -> None:
        self._rejected.labels(_known(line.get("reason"), _REASONS)).inc()

    def _on_answered(self, line: Line) -> None:
        name = line.get("appliance")
        if name not in self._names:
            self._meet()
        if name in self._names:  # it may have left the inventory while it was visited
            _observe(self._answer_of(name), line.get("duration_ms"), unit=1000)

    def _meet(self) -> None:
        """Look which appliances there are."""
        names = {each.name for each in self._appliances}
        for gone in self._names - names:
            self._answer.remove(gone)
            self._answer_of.cache_clear()
        for new in names - self._names:
            self._answer_of(new)
        self._names = names


def _type_of(line: Line) -> str:
    return _known(line.get("command_type"), _TYPES)


def _known(value: object, among: Collection[str]) -> str:
    return str(value) if value in among else OTHER


def _observe(histogram: Histogram, value: object, *, unit: int = 1) -> None:
    """Observe a figure of a line, where it has one."""
    if isinstance(value, int | float):
        histogram.observe(value / unit)
