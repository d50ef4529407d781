"""What one worker has: a broker of its own, appliances, a link between, a courier, a workflow.

All of that is kept from schedule to schedule, as it would be in production.
"""

import asyncio
import signal
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from aio_pika.exceptions import AMQPError

from tests.campaign.checker import Wish
from tests.campaign.database import Database, shared
from tests.campaign.keeper import Keeper, Told
from tests.campaign.kinds import READ_TIMEOUTS, SMS, VOICE
from tests.campaign.licences import with_totals
from tests.campaign.proxy import Link
from tests.campaign.schedules import wish
from tests.support.cluster import Cluster
from tests.support.rabbit import Queue, Rabbit
from tests.support.stand import Appliances, Service, standing
from tests.support.wait import until
from tests.support.workflow import Heard, Workflow, working

Json = dict[str, Any]

HEARTBEAT: Final = 2
"""Seconds. A peer that is silent is given up after some six (by the broker) or nine."""
LATENCY: Final = 0.06
"""Seconds that an appliance takes for each answer, so that there is always something under way."""
SETTINGS: Final = {
    "RETRY_DELAYS": "1,2",
    "COMMAND_TTL": "900",
    # Where a renamed appliance keeps its other name no longer, nobody can read back.
    "RECOVERY_TTL": "45",
    "LOGIN_BUDGET": "100000",
    "CREDENTIALS_COOLDOWN": "1",
    "DRAIN_TIMEOUT": "10",
    "WATCHDOG_TIMEOUT": "8",
    "LOG_LEVEL": "INFO",
}
_CONFIRMED: Final = 30.0
_BETWEEN: Final = 0.1
_PATIENCE: Final = 60.0
_STILL: Final = 0.7


@dataclass
class Arena:
    """The parts, and what was sent and heard.

    Attributes:
        repeats: copies that were sent because the broker did not confirm the one before.
        sent: every command, from the first schedule on.
        sends: how often each was published, by id.
        gates: commands of a type wait while theirs is cleared.
        locks: one thing is broken once at a time.
        keepers: every courier's; `keeper` is the first.
        database: holds the ledger of several couriers; None where it is a file.
        environment: the couriers' settings.
        took: takes a process that is to be ended, and looked through, at last.
        cluster: the broker's nodes, if it has several: the courier has all their addresses, and
            the link leads the workflow to one that is well.
    """

    rabbit: Rabbit
    vhost: str
    directory: Path
    appliances: Appliances
    link: Link
    keeper: Keeper
    workflow: Workflow
    cluster: Cluster | None = None
    keepers: list[Keeper] = field(default_factory=list)
    database: Database | None = None
    environment: dict[str, str] = field(default_factory=dict)
    took: Callable[[Service], None] = lambda _: None
    repeats: int = 0
    sent: dict[str, Wish] = field(default_factory=dict)
    sends: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _told: dict[str, list[Heard]] = field(default_factory=lambda: defaultdict(list))
    _indexed: int = 0
    _probes: int = 0

    @property
    def url(self) -> str:
        """The broker, without the link."""
        return self.rabbit.url_of(self.vhost)

    @property
    def port(self) -> int:
        """The broker's own."""
        return urlsplit(self.rabbit.url).port or 5672

    @property
    def ledger(self) -> Path:
        return self.directory / "courier.db"

    def courier(self, dice: int) -> Keeper:
        """Choose one of the couriers."""
        return self.keepers[dice % len(self.keepers)]

    def told_by_couriers(self) -> Told:
        """All that they wrote since the last time."""
        told = [keeper.told() for keeper in self.keepers]
        return told[0] if len(told) == 1 else Told.together(told)

    @property
    def exits(self) -> Counter[int]:
        """How often they ended themselves, by exit code."""
        return sum((keeper.ended for keeper in self.keepers), Counter[int]())

    async def with_clock(self) -> None:
        """Start the courier anew with a clock that can be set."""
        await self.keeper.end(signal.SIGTERM)
        await self.keeper.start(clock=True)
        await self.keeper.ready()

    async def publish(
        self, wish: Wish, *, timed: bool = False, expires_in: float | None = None
    ) -> None:
        """Publish a command until the broker has confirmed it.

        Args:
            wish: the command; a repeat is what was sent before.
            timed: let it say when it is sent.
            expires_in: let it say that its time is over so many seconds after that.
        """
        gate = self.gates.get(wish.type)
        if gate is not None:
            await gate.wait()
        if wish.id not in self.sent:
            at = datetime.now(UTC)
            more = {"time": at.isoformat()} if timed else {}
            if expires_in is not None:
                more["expirytime"] = (at + timedelta(seconds=expires_in)).isoformat()
            wish = replace(wish, document=wish.document | more)
        wish = self.sent.setdefault(wish.id, wish)
        while True:
            self.sends[wish.id] += 1
            try:
                async with asyncio.timeout(_CONFIRMED):
                    return await self.workflow.send(wish.document)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise  # else it is how the library says that the connection was lost
            except (AMQPError, OSError, RuntimeError, TimeoutError):
                pass
            self.repeats += 1
            await asyncio.sleep(_BETWEEN)

    def told(self, command_id: str) -> list[Heard]:
        """Every event about a command, so far."""
        heard = self.workflow.heard
        for each in heard[self._indexed :]:
            self._told[str(each.event.get("causationid"))].append(each)
        self._indexed = len(heard)
        return self._told[command_id]

    async def ended(self, command_id: str, *, patience: float = _PATIENCE) -> None:
        """Wait until a command has its end."""
        await until(lambda: self.told(command_id), patience=patience)

    async def probe(self, kind: str, on: str) -> tuple[Wish, float]:
        """Send a command and wait for its end.

        Args:
            kind: which command; one that would spend a licence is a dry run.
            on: the appliance.

        Returns:
            The command, and the seconds that it took.
        """
        self._probes += 1
        more = {} if kind.startswith("query") else {"dry_run": True}
        asked = wish(kind, on, f"probe-{self.vhost}-{self._probes}", **more)
        began = time.monotonic()
        await self.publish(asked)
        await self.ended(asked.id)
        return asked, time.monotonic() - began

    async def books(self) -> dict[str, Json]:
        """The appliances' books, with the totals around each licence and the serial numbers."""
        found = {}
        for name in (*SMS, *VOICE):
            book = await self.appliances.books(name)
            stands = await self.appliances.switches(name)
            serial = {"serial": stands.get("serial")}
            found[name] = with_totals(book, stands["total_sms"]) if name in SMS else book | serial
        return found

    def waiting(self) -> dict[str, int]:
        """How much there is in each queue of the courier's that must become empty."""
        return {
            name: queue.ready + queue.unacked
            for name, queue in self._queues().items()
            if name not in {"courier.parked", "courier.unheard", "courier.ledger"}
        }

    def parked(self) -> int:
        return self._queues()["courier.parked"].ready

    def _queues(self) -> dict[str, Queue]:
        queues = self.rabbit.queues(self.vhost)
        return {name: each for name, each in queues.items() if name.startswith("courier.")}

    async def left(self) -> dict[str, int]:
        """Wait until nothing is under way any more, and say what is all the same.

        The broker's figures are up to a second old, so the queues must stay empty for a while.
        """
        deadline = time.monotonic() + _PATIENCE
        empty_since: float | None = None
        while True:
            full = {name: count for name, count in self.waiting().items() if count}
            at = time.monotonic()
            empty_since = None if full else empty_since or at
            if (empty_since and at - empty_since > _STILL) or at > deadline:
                return full
            await asyncio.sleep(_BETWEEN)


@asynccontextmanager
async def arena(
    rabbit: Rabbit, directory: Path, cluster: Cluster | None = None, replicas: int = 1
) -> AsyncIterator[Arena]:
    """Have all of it for as long as the body lasts.

    When it ends, all that was told is looked through for secrets, and every line of the event log
    is held against its contract.
    """
    vhost = f"campaign-{uuid4().hex[:8]}"
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing else happens yet
    async with AsyncExitStack() as stack:
        rabbit.create_vhost(vhost)
        stack.callback(rabbit.delete_vhost, vhost)
        url = urlsplit(rabbit.url_of(vhost))
        link = await stack.enter_async_context(
            Link.opened(url.hostname or "127.0.0.1", url.port or 5672)
        )
        through = f"{url.username}:{url.password}@127.0.0.1:{link.port}"
        address = urlunsplit((url.scheme, through, url.path, f"heartbeat={HEARTBEAT}", ""))
        client = rabbit.url_of(vhost)
        if cluster is not None:
            address, client = ",".join(cluster.urls_of(vhost, HEARTBEAT)), address
        stand = await stack.enter_async_context(standing(client, directory))
        appliances = await stand.appliances(
            *("--fortiauthenticators", str(len(SMS)), "--fortivoices", str(len(VOICE))),
            *("--devices", "1203"),
            *("--latency", str(LATENCY)),
        )
        for number, name in enumerate(SMS):
            # Figures of two appliances must not be taken for each other.
            await appliances.order(
                "PATCH", f"/switches/{name}", {"total_sms": 1000 + 7000 * number}
            )
        database = await stack.enter_async_context(shared()) if replicas > 1 else None
        ledger = {"LEDGER_URL": database.url} if database else {}
        environment = stand.environment(BROKER_URL=address, **SETTINGS, **ledger)
        keepers = []
        for number in range(replicas):
            own = directory / f"courier-{number + 1}"
            own.mkdir()
            inventory = own / "appliances.toml"
            inventory.write_text(_with_timeouts(appliances.inventory.read_text()))
            keepers.append(Keeper(environment, own, stand.processes.append, inventory=inventory))
            await keepers[-1].start()
            stack.push_async_callback(keepers[-1].close)
        for keeper in keepers:
            await keeper.ready()
        workflow = await stack.enter_async_context(working(client))
        if cluster is not None:
            await asyncio.to_thread(cluster.wait_until_whole, vhost)
            await asyncio.to_thread(cluster.settle)
        parts = (rabbit, vhost, directory, appliances, link, keepers[0], workflow, cluster)
        yield Arena(*parts, keepers, database, environment, stand.processes.append)


def _with_timeouts(inventory: str) -> str:
    """Let some appliances be waited for longer than every retry delay."""
    first, *tables = inventory.split("[appliances.")
    changed = [
        table.replace("read_timeout = 1.5", f"read_timeout = {READ_TIMEOUTS[table.split(']')[0]]}")
        for table in tables
    ]
    return "[appliances.".join([first, *changed])
