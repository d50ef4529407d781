"""The load: commands in, before or while somebody works on them, and when their events came.

An open loop sends by the clock, whatever comes back, and counts from when a command *should* have
left: neither a slow worker nor a slow sender hides its own delay.
"""

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from pamqp.commands import Basic
from pamqp.common import FieldTable

COMMANDS: Final = "courier.commands"
EVENTS: Final = "courier.events"
_AT_ONCE: Final = 500
_PATIENCE: Final = 300.0
_QUORUM: Final[FieldTable] = {"x-queue-type": "quorum"}
_LASTING: Final = Basic.Properties(delivery_mode=2)


@dataclass(frozen=True)
class Command:
    """One command, as the contract has it."""

    id: str
    type: str
    body: bytes


@dataclass(frozen=True)
class Arrival:
    """The end of a command: when its event came, and what it said."""

    at: float
    id: str
    conclusion: str


def commands(
    kind: str, count: int, appliances: Sequence[str], run: str, **data: object
) -> list[Command]:
    """Make commands, one appliance after the other; no licence comes twice in a run's name."""
    return list(_commands(kind, count, appliances, run, data))


def _commands(
    kind: str, count: int, appliances: Sequence[str], run: str, data: dict[str, object]
) -> Iterator[Command]:
    digest = f"{zlib.crc32(run.encode()):08X}"
    for number in range(count):
        asked = {"appliance": appliances[number % len(appliances)]} | data
        if kind == "activate-sms-license":
            text = f"{digest}{number:012d}"
            asked["license"] = "-".join(text[at : at + 4] for at in range(0, 20, 4))
        document = {
            "specversion": "1.0",
            "id": f"{digest}-{number}",
            "source": "/benchmarks",
            "type": f"courier.{kind}.v1",
            "data": asked,
        }
        yield Command(f"{digest}-{number}", f"courier.{kind}.v1", json.dumps(document).encode())


@dataclass
class Load:
    """Sends commands and hears every event of its virtual host.

    Attributes:
        arrivals: the ends, in order.
        pages: events that told a part and ended nothing.
        late: how much later than they should commands left in the last open loop, in seconds.
    """

    connection: AbstractConnection
    confirmed: AbstractChannel
    quick: AbstractChannel
    arrivals: list[Arrival] = field(default_factory=list)
    pages: int = 0
    late: list[float] = field(default_factory=list)
    _waiting: list[tuple[int, asyncio.Future[None]]] = field(default_factory=list)

    async def prefill(self, wanted: Iterable[Command]) -> None:
        """Put them into the queue, each confirmed."""
        found = list(wanted)
        for first in range(0, len(found), _AT_ONCE):
            sending = (self._put(self.confirmed, each) for each in found[first : first + _AT_ONCE])
            await asyncio.gather(*sending)

    async def send(self, command: Command) -> None:
        """Send one, and wait for no confirm."""
        await self._put(self.quick, command)

    async def one(self, command: Command) -> float:
        """Send one that is alone; give the time until its event."""
        heard, began = len(self.arrivals), time.perf_counter()
        await self.send(command)
        await self.heard(heard + 1)
        assert command.id == self.arrivals[-1].id
        return self.arrivals[-1].at - began

    async def closed_loop(self, wanted: Sequence[Command], in_flight: int) -> None:
        """Send the next ones when others have ended, so many at a time; wait for every end."""
        heard = len(self.arrivals)
        step = max(1, in_flight // 4)
        for first in range(0, len(wanted), step):
            await self.heard(heard + first + step - in_flight)
            for each in wanted[first : first + step]:
                await self.send(each)
        await self.heard(heard + len(wanted))

    async def open_loop(self, wanted: Sequence[Command], rate: float) -> list[float]:
        """Send so many a second, by the clock; give each one's time from then to its event."""
        heard = len(self.arrivals)
        began = time.perf_counter() + 0.1
        due = [began + number / rate for number in range(len(wanted))]
        self.late = []
        for command, at in zip(wanted, due, strict=True):
            if (ahead := at - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            await self.send(command)
            self.late.append(max(0.0, time.perf_counter() - at))
        await self.heard(heard + len(wanted))
        ends = {each.id: each.at for each in self.arrivals[heard:]}
        return [ends[each.id] - at for each, at in zip(wanted, due, strict=True)]

    async def heard(self, count: int) -> None:
        """Wait until so many commands have ended."""
        if len(self.arrivals) >= count:
            return
        mark = asyncio.get_running_loop().create_future()
        self._waiting.append((count, mark))
        try:
            async with asyncio.timeout(_PATIENCE):
                await mark
        except TimeoutError:
            told = f"{len(self.arrivals)} of {count} commands have ended"
            raise AssertionError(f"{told} in {_PATIENCE:.0f} s") from None

    def check(self, count: int) -> None:
        """See that so many have ended, and well: other work would be measured otherwise."""
        ends = {each.id: each.conclusion for each in self.arrivals}
        assert len(ends) == count, f"{len(ends)} commands ended, and not {count}"
        assert set(ends.values()) == {"succeeded"}, set(ends.values())

    async def _put(self, channel: AbstractChannel, command: Command) -> None:
        await channel.basic_publish(
            command.body, exchange=COMMANDS, routing_key=command.type, properties=_LASTING
        )

    async def hear(self, message: DeliveredMessage) -> None:
        """Note an event."""
        at = time.perf_counter()
        words = (message.routing_key or "").split(".")
        if words[2] == "page":
            self.pages += 1
            return
        properties = message.header.properties
        said = properties.correlation_id or json.loads(message.body).get("causationid", "")
        self.arrivals.append(Arrival(at, said, words[4]))
        for count, mark in self._waiting:
            if len(self.arrivals) >= count and not mark.done():
                mark.set_result(None)
        self._waiting = [each for each in self._waiting if not each[1].done()]


@asynccontextmanager
async def loading(url: str) -> AsyncIterator[Load]:
    """Be there, bound to all events, on a virtual host where the service's topology stands."""
    connection = await aiormq.connect(url)
    try:
        load = Load(
            connection,
            await connection.channel(),
            await connection.channel(publisher_confirms=False),
        )
        hearing = await connection.channel(publisher_confirms=False)
        queue = "benchmarks"
        await hearing.queue_declare(queue, durable=True, arguments=_QUORUM)
        await hearing.queue_bind(queue, EVENTS, routing_key="#")
        await hearing.basic_consume(queue, load.hear, no_ack=True)
        yield load
    finally:
        await connection.close()
