"""The broker and the database in containers do for the tests what private ones do."""

import sys
from collections.abc import Iterator

import pytest

from tests.support.containers import PostgresContainerNode
from tests.support.engine import Engine
from tests.support.images import Images

pytestmark = pytest.mark.timeout(600)  # the first one waits until the images are made

BROKER_TESTS = ("tests/broker/test_publisher.py", "tests/broker/test_upkeep.py")
"""Confirms, alarms, a kill, queues that are deleted: what breaks a broker on purpose is in it."""


def test_the_broker_tests_pass_on_a_container_as_well(docker: Engine, made: Images) -> None:
    """Those files on RabbitMQ in Docker, by testcontainers, which is first where Docker answers."""
    options = ("-q", "--capture=no", "-p", "no:cacheprovider")
    said = docker.run(
        *(sys.executable, "-m", "pytest", *options, *BROKER_TESTS),
        env={"COURIER_TEST_RABBITMQ_IMAGE": made.rabbitmq},
    )
    assert " (docker, amqp://127.0.0.1:" in said
    assert " passed in " in said.splitlines()[-1]


def test_the_ledger_tests_pass_on_a_container_as_well(docker: Engine, made: Images) -> None:
    """On PostgreSQL in Docker, by testcontainers."""
    options = ("-q", "--capture=no", "-p", "no:cacheprovider")
    said = docker.run(
        *(sys.executable, "-m", "pytest", *options, "tests/ledger"),
        env={"COURIER_TEST_POSTGRES_IMAGE": made.postgres},
    )
    assert "PostgreSQL: not in Docker" not in said
    assert " passed in " in said.splitlines()[-1]


@pytest.fixture
def postgres(
    docker: Engine, made: Images, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PostgresContainerNode]:
    monkeypatch.setenv("DOCKER_HOST", docker.host)
    node = PostgresContainerNode(made.postgres)
    try:
        yield node
    finally:
        node.close()


def test_a_postgresql_in_a_container_keeps_its_data_through_a_kill(
    postgres: PostgresContainerNode,
) -> None:
    """It comes back on the same port, with what was there."""
    postgres.start()
    before = postgres.url()
    postgres.ask("CREATE TABLE kept (what text); INSERT INTO kept VALUES ('the ledger')")
    postgres.kill()
    postgres.start()
    assert "the ledger" == postgres.ask("SELECT what FROM kept")
    assert before == postgres.url()
    postgres.freeze()
    postgres.thaw()
    postgres.stop()
    postgres.start()
    assert "the ledger" == postgres.ask("SELECT what FROM kept")
