"""What we deploy for Prometheus, run by the real one: rules, their tests, the dashboard."""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.support.prometheus import (
    COMPOSED,
    CONFIGURATION,
    RULE_TESTS,
    RULES,
    Prometheus,
    alerts,
    promtool,
    scraping,
    surviving,
)
from tests.support.stand import ROOT, Appliances, Service, Stand
from tests.support.workflow import Json, Workflow, command, licence

DASHBOARD: Final = ROOT / "deploy" / "grafana" / "courier.json"
CHOICES: Final = {
    "$instance": ".+",
    "$appliance": ".+",
    "$__rate_interval": "1m",
    "$__range": "1m",
}
"""What Grafana puts in place of its variables."""
MAY_BE_EMPTY: Final = {
    "Not ready because of": "there is a series for each reason, and none while all is well",
}
FILE: Final = base64.b64encode(b"a licence file\n").decode()
COMMANDS: Final[tuple[Json, ...]] = (
    command("query-sms-balance", {"appliance": "fac-1"}, time="2026-01-01T00:00:00.000Z"),
    command("query-devices", {"appliance": "fvc-1"}),
    command("activate-sms-license", {"appliance": "fac-1", "license": licence(1)}),
    command(
        "apply-voice-license",
        {"appliance": "fvc-1", "file": {"name": "voice.lic", "content": FILE}},
    ),
    command("query-devices", {"appliance": "no-such-appliance"}),
    command("query-devices", {"appliance": "fvc-1", "serach": "ff"}),
)
"""One of each kind that succeeds, one that is refused, one that is none."""
WAITING: Final = command("query-devices", {"appliance": "fvc-2"})
"""It waits for a password that is right."""


def test_what_we_deploy_is_what_prometheus_can_read() -> None:
    """Configuration and rules, as promtool reads them, without a warning."""
    for words in (
        ("config", CONFIGURATION),
        ("config", COMPOSED),
        ("rules", "--lint-fatal", RULES),
    ):
        exit_code, output = promtool("check", *words)
        assert (0, False) == (exit_code, "WARNING" in output), output


def test_every_alert_does_what_its_tests_say() -> None:
    """It fires with just these labels and words, and not when it was nearly so."""
    exit_code, output = promtool("test", "rules", RULE_TESTS)
    assert 0 == exit_code, output


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_no_number_of_an_alert_can_change_unnoticed(alert: Json, tmp_path: Path) -> None:
    """Threshold, window or waiting time: with any of them changed, a test of the rules fails."""
    assert [] == surviving(alert, tmp_path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def appliances(shared_stand: Stand) -> Appliances:
    """One of them has another password than we believe."""
    played = await shared_stand.appliances("--fortivoices", "2")
    (played.inventory.parent / "fvc-2.password").write_text("not-the-password")
    return played


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prometheus(
    service: Service, workflow: Workflow, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Prometheus]:
    """It has seen the courier before, while and after commands were run."""
    directory = tmp_path_factory.mktemp("prometheus")
    async with scraping(urlsplit(service.http).netloc, directory) as server:
        await server.until("courier_ready == 1")
        await workflow.send(*COMMANDS, WAITING)
        for each in COMMANDS:
            await workflow.answer(each["id"])
        ended = "sum(courier_commands_finished_total) + sum(courier_commands_rejected_total)"
        await server.until(f"{ended} == {len(COMMANDS)}")
        await server.until('ALERTS{alertname="CourierCredentialsRefused",alertstate="firing"}')
        # The courier looks at the broker's queues every few seconds.
        await server.until("courier_queue_messages")
        yield server


def queries() -> Iterator[tuple[str, str, str]]:
    """Title, query and legend of everything that the dashboard asks, its choices made."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"]
            for variable, value in CHOICES.items():
                text = text.replace(variable, value)
            assert "$" not in text, text
            yield panel["title"], text, target["legendFormat"]


@pytest.mark.asyncio(loop_scope="module")
async def test_every_query_of_the_dashboard_returns_data(prometheus: Prometheus) -> None:
    """Of a courier that has run commands; and every label that a legend names is there."""
    empty = set()
    for title, text, legend in queries():
        found = await prometheus.query(text)
        if not found:
            empty.add(title)
        for labels, _ in found:
            assert set(_labels(legend)) <= set(labels), (title, labels)
    assert set() == empty - set(MAY_BE_EMPTY)


def _labels(legend: str) -> list[str]:
    return [part.split("}}")[0] for part in legend.split("{{")[1:]]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_dashboard_offers_what_there_is(prometheus: Prometheus) -> None:
    """The choices of instance and appliance have their values from series that exist."""
    made = json.loads(DASHBOARD.read_text())
    offered = {}
    for variable in made["templating"]["list"][1:]:
        series, label = variable["definition"].removeprefix("label_values(")[:-1].rsplit(", ", 1)
        found = await prometheus.query(series.replace("$instance", ".+"))
        offered[variable["name"]] = {labels[label] for labels, _ in found}
    assert {"fac-1", "fvc-1", "fvc-2"} == offered["appliance"]
    assert 1 == len(offered["instance"])


@pytest.mark.asyncio(loop_scope="module")
async def test_every_rule_can_be_evaluated(prometheus: Prometheus) -> None:
    """On what a real courier exports, without an error."""
    found = await prometheus.rules()
    health = {rule["name"]: (rule["health"], rule.get("lastError")) for rule in found}
    assert {("ok", None)} == set(health.values()), health
    assert {rule["alert"] for rule in alerts()} <= set(health)


@pytest.mark.asyncio(loop_scope="module")
async def test_only_what_is_wrong_is_told(prometheus: Prometheus, service: Service) -> None:
    """A refused password, by the appliance's name; nothing else is firing or about to."""
    told = {name: await prometheus.states(name) for name in _names() - {"CourierParkedGrowing"}}
    refused = {
        "alertname": "CourierCredentialsRefused",
        "severity": "page",
        "job": "courier",
        "instance": urlsplit(service.http).netloc,
        "appliance": "fvc-2",
    }
    assert {"CourierCredentialsRefused": [("firing", refused)]} == {
        name: states for name, states in told.items() if states
    }


def _names() -> set[str]:
    return {str(rule["alert"]) for rule in alerts()}


# The last one: it ends what the others look at.
@pytest.mark.asyncio(loop_scope="module")
async def test_a_courier_that_is_gone_is_noticed(prometheus: Prometheus, service: Service) -> None:
    """It is no metric of its own that says so, since there is none any more."""
    assert [] == await prometheus.states("CourierDown")
    await service.end()
    await prometheus.until('ALERTS{alertname="CourierDown"}')
    ((state, labels),) = await prometheus.states("CourierDown")
    assert ("pending", urlsplit(service.http).netloc) == (state, labels["instance"])
    assert [] == await prometheus.query("courier_ready")
