"""What Prometheus reads: counted from the event log, or asked; all of it as the manifest says."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
import yaml
from prometheus_client import Histogram
from prometheus_client.parser import text_string_to_metric_families

from service.appliances.breaker import State as Breaker
from service.appliances.inventory import Inventory
from service.appliances.ports import Appliance, Status
from service.appliances.session import State as Session
from service.errors import Code, Reason
from service.ledger.survey import Survey
from service.messages.commands import COMMANDS
from service.messages.events import CODES
from service.messages.wire import now
from service.metrics import Metrics
from service.metrics.asked import Asked, Sources
from service.metrics.counted import Counted
from service.telemetry import about, heard_by, log
from service.topology import Count
from tests.unit.fakes import LIMITS, FakeFac, FakeFvc

Sample: TypeAlias = tuple[str, frozenset[tuple[str, str]]]
Samples: TypeAlias = dict[Sample, float]
ROOT: Final = Path(__file__).parents[2]
MANIFEST: Final[list[dict[str, Any]]] = yaml.safe_load((ROOT / "deploy/metrics.yaml").read_text())
DEVICES: Final = "courier.query-devices.v1"
ENDED: Final = {"command_type": DEVICES, "conclusion": "succeeded"}
NOTHING: Final = Survey(Path("nowhere"))
NOTHING.surveyed_at = now()
ALL_IS_WELL: Final = Sources(
    version="1.2.3",
    not_ready=list,
    running=dict,
    connected=dict,
    queues=dict,
    publishing=Histogram("courier_publish_seconds", "x", registry=None),
    survey=NOTHING,
    appliances=(),
)


def asked(appliances: Iterable[Appliance] = (), survey: Survey = NOTHING) -> Asked:
    """How things stand with them where all else is well."""
    return Asked(replace(ALL_IS_WELL, appliances=appliances, survey=survey))


def read(metrics: Metrics) -> Samples:
    """Every sample of ours by its name and labels, as Prometheus understands the text."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if sample.name.startswith("courier_")
    }


def of(name: str, **labels: str) -> Sample:
    return f"courier_{name}", frozenset(labels.items())


def states(samples: Samples, name: str, appliance: str) -> dict[str, float]:
    """The samples of a metric that has one for every state."""
    return {
        dict(labels)["state"]: value
        for (metric, labels), value in samples.items()
        if metric == f"courier_appliance_{name}" and ("appliance", appliance) in labels
    }


def told(appliance: FakeFac, status: Status) -> Samples:
    appliance.standing = status
    return read(Metrics(asked([appliance])))


def rises(before: Samples, after: Samples) -> Samples:
    """What is more than before; the buckets of histograms left out."""
    return {
        sample: value - before.get(sample, 0)
        for sample, value in after.items()
        if value != before.get(sample, 0) and not sample[0].endswith("_bucket")
    }


@pytest.mark.parametrize("session", Session)
def test_a_session_is_in_one_state(session: Session, fac: FakeFac) -> None:
    """All states are told, 1 for the one that it is in: a query names the state that it wants."""
    samples = told(fac, Status(session, "closed", 0, 0, 0))
    assert {state: float(state == session) for state in Session} == (
        states(samples, "session", "fac-1")
    )


@pytest.mark.parametrize("breaker", Breaker)
def test_a_breaker_is_in_one_state(breaker: Breaker, fac: FakeFac) -> None:
    """So that an alarm can be set on whatever is not closed."""
    samples = told(fac, Status("open", breaker, 0, 0, 0))
    assert {state: float(state == breaker) for state in Breaker} == (
        states(samples, "breaker", "fac-1")
    )


def test_figures_are_told_as_the_appliance_has_them(fac: FakeFac) -> None:
    """Requests in flight, and logins by what the appliance answered."""
    samples = told(fac, Status("open", "closed", in_flight=3, logins=7, refused_logins=2))
    for expected, sample in (
        (3, of("appliance_requests_in_flight", appliance="fac-1")),
        (7, of("appliance_logins_total", appliance="fac-1", outcome="accepted")),
        (2, of("appliance_logins_total", appliance="fac-1", outcome="refused")),
    ):
        assert expected == samples[sample]


def test_every_appliance_has_its_own(fac: FakeFac, fvc: FakeFvc) -> None:
    """The inventory's name tells them apart, and what is there now is what is told."""
    fac.standing = Status("refused", "closed", 0, 0, 1)
    samples = read(Metrics(asked(Inventory([fac, fvc], LIMITS))))
    assert (1, 0) == tuple(
        samples[of("appliance_session", appliance=name, state="refused")]
        for name in ("fac-1", "fvc-1")
    )


def test_an_appliance_that_leaves_the_inventory_leaves_the_metrics(fac: FakeFac) -> None:
    """An alert on one that nobody has any more would never end; those of the moment are told."""
    appliances: list[Appliance] = [fac]
    metrics = Metrics(Counted(appliances), asked(appliances))
    assert any(("appliance", "fac-1") in labels for _, labels in read(metrics))
    appliances.clear()
    assert not any(("appliance", "fac-1") in labels for _, labels in read(metrics))


LINES: Final[dict[str, tuple[str, dict[str, Any], Samples]]] = {
    "a delivery": (
        "command-received",
        {"command_type": DEVICES, "attempt": 2},
        {of("commands_received_total", command_type=DEVICES): 1},
    ),
    "a delivery whose wait is known": (
        "command-received",
        {"command_type": DEVICES, "attempt": 1, "waited_ms": 2500},
        {
            of("commands_received_total", command_type=DEVICES): 1,
            of("command_queue_wait_seconds_count", command_type=DEVICES): 1,
            of("command_queue_wait_seconds_sum", command_type=DEVICES): 2.5,
        },
    ),
    "a success": (
        "command-finished",
        {**ENDED, "attempt": 1, "duration_ms": 250},
        {
            of("commands_finished_total", **ENDED, error_code=""): 1,
            of("command_duration_seconds_count", command_type=DEVICES): 1,
            of("command_duration_seconds_sum", command_type=DEVICES): 0.25,
            of("command_attempts_count", command_type=DEVICES): 1,
            of("command_attempts_sum", command_type=DEVICES): 1,
        },
    ),
    "a failure": (
        "command-finished",
        {**ENDED, "attempt": 0, "conclusion": "failed", "error_code": "unreachable"},
        {
            of(
                "commands_finished_total",
                command_type=DEVICES,
                conclusion="failed",
                error_code="unreachable",
            ): 1,
            of("command_attempts_count", command_type=DEVICES): 1,
        },
    ),
    "a delay": (
        "command-delayed",
        {"command_type": DEVICES, "retry_in": 30, "attempt": 1, "error_code": "busy"},
        {of("commands_delayed_total", command_type=DEVICES, error_code="busy"): 1},
    ),
    "a rejection": (
        "command-rejected",
        {"reason": "not-json", "queue": "q", "paths": []},
        {of("commands_rejected_total", reason="not-json"): 1},
    ),
    "a visit": (
        "appliance-answered",
        {"command_type": DEVICES, "appliance": "fac-1", "requests": 3, "duration_ms": 500},
        {
            of("appliance_answer_seconds_count", appliance="fac-1"): 1,
            of("appliance_answer_seconds_sum", appliance="fac-1"): 0.5,
        },
    ),
    "a publish that was not confirmed": (
        "publish-repeated",
        {"exchange": "", "reason": "x"},
        {of("publish_repeated_total"): 1},
    ),
    "a mistake of ours": ("internal-error", {}, {of("internal_errors_total"): 1}),
    "anything else": ("session-reused", {"command_type": DEVICES, "duration_ms": 1}, {}),
}


@pytest.mark.parametrize("what", LINES)
def test_what_the_event_log_tells_is_counted(what: str, fac: FakeFac) -> None:
    """Nobody else counts: log and metrics cannot differ. Milliseconds become seconds."""
    slug, fields, expected = LINES[what]
    counted = Counted([fac])
    metrics = Metrics(counted)
    before = read(metrics)
    counted.hear({"event": slug, **fields})
    assert expected == rises(before, read(metrics))


def test_the_fields_that_surround_a_command_count(fac: FakeFac) -> None:
    """Most lines do not name the command's type themselves; it comes from around them."""
    counted = Counted([fac])
    around = {"command_id": "c-1", "correlation_id": "c-1", "appliance": "fac-1"}
    with heard_by(counted.hear), about(command_type=DEVICES, **around):
        log.info("command-received", attempt=1)
    assert 1 == read(Metrics(counted))[of("commands_received_total", command_type=DEVICES)]


def test_the_lines_that_are_counted_are_in_the_contract() -> None:
    """A slug that is renamed there would be counted no more."""
    schema = json.loads((ROOT / "contracts/event-log/v1.schema.json").read_text())
    slugs = {slug for slug, *_ in LINES.values()}
    assert set() == slugs - set(schema["$defs"])
    fields = {name for _, fields, _ in LINES.values() for name in fields}
    assert set() == fields - set(schema["properties"])


def labels_of(samples: Samples) -> set[tuple[str, str]]:
    return {pair for name, labels in samples for pair in labels if not name.endswith("_bucket")}


def test_labels_are_bounded_whatever_is_sent(fac: FakeFac) -> None:
    """Names that anybody can make up fill no memory, here or in Prometheus: they are `other`."""
    counted = Counted([fac])
    metrics = Metrics(counted)
    before = labels_of(read(metrics))
    for number, (slug, *_) in product(range(100), LINES.values()):
        names = ("command_type", "appliance", "error_code", "reason", "conclusion")
        made_up = dict.fromkeys(names, f"made-up-{number}")
        counted.hear({"event": slug, "duration_ms": "soon", "attempt": None, **made_up})
    after = read(metrics)
    assert {"other"} == {value for _, value in labels_of(after) - before}
    assert 200 == after[of("commands_received_total", command_type="other")]


def test_what_can_be_counted_stands_at_0_from_the_start(fac: FakeFac) -> None:
    """The first rise of a series that begins with 1 is none for Prometheus."""
    samples = read(Metrics(Counted([fac])))
    expected = [
        of("publish_repeated_total"),
        of("internal_errors_total"),
        of("appliance_answer_seconds_count", appliance="fac-1"),
        *(of("commands_rejected_total", reason=reason) for reason in Reason),
        *(
            of(name, command_type=each)
            for each in COMMANDS
            for name in (
                "commands_received_total",
                "command_duration_seconds_count",
                "command_attempts_count",
                "command_queue_wait_seconds_count",
            )
        ),
        *(
            of("commands_finished_total", command_type=each, conclusion=end, error_code=code)
            for each in COMMANDS
            for end, codes in CODES.items()
            for code in codes or {""}
        ),
        *(
            of("commands_delayed_total", command_type=each, error_code=code)
            for each in COMMANDS
            for code in (Code.BUSY, Code.UNREACHABLE, Code.CREDENTIALS_REFUSED)
        ),
    ]
    assert {0.0} == {samples[each] for each in expected}


def test_the_service_tells_how_it_stands() -> None:
    """Ready or not, and why; what runs; what stands in which queue; which connections are up."""
    sources = replace(
        ALL_IS_WELL,
        not_ready=lambda: ["consumer-missing", "ledger-unavailable"],
        running=lambda: {DEVICES: 2},
        connected=lambda: {"publishing": False, "consuming": True},
        queues=lambda: {"courier.parked": Count(7, 0), "courier.query-devices": Count(3, 1)},
    )
    expected: Samples = {
        of("build_info", version="1.2.3"): 1,
        of("ready"): 0,
        of("not_ready", reason="consumer-missing"): 1,
        of("not_ready", reason="ledger-unavailable"): 1,
        of("commands_running", command_type=DEVICES): 2,
        of("commands_running", command_type="courier.query-sms-balance.v1"): 0,
        of("broker_connected", connection="publishing"): 0,
        of("broker_connected", connection="consuming"): 1,
        of("queue_messages", queue="courier.parked"): 7,
        of("queue_consumers", queue="courier.query-devices"): 1,
    }
    samples = read(Metrics(Asked(sources)))
    assert expected == {each: samples[each] for each in expected}


def test_a_service_without_a_reason_is_ready() -> None:
    """And names none."""
    samples = read(Metrics(asked()))
    assert 1 == samples[of("ready")]
    assert [] == [name for name, _ in samples if name == "courier_not_ready"]


def test_the_ledgers_figures_are_those_of_its_survey() -> None:
    """The oldest unknown's age grows while nobody can look; before the first look none is told."""
    survey = Survey(Path("nowhere"))
    metrics = Metrics(asked(survey=survey))
    names = ("open_intents", "unresolved", "oldest_unresolved_seconds", "survey_timestamp_seconds")
    samples = read(metrics)
    assert [None, None, None, 0] == [samples.get(of(f"ledger_{name}")) for name in names]
    survey.open_intents, survey.unresolved = 1, 2
    survey.oldest_unresolved = now() - timedelta(hours=1)
    survey.surveyed_at = now()
    samples = read(metrics)
    assert [1, 2, pytest.approx(3600, abs=5), survey.surveyed_at.timestamp()] == [
        samples[of(f"ledger_{name}")] for name in names
    ]


def test_an_unknown_that_ends_in_the_future_has_no_age() -> None:
    """A clock may have been put back since."""
    survey = Survey(Path("nowhere"))
    survey.oldest_unresolved = now() + timedelta(hours=1)
    survey.surveyed_at = now()
    samples = read(Metrics(asked(survey=survey)))
    assert 0 == samples[of("ledger_oldest_unresolved_seconds")]


def test_what_is_exported_is_what_the_manifest_says(fac: FakeFac) -> None:
    """Name, type and meaning; tests/system compares a running service's, and the labels."""
    text = Metrics(Counted([fac]), asked([fac])).text().decode()
    exported = {
        f"{family.name}_total" if family.type == "counter" else family.name: (
            family.type,
            family.documentation,
        )
        for family in text_string_to_metric_families(text)
    }
    del exported["courier_publish_seconds"]  # it is the publisher's
    listed = {each["name"]: (each["type"], each["meaning"]) for each in MANIFEST}
    del listed["courier_publish_seconds"]
    assert listed == exported


def test_a_name_ends_in_its_base_unit() -> None:
    """Seconds and bytes, never milliseconds; a counter says that it is one after that."""
    for each in MANIFEST:
        name = each["name"].removesuffix("_total")
        assert each["unit"] in {"", "seconds", "bytes"}
        assert name.endswith(f"_{each['unit']}" if each["unit"] else "")
        assert (each["type"] == "counter") == each["name"].endswith("_total")
        assert not name.endswith(("_ms", "_milliseconds", "_count", "_sum", "_bucket"))


def test_every_metric_is_explained_by_a_sentence() -> None:
    """Whoever reads it at night has nothing else."""
    assert [] == [each["name"] for each in MANIFEST if not each["meaning"].endswith(".")]


def test_two_couriers_in_one_process_do_not_mix(fac: FakeFac, fvc: FakeFvc) -> None:
    """Each has a registry of its own; nothing hangs on a global one."""
    both = [read(Metrics(Counted([each]), asked([each]))) for each in (fac, fvc)]
    assert [{"fac-1"}, {"fvc-1"}] == [
        {value for _, labels in samples for name, value in labels if name == "appliance"}
        for samples in both
    ]
