"""What more than one file needs: a connection to a broker on which everything stands."""

from collections.abc import AsyncIterator

import aio_pika
import pytest
from aio_pika.abc import AbstractRobustConnection

from service.topology import declare


@pytest.fixture
async def connection(amqp_url: str) -> AsyncIterator[AbstractRobustConnection]:
    """Declare everything, with one retry delay of a second; reconnect at once."""
    connection = await aio_pika.connect_robust(amqp_url, reconnect_interval=0.2)
    async with connection:
        await declare(connection, [1])
        yield connection
