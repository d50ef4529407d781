"""What Prometheus reads of the appliances."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.appliances.breaker import State as Breaker
from service.appliances.inventory import Inventory
from service.appliances.ports import Status
from service.appliances.session import State as Session
from service.metrics import Metrics
from tests.unit.fakes import LIMITS, FakeFac, FakeFvc

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(metrics: Metrics) -> Samples:
    """Every sample by its name and labels, as Prometheus understands the text."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def sample(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return f"courier_appliance_{name}", frozenset(labels.items())


def states(samples: Samples, name: str, appliance: str) -> dict[str, float]:
    """The samples of a metric that has one for every state."""
    return {
        dict(labels)["state"]: value
        for (metric, labels), value in samples.items()
        if metric == f"courier_appliance_{name}" and ("appliance", appliance) in labels
    }


def told(appliance: FakeFac, status: Status) -> Samples:
    appliance.standing = status
    return read(Metrics([appliance]))


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
    for expected, name in (
        (3, sample("requests_in_flight", appliance="fac-1")),
        (7, sample("logins_total", appliance="fac-1", outcome="accepted")),
        (2, sample("logins_total", appliance="fac-1", outcome="refused")),
    ):
        assert expected == samples[name]


def test_every_appliance_has_its_own(fac: FakeFac, fvc: FakeFvc) -> None:
    """The inventory's name tells them apart, and what is there now is what is told."""
    fac.standing = Status("refused", "closed", 0, 0, 1)
    inventory = Inventory([fac, fvc], LIMITS)
    samples = read(Metrics(inventory))
    assert (1, 0) == tuple(
        samples[sample("session", appliance=name, state="refused")] for name in ("fac-1", "fvc-1")
    )


def test_metrics_are_those_of_the_moment(fac: FakeFac) -> None:
    """Nothing is counted twice or kept: an appliance is asked whenever Prometheus asks."""
    appliances = [fac]
    metrics = Metrics(appliances)
    name = sample("requests_in_flight", appliance="fac-1")
    for expected in (1, 0):
        fac.standing = Status("open", "closed", expected, 0, 0)
        assert expected == read(metrics)[name]
    appliances.clear()
    assert {} == read(metrics)


def test_every_metric_is_explained(fac: FakeFac) -> None:
    """A name with the prefix, a type and a sentence; counters end as Prometheus wants it."""
    families = list(text_string_to_metric_families(Metrics([fac]).text().decode()))
    assert {
        "courier_appliance_session": "gauge",
        "courier_appliance_breaker": "gauge",
        "courier_appliance_requests_in_flight": "gauge",
        "courier_appliance_logins": "counter",
    } == {family.name: family.type for family in families}
    assert [] == [family.name for family in families if not family.documentation.endswith(".")]


def test_two_couriers_in_one_process_do_not_mix(fac: FakeFac, fvc: FakeFvc) -> None:
    """Each has a registry of its own; nothing hangs on a global one."""
    first, second = read(Metrics([fac])), read(Metrics([fvc]))
    assert {"fac-1"} == {dict(labels)["appliance"] for _, labels in first}
    assert {"fvc-1"} == {dict(labels)["appliance"] for _, labels in second}
