"""Connecting to a real RabbitMQ: what did not succeed leaves nothing behind."""

import asyncio
import gc

import pytest
from yarl import URL

from service.errors import ConfigurationError
from service.topology.connection import Roaming
from service.topology.nodes import connect


async def left_open(address: URL) -> int:
    """How many of our connections to an address nobody had closed; now they are.

    Whoever cancels all tasks would wait for such a one for ever.
    """
    live = [each for each in gc.get_objects() if type(each) is Roaming]
    found = [each for each in live if each.url.path == address.path and not each.is_closed]
    for each in found:
        await each.close()
    return len(found)


async def test_a_connection_that_is_refused_is_closed(amqp_url: str) -> None:
    """The library warns about one that is left behind, whenever that is collected."""
    elsewhere = URL(f"{amqp_url}-not-there")
    with pytest.raises(ConfigurationError, match="refuses the connection"):
        await connect([elsewhere], None)
    assert 0 == await left_open(elsewhere)


async def test_who_is_told_to_stop_while_connecting_leaves_no_connection() -> None:
    """Left behind, it would go on trying for as long as the process lives."""
    came = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        await reader.read()  # until the other end closes
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server:
        silent = URL(f"amqp://127.0.0.1:{server.sockets[0].getsockname()[1]}/silent")
        task = asyncio.create_task(connect([silent], None))
        await came.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert 0 == await left_open(silent)
