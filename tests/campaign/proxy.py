"""A link that can be made bad: a small TCP proxy in front of the broker, or of the database."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

Direction = Literal["to-broker", "to-courier"]
DIRECTIONS: Final[tuple[Direction, ...]] = ("to-broker", "to-courier")
_CHUNK: Final = 2**14
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: what is closed now is reset instead of being closed in order."""


@dataclass(eq=False)
class _Connection:
    """One connection through the link.

    Attributes:
        writers: towards the courier and towards the broker.
        swallowed: directions in which nothing arrives any more, for as long as it lives.
    """

    writers: list[asyncio.StreamWriter]
    swallowed: set[Direction] = field(default_factory=set)

    def reset(self) -> None:
        for writer in self.writers:
            _reset(writer)


class Link:
    """What connections of one client pass through.

    Args:
        host: where they end.
        port: its port.

    Attributes:
        port: where they begin, on the loopback address.
        target: where they end.
        accepted: how many there were.
    """

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.accepted = 0
        self.target = (host, port)
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._swallowing: set[Direction] = set()
        self._is_cut = False
        self._latency = 0.0
        self._rate = 0.0
        self._flows = asyncio.Event()
        self._flows.set()

    def slow(self, *, latency: float, rate: float) -> None:
        """Let everything take its time.

        Args:
            latency: seconds that each piece takes, in each direction.
            rate: bytes per second in each direction of each connection.
        """
        self._latency, self._rate = latency, rate

    def stall(self) -> None:
        """Hold back whatever comes, in both directions; it arrives after `heal`."""
        self._flows.clear()

    def half_open(self, directions: Collection[Direction]) -> None:
        """Swallow what goes that way, without a word: both ends believe in their connection.

        That is final for the connections that there are and for those that are made meanwhile;
        those that are made after `heal` pass.
        """
        self._swallowing = set(directions)
        for connection in self._open:
            connection.swallowed |= self._swallowing

    def cut(self) -> None:
        """Reset all connections, and new ones as soon as they are made."""
        self._is_cut = True
        for connection in list(self._open):
            connection.reset()

    def lead_to(self, host: str, port: int) -> None:
        """Lead elsewhere from now on; who is connected has to come again."""
        self.target = (host, port)
        for connection in list(self._open):
            connection.reset()

    def heal(self) -> None:
        """Let everything pass."""
        self._is_cut = False
        self._swallowing = set()
        self._latency = self._rate = 0.0
        self._flows.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._is_cut:
            _reset(writer)
            return
        try:
            there, back = await asyncio.open_connection(*self.target)
        except OSError:
            # As if nobody were there: the courier has to see that the broker is gone.
            _reset(writer)
            return
        connection = _Connection([writer, back], set(self._swallowing))
        self._open.add(connection)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(connection, "to-broker", reader, back))
                group.create_task(self._pump(connection, "to-courier", there, writer))
        finally:
            self._open.discard(connection)
            for each in connection.writers:
                each.transport.abort()

    async def _pump(
        self,
        connection: _Connection,
        direction: Direction,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Carry what comes, until it ends; the end is told like everything else."""
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self._latency or self._rate:
                    await asyncio.sleep(self._latency + len(data) / (self._rate or float("inf")))
                await self._flows.wait()
                if direction not in connection.swallowed:
                    writer.write(data)
                    await writer.drain()
        if direction not in connection.swallowed:
            # One side is gone: AMQP has no half-closed connections.
            for each in connection.writers:
                each.close()

    @classmethod
    @asynccontextmanager
    async def opened(cls, host: str, port: int) -> AsyncIterator["Link"]:
        """Listen for as long as the body lasts."""
        link = cls(host, port)

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            link._tasks.add(task)
            task.add_done_callback(link._tasks.discard)
            with contextlib.suppress(asyncio.CancelledError):
                await link._accept(reader, writer)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        link.port = server.sockets[0].getsockname()[1]
        try:
            yield link
        finally:
            server.close()
            for task in list(link._tasks):
                task.cancel()
            if link._tasks:
                await asyncio.wait(link._tasks)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
