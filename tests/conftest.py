"""What every test lives by: no sockets unless its folder has them, no skipping, one broker."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

import hypothesis
import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import settings

from service.demo.broker import Node, running_broker
from tests.support.canaries import fail_if_told
from tests.support.eventlog import fail_if_off_contract
from tests.support.postgres import Server, server
from tests.support.rabbit import Rabbit
from tests.support.real import Real

_TESTS: Final = Path(__file__).parent
# What starts programs takes longest: it is begun first, and the many short files fill up the rest.
_FIRST: Final = ("system", "docker", "broker", "ledger", "appliances")
# Sockets are switched off by pytest's options. These folders have them, to this machine only.
_WITH_SOCKETS: Final = ("broker", "system", "ledger", "appliances", "docker")
_LOOPBACK: Final = ["127.0.0.1", "::1"]


# How long an example takes says more about the machine than about the rule.
hypothesis.settings.register_profile(
    "courier", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("courier")


def pytest_addoption(parser: pytest.Parser) -> None:
    real = parser.getgroup("a real appliance", "see tests/appliances/test_conformance.py")
    real.addoption("--appliance", metavar="NAME", help="run the conformance tests on it, alone")
    real.addoption("--inventory", metavar="FILE", help="the appliances.toml that names it")
    real.addoption("--write", metavar="FILE", help="also write the licence (file) that is here")


def pytest_configure(config: pytest.Config) -> None:
    # With several workers xdist would begin with the files that have most tests, and end with the
    # few that take minutes.
    config.option.loadscopereorder = False
    # Hypothesis limits the wall clock: 0.2 s for an example, 1 s for all draws. Where a machine is
    # shared, the tables that each process reads at its first draw alone take longer. Without a
    # deadline the draws may take 30 s; Hypothesis's own profile for CI has none either.
    settings.register_profile("shared machine", deadline=None)
    settings.load_profile("shared machine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=_turn)
    real = Real.of(config)
    if real is not None:
        items[:] = [item for item in items if real.fits(item)]
        return
    for item in items:
        if any(item.path.is_relative_to(_TESTS / folder) for folder in _WITH_SOCKETS):
            item.add_marker(pytest.mark.allow_hosts(_LOOPBACK))


def _turn(item: pytest.Item) -> int:
    """When a test's folder has its turn."""
    folder = item.path.relative_to(_TESTS).parts[0]
    return _FIRST.index(folder) if folder in _FIRST else len(_FIRST)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    if report.when == "teardown":
        fail_if_told(report)
    fail_if_off_contract(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """A test that does not run shows nothing, and nobody reads why: it counts as failed."""
    if report.skipped and not hasattr(report, "wasxfail"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"A skipped test is a failed test here. {why}"


@pytest.fixture(scope="session")
def broker() -> Iterator[Rabbit]:
    """One real RabbitMQ for the run.

    An own one, in Docker or as a private node, unless COURIER_TEST_BROKER_URL names another. That
    one must have the management plugin, with an administrator's credentials and the address in
    COURIER_TEST_BROKER_API (http://user:password@host:15672/api): each test gets a virtual host of
    its own there. What breaks the broker on purpose needs an own one, and fails otherwise.
    """
    given = os.environ.get("COURIER_TEST_BROKER_URL")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(running_broker(given=given, say=print)) as found,
    ):
        api = found.api or os.environ.get("COURIER_TEST_BROKER_API")
        if api is None:
            pytest.fail("COURIER_TEST_BROKER_URL is set, COURIER_TEST_BROKER_API is not")
        rabbit = Rabbit(found.url, api, found.node)
        yield rabbit
        rabbit.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One real PostgreSQL for the run, in Docker or a private one; each test has a database."""
    running = server()
    try:
        running.start()
        yield running
    finally:
        running.close()


@pytest.fixture
def amqp_url(broker: Rabbit) -> Iterator[str]:
    """A virtual host for one test, by its URL."""
    vhost = f"test-{uuid4().hex[:12]}"
    broker.create_vhost(vhost)
    yield broker.url_of(vhost)
    broker.delete_vhost(vhost)


@pytest.fixture
def node(broker: Rabbit, amqp_url: str) -> Iterator[Node]:  # noqa: ARG001 - it is deleted after this
    """The running broker itself, to be broken; whatever a test does, the next one finds it well."""
    yield broker.node
    broker.node.thaw()
    broker.node.start()
