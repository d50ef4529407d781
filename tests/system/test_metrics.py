"""What Prometheus is told by a running service: what the manifest says, whatever happens to it."""

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import pytest_asyncio
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support import http
from tests.support.rabbit import Rabbit
from tests.support.stand import ROOT, Appliances, Service, Stand
from tests.support.wait import until
from tests.support.workflow import Workflow, command, gather_answers, licence

Labels: TypeAlias = frozenset[tuple[str, str]]
Samples: TypeAlias = dict[tuple[str, Labels], float]
WorkflowOf = Callable[[], AbstractAsyncContextManager[Workflow]]
MANIFEST: list[dict[str, Any]] = yaml.safe_load((ROOT / "deploy/metrics.yaml").read_text())
FILE = {"name": "a.lic", "content": "YWJjZA=="}
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
together = pytest.mark.asyncio(loop_scope="module")
"""One service for all of these."""


def families(service: Service) -> list[Metric]:
    answer = http.get(f"{service.http}/metrics", timeout=1.0).raise_for_status()
    return list(text_string_to_metric_families(answer.text))


def read(service: Service) -> Samples:
    """Every sample by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families(service)
        for sample in family.samples
    }


def figure(service: Service, name: str, **labels: str) -> float:
    return read(service)[name, frozenset(labels.items())]


def by(samples: Samples, name: str, *labels: str) -> Counter[tuple[str, ...]]:
    """The samples of a metric that are not 0, by some of its labels."""
    found: Counter[tuple[str, ...]] = Counter()
    for (metric, pairs), value in samples.items():
        if metric == name and value:
            found[tuple(dict(pairs)[label] for label in labels)] += int(value)
    return found


def logged(service: Service, slug: str, *fields: str) -> Counter[tuple[str, ...]]:
    return Counter(tuple(line.get(field, "") for field in fields) for line in service.events(slug))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lived(service: Service, workflow: Workflow, appliances: Appliances) -> Service:
    """A service that has seen every command, every end, a retry, rejections and rubbish."""
    await appliances.fault("fvc-1", operation="apply", action="reset", when="after", times=1)
    await appliances.fault("fac-1", operation="balance", action="answer", status=503, times=1)
    sent = [
        command("activate-sms-license", {"appliance": "fac-1", "license": licence(1)}),
        command("query-sms-balance", {"appliance": "fac-1"}, time="2026-01-01T00:00:00Z"),
        command("apply-voice-license", {"appliance": "fvc-1", "file": FILE}),
        command("query-devices", {"appliance": "fvc-1"}),
        command("query-devices", {"appliance": "fac-1"}),
        *(command("query-devices", {"appliance": f"made-up-{each}"}) for each in range(5)),
        *(command(f"made-up-{each}", {"appliance": "fac-1"}) for each in range(5)),
        command("query-devices", {"appliance": "fvc-1", "made_up": True}),
    ]
    await workflow.send(*sent)
    await workflow.put(b"{", "courier.query-devices.v1")
    await gather_answers(workflow, [each["id"] for each in sent])
    await until(lambda: logged(service, "command-rejected", "reason")["not-json",])
    await until(lambda: figure(service, "courier_ledger_unresolved") == 1)
    await until(lambda: ("courier_queue_messages", QUEUE) in read(service))
    return service


QUEUE: Labels = frozenset({("queue", "courier.parked")})


@together
async def test_what_is_exported_is_what_the_manifest_says(lived: Service) -> None:
    """Name, type and meaning, of everything, and in both directions: dashboards rely on it."""
    exported = {
        f"{family.name}_total" if family.type == "counter" else family.name: (
            family.type,
            family.documentation,
        )
        for family in families(lived)
    }
    assert {each["name"]: (each["type"], each["meaning"]) for each in MANIFEST} == exported


@together
async def test_every_sample_has_the_labels_that_the_manifest_says(lived: Service) -> None:
    """No more and no less; each metric has one, but for the reasons of a service that is ready."""
    allowed = {
        each["name"] + suffix: set(each["labels"]) | ({"le"} if suffix == "_bucket" else set())
        for each in MANIFEST
        for suffix in SUFFIXES[each["type"]]
    }
    found = {name: {label for label, _ in labels} for name, labels in read(lived)}
    del allowed["courier_not_ready"]
    assert allowed == found


@together
async def test_the_metrics_tell_what_the_event_log_tells(lived: Service) -> None:
    """Command by command: two counts that differ would be two truths at three in the morning."""
    samples = read(lived)
    for slug, name, *labels in (
        ("command-received", "commands_received_total", "command_type"),
        (
            *("command-finished", "commands_finished_total"),
            *("command_type", "conclusion", "error_code"),
        ),
        ("command-delayed", "commands_delayed_total", "command_type", "error_code"),
        ("command-rejected", "commands_rejected_total", "reason"),
        ("appliance-answered", "appliance_answer_seconds_count", "appliance"),
        ("command-finished", "command_duration_seconds_count", "command_type"),
        ("command-finished", "command_attempts_count", "command_type"),
    ):
        expected = logged(lived, slug, *labels)
        assert expected
        assert expected == by(samples, f"courier_{name}", *labels)


@together
async def test_labels_are_bounded_whatever_is_sent(lived: Service) -> None:
    """What anybody can make up, a type, an appliance, a field, stands in no label."""
    values = {value for _, labels in read(lived) for _, value in labels}
    assert [] == [value for value in values if "made" in value]
    assert "other" not in values


@together
async def test_a_producers_time_tells_how_long_a_command_waited(lived: Service) -> None:
    """At its first receipt; those without a time tell nothing."""
    samples = read(lived)
    name = "courier_command_queue_wait_seconds_count"
    assert {("courier.query-sms-balance.v1",): 1} == by(samples, name, "command_type")


@together
async def test_how_the_service_stands_is_told(lived: Service) -> None:
    """Ready and connected; nothing runs; what is unresolved and parked; who consumes."""
    samples = read(lived)
    assert 1 == samples["courier_ready", frozenset()]
    assert Counter() == by(samples, "courier_commands_running", "command_type")
    connections = {("publishing",): 1, ("consuming",): 1, ("quarantine",): 1}
    assert connections == by(samples, "courier_broker_connected", "connection")
    consumed = by(samples, "courier_queue_consumers", "queue")
    assert {
        *[(f"courier.{name}",) for name in ("activate-sms-license", "query-sms-balance")],
        *[(f"courier.{name}",) for name in ("apply-voice-license", "query-devices")],
        *[("courier.query-appliance-status",), ("courier.unknown-command",)],
        ("courier.quarantine",),
    } == set(consumed)
    await until(lambda: figure(lived, "courier_queue_messages", queue="courier.parked") == 7)
    assert 0 == samples["courier_ledger_open_intents", frozenset()]
    assert 60 > samples["courier_ledger_oldest_unresolved_seconds", frozenset()] > 0
    assert time.time() - samples["courier_ledger_survey_timestamp_seconds", frozenset()] < 15
    published = samples["courier_publish_seconds_count", frozenset()]
    assert published >= len(lived.events("result-told"))


@together
async def test_a_command_that_runs_is_told_while_it_runs(
    lived: Service, workflow: Workflow, appliances: Appliances
) -> None:
    """By its type."""
    await appliances.fault("fvc-1", operation="devices", action="delay", seconds=1, times=1)
    asked = command("query-devices", {"appliance": "fvc-1"})
    await workflow.send(asked)
    running = {"command_type": "courier.query-devices.v1"}
    await until(lambda: figure(lived, "courier_commands_running", **running) == 1)
    await workflow.answer(asked["id"])
    await until(lambda: figure(lived, "courier_commands_running", **running) == 0)


def swap_for_a_file_that_hangs(path: Path) -> None:
    """Whoever opens it now waits until somebody writes to it."""
    path.rename(path.with_suffix(".away"))
    os.mkfifo(path)


async def test_prometheus_is_answered_within_a_second_whatever_hangs(
    stand: Stand, workflow_of: WorkflowOf, broker: Rabbit
) -> None:
    """The ledger locked, its file gone and its disk hung, the broker gone: all that is told."""
    await stand.appliances()
    service = await stand.service(DRAIN_TIMEOUT="1")
    await until(lambda: surveyed_at(service))
    ledger = stand.directory / "courier.db"
    with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        async with workflow_of() as workflow:
            licences = {"appliance": "fac-1", "license": licence(1)}
            await workflow.send(command("activate-sms-license", licences))
            await until(lambda: service.events("command-received"))
            assert 1 == sum(by(read(service), "courier_commands_running", "command_type").values())
            swap_for_a_file_that_hangs(ledger)
        broker.delete_vhost(stand.url.rsplit("/", 1)[1])
        await until(lambda: not connected(read(service)))
        # Longer than between two looks: the next one has begun, and hangs.
        await until(lambda: time.time() - surveyed_at(service) > 6)
        samples = read(service)
        assert 0 == samples["courier_ready", frozenset()]
        assert ("broker-disconnected",) in by(samples, "courier_not_ready", "reason")
        other.execute("ROLLBACK")
    broker.create_vhost(stand.url.rsplit("/", 1)[1])
    assert 0 == await service.end()


def surveyed_at(service: Service) -> float:
    return figure(service, "courier_ledger_survey_timestamp_seconds")


def connected(samples: Samples) -> Iterable[tuple[str, ...]]:
    return by(samples, "courier_broker_connected", "connection")
