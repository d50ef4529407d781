"""What the dashboard shows, row by row, for whoever looks at it because something is wrong.

Queries are PromQL without the choice of instance and appliance, which the generator adds to every
one of our series. The broker's queues are the same whichever instance counts them, so they are
never added up over instances.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

BACKGROUND: Final = "background"
GREEN, YELLOW, ORANGE, RED, BLUE, GREY = "green", "yellow", "orange", "red", "blue", "text"

_RETRY: Final = r"courier\\.retry\\..+"
_LYING: Final = r"courier\\.(parked|unheard)"
_NO_WORK: Final = r"courier\\.(retry\\..+|parked|unheard)"


@dataclass(frozen=True)
class Query:
    """PromQL, and how its series are called."""

    text: str
    legend: str = ""

    @property
    def legend_labels(self) -> set[str]:
        """The labels that the legend names."""
        return set(re.findall(r"{{(\w+)}}", self.legend))


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        about: what it means, for the one who wonders.
        unit: Grafana's name of the unit.
        query, also: what is asked.
        kind: Grafana's type.
        base: the colour below the first threshold.
        thresholds: values with the colour from there on.
        states: what a value stands for, with its colour.
        colours: of series, by their legend.
        names: show the series' names instead of their values.
        nothing: what stands there when there is no series.
        least: where the axis begins.
    """

    title: str
    about: str
    unit: str
    query: Query
    also: tuple[Query, ...] = ()
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    base: str = GREEN
    thresholds: tuple[tuple[float, str], ...] = ()
    states: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    colours: Mapping[str, str] = field(default_factory=dict)
    stacked: bool = False
    names: bool = False
    nothing: str = ""
    least: float | None = 0

    @property
    def queries(self) -> tuple[Query, ...]:
        """Everything that is asked."""
        return (self.query, *self.also)

    @property
    def is_coloured(self) -> bool:
        """Whether values have the colour of their threshold; lines have one each."""
        return self.kind != "timeseries"


@dataclass(frozen=True)
class Row:
    """Panels under a title."""

    title: str
    panels: tuple[Panel, ...]


def _stat(  # noqa: PLR0913  one name for what all of the first row have in common
    title: str,
    about: str,
    text: str,
    thresholds: tuple[tuple[float, str], ...] = (),
    *,
    legend: str = "",
    unit: str = "short",
    base: str = GREEN,
    states: Mapping[int, tuple[str, str]] | None = None,
    nothing: str = "",
) -> Panel:
    return Panel(
        title,
        about,
        unit,
        Query(text, legend),
        kind="stat",
        width=3,
        height=4,
        base=base,
        thresholds=thresholds,
        states=states or {},
        names=bool(legend),
        nothing=nothing,
        least=None,
    )


def _quantile(share: float, histogram: str, legend: str, *by: str) -> Query:
    """Ask what this share of what was observed did not exceed."""
    grouped = ", ".join((*by, "le"))
    rate = f"rate({histogram}_bucket[$__rate_interval])"
    return Query(f"histogram_quantile({share}, sum by ({grouped}) ({rate}))", legend)


def _p95(histogram: str, label: str) -> Query:
    return _quantile(0.95, histogram, f"{{{{{label}}}}}", label)


def _rate(counter: str, label: str) -> Query:
    return Query(f"sum by ({label}) (rate({counter}[$__rate_interval]))", f"{{{{{label}}}}}")


def _coded(gauge: str, *states: str) -> str:
    """Make one number of a gauge that has a series for each state: 0 for all but these."""
    return " + ".join(
        f'{number} * max by (instance, appliance) ({gauge}{{state="{state}"}})'
        for number, state in enumerate(states, start=1)
    )


WELL: Final = Row(
    "Is it well?",
    (
        _stat(
            "Ready",
            "Whether every courier that is chosen can do its work.",
            "min(courier_ready)",
            ((1, GREEN),),
            base=RED,
            states={0: ("no", RED), 1: ("yes", GREEN)},
            nothing="no metrics",
        ),
        _stat(
            "Not ready because of",
            "The reasons of the moment; the runbook explains each.",
            "max by (reason) (courier_not_ready)",
            base=RED,
            legend="{{reason}}",
            nothing="nothing",
        ),
        _stat(
            "Alerts",
            "What is firing now; the runbook has a section for each.",
            'max by (alertname) (ALERTS{alertname=~"Courier.+",alertstate="firing"})',
            base=RED,
            legend="{{alertname}}",
            nothing="none",
        ),
        _stat(
            "Unknown, unsettled",
            "Licence writes whose outcome nobody knows: a person must look at the appliance.",
            "sum(courier_ledger_unresolved)",
            ((1, RED),),
        ),
        _stat(
            "Parked",
            "Messages that were no commands, or that could not be run, as they came.",
            'max(courier_queue_messages{queue="courier.parked"})',
            ((1, ORANGE),),
        ),
        _stat(
            "Waiting to be tried again",
            "Commands in the retry queues.",
            f'sum(max by (queue) (courier_queue_messages{{queue=~"{_RETRY}"}}))',
            ((1, YELLOW), (100, RED)),
        ),
        _stat(
            "Succeeded",
            "The share of the commands that ended within the time that is shown.",
            'sum(increase(courier_commands_finished_total{conclusion="succeeded"}[$__range]))'
            " / sum(increase(courier_commands_finished_total[$__range]))",
            ((0.9, YELLOW), (0.99, GREEN)),
            unit="percentunit",
            base=RED,
            nothing="no commands",
        ),
        _stat(
            "Version",
            "What runs.",
            "max by (version) (courier_build_info)",
            legend="{{version}}",
            base=BLUE,
        ),
    ),
)

COMMANDS: Final = Row(
    "Commands",
    (
        Panel(
            "Received",
            "Deliveries that brought a command; one that waited comes again.",
            "cps",
            _rate("courier_commands_received_total", "command_type"),
        ),
        Panel(
            "Ended",
            "How commands ended.",
            "cps",
            _rate("courier_commands_finished_total", "conclusion"),
            stacked=True,
            colours={"succeeded": GREEN, "refused": YELLOW, "failed": ORANGE, "unknown": RED},
        ),
        Panel(
            "Ended otherwise than well",
            "Why commands were refused, failed or are unknown.",
            "cps",
            Query(
                "sum by (error_code)"
                ' (rate(courier_commands_finished_total{error_code!=""}[$__rate_interval]))',
                "{{error_code}}",
            ),
            stacked=True,
        ),
        Panel(
            "Duration, all but one in twenty",
            "From first receipt to the end, waiting between two tries included. The line is the"
            " first retry delay.",
            "s",
            _p95("courier_command_duration_seconds", "command_type"),
            thresholds=((5, ORANGE),),
        ),
        Panel(
            "Duration of all commands",
            "How many took how long.",
            "s",
            Query(
                "sum by (le) (increase(courier_command_duration_seconds_bucket[$__rate_interval]))",
                "{{le}}",
            ),
            kind="heatmap",
        ),
        Panel(
            "Wait before the courier, all but one in twenty",
            "From the time that the producer wrote on a command to its first receipt: what waits"
            " in a work queue. The producer's clock takes part in it.",
            "s",
            _p95("courier_command_queue_wait_seconds", "command_type"),
            thresholds=((60, ORANGE),),
        ),
        Panel(
            "Tries for one command",
            "The mean of the commands that ended; 1 is usual.",
            "short",
            Query(
                "sum by (command_type) (rate(courier_command_attempts_sum[$__rate_interval]))"
                " / sum by (command_type)"
                " (rate(courier_command_attempts_count[$__rate_interval]))",
                "{{command_type}}",
            ),
        ),
        Panel(
            "Running",
            "Commands that are being run at the moment.",
            "short",
            Query(
                "sum by (command_type) (courier_commands_running)",
                "{{command_type}}",
            ),
            stacked=True,
        ),
        Panel(
            "Rejected",
            "Messages that were no valid commands, by why.",
            "cps",
            _rate("courier_commands_rejected_total", "reason"),
            stacked=True,
        ),
    ),
)

WAITING: Final = Row(
    "Waiting and parked",
    (
        Panel(
            "Not begun",
            "Messages in the work queues that no courier has taken yet.",
            "short",
            Query(
                f'max by (queue) (courier_queue_messages{{queue!~"{_NO_WORK}"}})',
                "{{queue}}",
            ),
            stacked=True,
        ),
        Panel(
            "Waiting to be tried again",
            "Messages in the retry queues. The line is CourierRetryBacklog's.",
            "short",
            Query(
                f'max by (queue) (courier_queue_messages{{queue=~"{_RETRY}"}})',
                "{{queue}}",
            ),
            stacked=True,
            thresholds=((100, RED),),
        ),
        Panel(
            "Put off",
            "Why commands are put off to be tried again.",
            "cps",
            _rate("courier_commands_delayed_total", "error_code"),
            stacked=True,
        ),
        Panel(
            "Parked, and results that nobody heard",
            "What lies there until a person takes it; unheard results are kept up to 100,000.",
            "short",
            Query(
                f'max by (queue) (courier_queue_messages{{queue=~"{_LYING}"}})',
                "{{queue}}",
            ),
            width=24,
            height=6,
        ),
    ),
)

APPLIANCES: Final = Row(
    "Appliances",
    (
        Panel(
            "Session",
            "Where the session with each appliance stands; refused is the password.",
            "short",
            Query(
                _coded("courier_appliance_session", "open", "opening", "refused"),
                "{{appliance}}",
            ),
            kind="state-timeline",
            width=12,
            states={
                0: ("closed", GREY),
                1: ("open", GREEN),
                2: ("opening", BLUE),
                3: ("refused", RED),
            },
        ),
        Panel(
            "Breaker",
            "Whether requests are let through to each appliance; open is: it does not answer.",
            "short",
            Query(
                _coded("courier_appliance_breaker", "probing", "open"),
                "{{appliance}}",
            ),
            kind="state-timeline",
            width=12,
            states={0: ("closed", GREEN), 1: ("probing", YELLOW), 2: ("open", RED)},
        ),
        Panel(
            "Requests in flight",
            "What each appliance is answering at the moment.",
            "short",
            Query("sum by (appliance) (courier_appliance_requests_in_flight)", "{{appliance}}"),
        ),
        Panel(
            "A visit, all but one in twenty",
            "How long a command is busy with an appliance, login and waiting for a turn included.",
            "s",
            _p95("courier_appliance_answer_seconds", "appliance"),
        ),
        Panel(
            "Logins",
            "What the appliances answered. One login lasts for many commands.",
            "cps",
            Query(
                "sum by (appliance, outcome)"
                " (rate(courier_appliance_logins_total[$__rate_interval]))",
                "{{appliance}} {{outcome}}",
            ),
        ),
    ),
)

BROKER: Final = Row(
    "Broker",
    (
        Panel(
            "Connections",
            "Whether each connection to the broker stands.",
            "short",
            Query(
                "min by (instance, connection) (courier_broker_connected)",
                "{{instance}} {{connection}}",
            ),
            kind="state-timeline",
            states={0: ("lost", RED), 1: ("up", GREEN)},
        ),
        Panel(
            "Consumers",
            "Of each queue that is to be consumed; none is CourierNothingConsumes.",
            "short",
            Query(
                f'min by (queue) (courier_queue_consumers{{queue!~"{_NO_WORK}"}})',
                "{{queue}}",
            ),
        ),
        Panel(
            "Until the broker has confirmed",
            "From publishing a message to its confirm. The line is CourierPublishingSlow's.",
            "s",
            _quantile(0.5, "courier_publish_seconds", "half"),
            also=(
                _quantile(0.95, "courier_publish_seconds", "95 %"),
                _quantile(0.99, "courier_publish_seconds", "99 %"),
            ),
            thresholds=((1, ORANGE),),
        ),
        Panel(
            "Published",
            "Messages that the broker confirmed, and those that had to be published again.",
            "cps",
            Query("sum(rate(courier_publish_seconds_count[$__rate_interval]))", "confirmed"),
            also=(Query("sum(rate(courier_publish_repeated_total[$__rate_interval]))", "again"),),
            colours={"confirmed": GREEN, "again": ORANGE},
            width=24,
            height=6,
        ),
    ),
)

LEDGER: Final = Row(
    "Ledger",
    (
        Panel(
            "Open and unsettled",
            "Licence writes that are not read back yet, and those that ended unknown and are not"
            " settled.",
            "short",
            Query("sum by (instance) (courier_ledger_open_intents)", "{{instance}} open"),
            also=(Query("sum by (instance) (courier_ledger_unresolved)", "{{instance}} unknown"),),
            thresholds=((1, RED),),
        ),
        Panel(
            "Age of the oldest unknown",
            "How long somebody has been waiting to hear what became of a licence.",
            "s",
            Query("max by (instance) (courier_ledger_oldest_unresolved_seconds)", "{{instance}}"),
        ),
        Panel(
            "Age of these figures",
            "They are read every few seconds; a ledger that cannot be read lets them grow old.",
            "s",
            Query(
                "time() - max by (instance) (courier_ledger_survey_timestamp_seconds > 0)",
                "{{instance}}",
            ),
            thresholds=((60, ORANGE),),
        ),
    ),
)

PROCESS: Final = Row(
    "Process",
    (
        Panel(
            "Mistakes of its own",
            "internal-error lines in the event log, which hold the traceback.",
            "short",
            Query(
                "sum by (instance) (increase(courier_internal_errors_total[$__rate_interval]))",
                "{{instance}}",
            ),
            thresholds=((1, RED),),
            width=6,
        ),
        Panel(
            "CPU",
            "Of one core.",
            "percentunit",
            Query(
                "sum by (instance) (rate(process_cpu_seconds_total[$__rate_interval]))",
                "{{instance}}",
            ),
            thresholds=((0.9, ORANGE),),
            width=6,
        ),
        Panel(
            "Memory",
            "What is resident.",
            "bytes",
            Query("sum by (instance) (process_resident_memory_bytes)", "{{instance}}"),
            width=6,
        ),
        Panel(
            "Open files",
            "The share of what the process may open: connections are files, too.",
            "percentunit",
            Query(
                "max by (instance) (process_open_fds / process_max_fds)",
                "{{instance}}",
            ),
            thresholds=((0.8, RED),),
            width=6,
        ),
        Panel(
            "Up for",
            "Since the process was started; a saw is a watchdog at work.",
            "s",
            Query("time() - max by (instance) (process_start_time_seconds)", "{{instance}}"),
            width=24,
            height=5,
        ),
    ),
)

ROWS: Final = (WELL, COMMANDS, WAITING, APPLIANCES, BROKER, LEDGER, PROCESS)

UNSEEN: Final = {
    "process_virtual_memory_bytes": "address space costs nothing; the memory is the resident one",
}
"""Metrics that no panel shows, with the reason."""
