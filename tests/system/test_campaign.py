"""The short form of `make campaign`: some random schedules of the cheap faults, and the report.

And what its link does to connections, on which its half-open ones depend.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.campaign.arena import arena
from tests.campaign.proxy import Direction, Link
from tests.campaign.report import Campaign, write
from tests.campaign.runs import run
from tests.campaign.schedules import draw
from tests.support.rabbit import Rabbit
from tests.support.wait import until

SCHEDULES = {
    "service-killed": 1,
    "connections-closed": 1,
    "link-cut": 3,
    "queue-deleted": 1,
    "answers-lost": 3,
}
"""Those that take two or three seconds each, with a seed of short ones."""
COMMANDS = 20


async def test_random_faults_lose_nothing_and_double_nothing(
    broker: Rabbit, tmp_path: Path
) -> None:
    """Every command ends once, the books bear it out, the log has no traceback; a report says so.

    How fast it recovers is measured by `make campaign`, where nobody counts lines meanwhile.
    """
    began = time.monotonic()
    async with arena(broker, tmp_path / "arena") as where:
        runs = [
            await run(where, draw(seed, COMMANDS, only=kind), limits={})
            for kind, seed in SCHEDULES.items()
        ]
    seconds = time.monotonic() - began
    page = write(Campaign({}, {}, seconds, runs), tmp_path / "report")

    told = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [] == told["failures"], "\n".join(line for each in runs for line in each.evidence)
    assert ([], [], []) == (told["lost"], told["doubled"], told["false"])
    schedules = json.loads((tmp_path / "report" / "runs.json").read_text())["schedules"]
    assert list(SCHEDULES) == [each["faults"][0]["kind"] for each in schedules]
    assert all(each["faults"][0]["recovered_after"] for each in schedules)
    assert len(SCHEDULES) * COMMANDS <= told["messages"]
    assert "Nothing that must not be was found." in page.read_text()


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """A server that sends back what it gets; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.fixture
async def link(echo: int) -> AsyncIterator[Link]:
    async with Link.opened("127.0.0.1", echo) as made:
        yield made


class Client:
    """One connection through the link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard = b""
        self.over: Exception | None = None
        self._writer = writer
        self._reading = asyncio.create_task(self._read(reader))

    @classmethod
    async def through(cls, link: Link) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", link.port))

    def say(self, word: bytes) -> None:
        self._writer.write(word)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(1000):
                self.heard += data
            self.over = EOFError()
        except OSError as error:
            self.over = error
        self._writer.close()


async def test_a_link_passes_everything_on(link: Link) -> None:
    """In both directions, until one side ends it."""
    client = await Client.through(link)
    client.say(b"hello")
    await until(lambda: client.heard == b"hello")


@pytest.mark.parametrize("direction", ["to-broker", "to-courier"])
async def test_a_half_open_connection_swallows_and_stays_open(
    link: Link, direction: Direction
) -> None:
    """Nothing arrives and nobody is told; one that is made after the healing passes."""
    client = await Client.through(link)
    client.say(b"before ")
    await until(lambda: client.heard == b"before ")
    link.half_open([direction])
    client.say(b"meanwhile ")
    link.heal()
    other = await Client.through(link)
    other.say(b"after")
    await until(lambda: other.heard == b"after")
    client.say(b"too late")
    other.say(b" all")
    await until(lambda: other.heard == b"after all")
    assert (b"before ", None) == (client.heard, client.over)


async def test_a_cut_link_resets_what_there_is_and_what_comes(link: Link) -> None:
    """Until it is healed."""
    client = await Client.through(link)
    client.say(b"hello")
    await until(lambda: client.heard == b"hello")
    link.cut()
    await until(lambda: isinstance(client.over, ConnectionResetError))
    with_nobody = await Client.through(link)
    await until(lambda: with_nobody.over is not None)
    link.heal()
    after = await Client.through(link)
    after.say(b"again")
    await until(lambda: after.heard == b"again")


async def test_a_slow_link_takes_its_time(link: Link) -> None:
    """Latency in each direction, and no more bytes in a second than it may carry."""
    client = await Client.through(link)
    link.slow(latency=0.1, rate=10_000)
    began = time.monotonic()
    client.say(bytes(2000))
    await until(lambda: len(client.heard) == 2000)
    assert 2 * (0.1 + 0.2) <= time.monotonic() - began


async def test_a_stalled_link_holds_everything_back(link: Link) -> None:
    """Nothing is lost: all of it arrives when the link flows again."""
    client = await Client.through(link)
    client.say(b"before ")
    await until(lambda: client.heard == b"before ")
    link.stall()
    began = time.monotonic()
    client.say(b"meanwhile")
    other = await Client.through(link)
    other.say(b"as well")
    asyncio.get_running_loop().call_later(0.3, link.heal)
    await until(lambda: (client.heard, other.heard) == (b"before meanwhile", b"as well"))
    assert 0.3 <= time.monotonic() - began


async def test_a_link_can_lead_elsewhere(link: Link, echo: int) -> None:
    """Who is connected has to come again, and is then somewhere else."""
    server = await asyncio.start_server(lambda _, writer: writer.write(b"there"), "127.0.0.1", 0)
    async with server:
        client = await Client.through(link)
        client.say(b"here")
        await until(lambda: client.heard == b"here")
        assert ("127.0.0.1", echo) == link.target
        link.lead_to("127.0.0.1", server.sockets[0].getsockname()[1])
        await until(lambda: isinstance(client.over, ConnectionResetError))
        again = await Client.through(link)
        await until(lambda: again.heard == b"there")
        link.cut()
        await until(lambda: again.over is not None)


async def test_a_link_ends_where_the_other_side_ends() -> None:
    """Nobody behind it: the connection is reset, as by a machine without a broker."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with Link.opened("127.0.0.1", port) as link:
        client = await Client.through(link)
        await until(lambda: isinstance(client.over, ConnectionResetError))
