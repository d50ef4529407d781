"""The dashboard and the alerts name nothing that the manifest of the metrics does not have."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.grafana.dashboard import OUTPUT, dashboard, render
from deploy.grafana.panels import ROWS, UNSEEN, Panel, Query, Row
from deploy.grafana.queries import Metric, Unknown, check, chosen, read_manifest
from tests.support.prometheus import alerts, cases, rule_tests, rules

RUNBOOK = Path(__file__).parents[2] / "deploy" / "RUNBOOK.md"
ALERTS = {
    "CourierDown",
    "CourierNotReady",
    "CourierNothingConsumes",
    "CourierUnknownUnresolved",
    "CourierCredentialsRefused",
    "CourierBreakerOpen",
    "CourierParkedGrowing",
    "CourierSlow",
    "CourierRetryBacklog",
    "CourierInternalErrors",
    "CourierPublishingSlow",
}
METRICS = {
    metric.name: metric
    for metric in (
        Metric("runs_total", "counter", "", frozenset({"kind"})),
        Metric("wait_seconds", "histogram", "seconds", frozenset({"appliance"})),
        Metric("ready", "gauge", "", frozenset()),
        # What the choices of the dashboard ask for.
        Metric("courier_build_info", "gauge", "", frozenset()),
        Metric("courier_appliance_session", "gauge", "", frozenset({"appliance"})),
    )
}


def shown(*queries: Query) -> tuple[Row, ...]:
    """A dashboard that asks this."""
    return (Row("Row", tuple(Panel("Panel", "", "short", query) for query in queries)),)


EVERYTHING = (
    Query("rate(runs_total[5m])", "{{kind}}"),
    Query("wait_seconds_count + courier_build_info + courier_appliance_session"),
    Query("ready"),
)


def panels(made: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in made["panels"] if each["type"] != "row"]


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    return dict(json.loads(OUTPUT.read_text()))


def test_the_file_is_what_the_generator_makes() -> None:
    """Nobody edits it by hand, and a change of the manifest is followed (`make dashboard`)."""
    assert render(dashboard(read_manifest())) == OUTPUT.read_text()


@pytest.mark.parametrize(
    "query",
    [
        "walks_total",  # no metric of that name
        "rate(runs[5m])",  # a counter has its suffix
        "runs_total_count",
        "wait_seconds",  # of a histogram only the parts are stored
        "wait_seconds_total",
        "ready_bucket",
        'runs_total{sort="a"}',  # no label of that name
        'wait_seconds_sum{le="1"}',  # only buckets have it
        "sum by (sort) (runs_total)",
        "sum(runs_total) by (sort)",
        "ready * on (instance, sort) group_left runs_total",
        "ready and other",  # not only the first one counts
        "1 + 1",  # nothing is asked
    ],
)
def test_a_query_that_names_what_there_is_not_is_refused(query: str) -> None:
    """Metric, suffix or label: a panel or an alert that is silently empty is worse than none."""
    with pytest.raises(Unknown):
        check(query, METRICS)


@pytest.mark.parametrize(
    ("query", "metrics"),
    [
        ('sum by (kind, job) (rate(runs_total{kind=~"a|by (x)"}[$__rate_interval]))', "runs_total"),
        ("histogram_quantile(0.95, sum by (le) (rate(wait_seconds_bucket[5m])))", "wait_seconds"),
        ('ready == 0 or absent(up{job="courier"})', "ready"),
        ("ready > 1e3 unless on (instance) ready offset 5m", "ready"),
    ],
)
def test_a_query_that_fits_says_which_metrics_it_shows(query: str, metrics: str) -> None:
    """Words of the language, strings, ranges and numbers are no metrics."""
    assert {metrics} == check(query, METRICS).metrics


def test_a_metric_that_nobody_would_see_is_refused() -> None:
    """Whoever adds one decides where it is shown, or says why it is not."""
    assert dashboard(METRICS, shown(*EVERYTHING), ())
    with pytest.raises(Unknown, match="no panel shows ready"):
        dashboard(METRICS, shown(*EVERYTHING[:2]), ())
    assert dashboard(METRICS, shown(*EVERYTHING[:2]), {"ready"})


def test_what_is_left_out_is_there_and_not_shown() -> None:
    """The list of exceptions does not outlive its reasons."""
    for stale in ("ready", "gone"):
        with pytest.raises(Unknown, match=f"left out, but shown or gone: {stale}"):
            dashboard(METRICS, shown(*EVERYTHING), {stale})
    assert all(UNSEEN.values())


def test_a_legend_that_names_a_label_that_there_is_not_is_refused() -> None:
    """It would be empty."""
    wrong = replace(EVERYTHING[0], legend="{{sort}}")
    with pytest.raises(Unknown, match="Panel: a legend names sort"):
        dashboard(METRICS, shown(wrong, *EVERYTHING[1:]), ())


def test_every_series_of_ours_is_restricted_to_what_is_chosen() -> None:
    """By instance, and by appliance where there is one; Prometheus' own are not."""
    expected = (
        'ready{instance=~"$instance"} + runs_total{instance=~"$instance",kind="a"}'
        ' / wait_seconds_sum{instance=~"$instance",appliance=~"$appliance"} + up'
    )
    assert expected == chosen('ready + runs_total{kind="a"} / wait_seconds_sum + up', METRICS)


def test_no_data_source_is_written_down(made: dict[str, Any]) -> None:
    """It is chosen on the dashboard: another Grafana has another one."""
    found = re.findall(r'"uid": "([^"]*)"', json.dumps(made))
    assert {"appliance-courier", "${datasource}"} == set(found)
    assert ["datasource", "instance", "appliance"] == [
        each["name"] for each in made["templating"]["list"]
    ]


def test_every_panel_has_its_place_its_unit_and_its_meaning(made: dict[str, Any]) -> None:
    """None covers another or leaves the grid, and none has to be guessed."""
    taken: set[tuple[int, int]] = set()
    for panel in made["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
    for panel in panels(made):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
    ids = [panel["id"] for panel in made["panels"]]
    assert sorted(set(ids)) == ids
    rows = [panel["title"] for panel in made["panels"] if panel["type"] == "row"]
    assert [row.title for row in ROWS] == rows


def test_seconds_and_bytes_are_shown_as_such() -> None:
    """A quantity's unit in the manifest is what the panel says, unless it is a rate or a share."""
    manifest = read_manifest()
    for panel in (panel for row in ROWS for panel in row.panels):
        for query in panel.queries:
            units = {manifest[name].unit for name in check(query.text, manifest).metrics}
            if "_count[" in query.text or "_total" in query.text:
                continue
            assert ("s" == panel.unit) == (units == {"seconds"}), panel.title
            assert ("bytes" == panel.unit) == (units == {"bytes"}), panel.title


def test_the_alerts_are_those_that_were_agreed_on() -> None:
    """Their names are what the runbook's sections are called."""
    names = [rule["alert"] for rule in alerts()]
    assert sorted(ALERTS) == sorted(names)


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(rule: dict[str, Any]) -> None:
    """Whoever is woken has an anchor that exists."""
    anchor = rule["alert"].lower()
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert {"summary", "description", "runbook"} == set(rule["annotations"])
    assert f"deploy/RUNBOOK.md#{anchor}" == rule["annotations"]["runbook"]
    assert re.search(rf"^#+ {rule['alert']}$", RUNBOOK.read_text(), re.MULTILINE)
    assert re.fullmatch(r"\d+m", rule["for"])
    assert "$labels.instance" in rule["annotations"]["description"]


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_every_alert_is_tested_both_ways(alert: str) -> None:
    """A case in which it fires with all that it says, and a near miss."""
    expected = [
        bool(asked["exp_alerts"])
        for case in cases(alert)
        for asked in case["alert_rule_test"]
        if alert == asked["alertname"]
    ]
    assert {True, False} == set(expected)


def test_every_test_of_an_alert_is_called_after_it() -> None:
    """By its name it is found, here and in what promtool says."""
    found = [case["name"] for alert in ALERTS for case in cases(alert)]
    assert sorted(found) == sorted(test["name"] for test in rule_tests()["tests"])


def test_alerts_ask_only_for_what_the_manifest_has() -> None:
    """A metric that is renamed takes its alert with it, instead of leaving it silent."""
    recorded = frozenset(rule["record"] for rule in rules() if "record" in rule)
    manifest = read_manifest()
    for rule in rules():
        check(rule["expr"], manifest, recorded=recorded)


def test_nothing_is_recorded_that_no_alert_asks_for() -> None:
    """It would be stored for nobody."""
    asked = " ".join(rule["expr"] for rule in alerts())
    recorded = [rule["record"] for rule in rules() if "record" in rule]
    assert [] == [name for name in recorded if name not in asked]
