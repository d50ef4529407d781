"""Every test here has a virtual host and a directory, and starts its own processes.

What starts `shared_` lasts for a module: starting everything takes two seconds.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.support.canaries import Canaries
from tests.support.rabbit import Rabbit
from tests.support.stand import Appliances, Process, Service, Stand, standing
from tests.support.workflow import Workflow, working


@pytest.fixture(autouse=True)
def _nothing_secret_is_written() -> Iterator[None]:
    """Look through what programs wrote that belong to no stand, for what is a secret by its form.

    A stand knows its secrets and does more, when it ends.
    """
    yield
    strays, Process.strays[:] = Process.strays[:], []
    Canaries().check(told for process in strays for told in process.told())


@pytest.fixture
async def stand(amqp_url: str, tmp_path: Path) -> AsyncIterator[Stand]:
    async with standing(amqp_url, tmp_path) as made:
        yield made


@pytest.fixture
async def slow(stand: Stand) -> Appliances:
    """Appliances that take their time, so that something is always under way."""
    return await stand.appliances("--latency", "0.1")


@pytest.fixture
def workflow_of(stand: Stand) -> Callable[[], AbstractAsyncContextManager[Workflow]]:
    """A workflow on the stand, begun when the test wants it."""
    return lambda: working(stand.url)


@pytest.fixture(scope="module")
def shared_url(broker: Rabbit) -> Iterator[str]:
    vhost = f"test-{uuid4().hex[:12]}"
    broker.create_vhost(vhost)
    yield broker.url_of(vhost)
    broker.delete_vhost(vhost)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_stand(
    shared_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stand]:
    async with standing(shared_url, tmp_path_factory.mktemp("stand")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def appliances(shared_stand: Stand) -> Appliances:
    return await shared_stand.appliances()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(shared_stand: Stand, appliances: Appliances) -> Service:  # noqa: ARG001 - its inventory
    return await shared_stand.service()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workflow(shared_stand: Stand, service: Service) -> AsyncIterator[Workflow]:  # noqa: ARG001 - it declares
    async with working(shared_stand.url) as made:
        yield made
