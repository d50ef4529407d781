"""One of three nodes dies. The long form is `python -m tests.campaign --cluster`."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from service.demo.debian import install_rabbitmq
from service.demo.node import installed_server
from tests.support import http
from tests.support.cluster import Cluster, clustered
from tests.support.stand import Service, standing
from tests.support.wait import until
from tests.support.workflow import command, gather_answers, licence, working

VHOST: Final = "/"
COMMANDS: Final = 30


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three nodes on the loopback address; RabbitMQ is installed if it is not here."""
    if installed_server() is None:
        asyncio.run(install_rabbitmq(print))
    server = installed_server()
    assert server is not None
    with clustered(server) as nodes:
        yield nodes


async def nodes_of(service: Service) -> dict[str, str]:
    """Where each of its connections leads to."""
    async with http.visit(service.http) as client:
        return dict((await client.get("/health/ready")).json()["broker"])


async def test_a_node_that_dies_costs_no_command(cluster: Cluster, tmp_path: Path) -> None:
    """It is the service's own, with thirty commands on their way: each ends once, elsewhere."""
    _, *others = cluster.members
    producers, *addresses = cluster.urls_of(VHOST, heartbeat=2)
    async with standing(producers, tmp_path) as stand:
        appliances = await stand.appliances("--latency", "0.03")
        service = await stand.service(BROKER_URL=",".join(addresses))
        before = set((await nodes_of(service)).values())
        own, spare = others if before == {others[0].address} else reversed(others)
        assert {own.address} == before
        async with working(producers) as workflow:
            sent = [
                command("activate-sms-license", {"appliance": "fac-1", "license": licence(number)})
                for number in range(COMMANDS)
            ]
            await workflow.send(*sent)
            ids = [str(each["id"]) for each in sent]
            await until(lambda: workflow.answers(ids[0]))
            assert len(workflow.heard) < COMMANDS
            await asyncio.to_thread(cluster.kill, own)
            told = await gather_answers(workflow, ids)
        assert {"succeeded"} == {each.data["conclusion"] for each in told}
        assert COMMANDS == len({each.event["id"] for each in workflow.heard})
        spent = (await appliances.books("fac-1"))["spent"]
        assert [1] * COMMANDS == [each["times"] for each in spent.values()]
        assert {spare.address} == set((await nodes_of(service)).values())
