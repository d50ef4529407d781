"""Every test here has a virtual host, a directory, and starts its own processes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.stand import Appliances, Service, Stand, standing
from tests.support.workflow import Workflow, working


@pytest.fixture
async def stand(amqp_url: str, tmp_path: Path) -> AsyncIterator[Stand]:
    async with standing(amqp_url, tmp_path) as made:
        yield made


@pytest.fixture
async def appliances(stand: Stand) -> Appliances:
    return await stand.appliances()


@pytest.fixture
async def service(stand: Stand, appliances: Appliances) -> Service:  # noqa: ARG001 - its inventory
    return await stand.service()


@pytest.fixture
async def workflow(stand: Stand, service: Service) -> AsyncIterator[Workflow]:  # noqa: ARG001 - declares
    async with working(stand.url) as made:
        yield made
