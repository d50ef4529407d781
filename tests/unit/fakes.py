"""Appliances with state, at the ports: what they were told to do, and what they then do."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from pydantic import SecretStr

from service.appliances.credentials import Rules
from service.appliances.inventory import Inventory, Limits
from service.appliances.ports import Part, Reading, Status, Upload
from service.appliances.visit import visit
from service.errors import CommandError
from service.execution import Execution
from service.handlers import Heard
from service.ledger import Ledger
from service.ledger.sqlite import SqliteLedger
from service.messages.commands import LicenseFile
from service.messages.encode import Event
from service.messages.results import Device, DeviceIdentity, SmsBalance

B = TypeVar("B")

RULES = Rules(cooldown=300, idle=600, logins=10, doubt=0)
LIMITS = Limits(RULES, breaker_failures=5, share=12)
Open = Callable[[], Awaitable[SqliteLedger]]
"""Opens a ledger's file anew."""


def asked(longest: float = 0.0) -> None:
    """Count a request, as the connection to an appliance does, and say how long it may take."""
    current = visit.get()
    if current is not None:
        current.note_request(longest)


class Fake:
    """What both kinds share: one writer at a time, and errors in the order in which they are due.

    Attributes:
        origin: where it is; two fakes with one origin are two names of one appliance.
        errors: raised by the coming reads, one each; None for a read that goes well.
        errors_after_write: what takes their place once a write came.
        answer: raised by every write, after it had its effect.
        gate: reads wait for it.
        longest: seconds that a read may take.
        busy: raised instead of the right to write.
        standing: how things stand with it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.origin = f"https://{name}"
        self.errors: list[Exception | None] = []
        self.errors_after_write: list[Exception | None] = []
        self.answer: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.longest = 0.0
        self.busy: CommandError | None = None
        self.standing = Status("open", "closed", 0, 1, 0)
        self.reads = 0
        self._lock = asyncio.Lock()

    async def check(self) -> None:
        await self._read()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        if self.busy:
            raise self.busy
        async with self._lock:
            yield

    def status(self) -> Status:
        return self.standing

    async def close(self, reason: str) -> None:  # noqa: ARG002  # the port's
        self.gate.set()

    async def _read(self) -> None:
        asked(self.longest)
        self.reads += 1
        await self.gate.wait()
        error = self.errors.pop(0) if self.errors else None
        if error:
            raise error

    def _written(self) -> None:
        asked()
        self.errors = self.errors_after_write
        if self.answer:
            raise self.answer


class FakeFac(Fake):
    """SMS licences: each is worth some messages, once.

    Attributes:
        worth: what a licence that was not used yet adds; what it takes away, if negative.
        posts: the licences that were sent, in order.
    """

    settle_time = 30.0

    def __init__(self, name: str = "fac-1", *, total: int = 100, worth: int = 50) -> None:
        super().__init__(name)
        self.total = total
        self.worth = worth
        self.posts: list[str] = []

    async def balance(self) -> SmsBalance:
        await self._read()
        return SmsBalance(total_sms=self.total, used_sms=10, available_sms=self.total - 10)

    async def activate(self, license_key: SecretStr) -> None:
        key = license_key.get_secret_value()
        if key not in self.posts:
            self.total += self.worth
        self.posts.append(key)
        self._written()


class FakeFvc(Fake):
    """Voice licences and phones.

    Attributes:
        uploads: the files that were brought, by their ids.
        applied: the ids of those that were applied.
        steps: what was asked, in order.
        parts: what its list of phones comes in.
        says: what it answers for each of its resources.
    """

    send_window = 30.0

    def __init__(self, name: str = "fvc-1") -> None:
        super().__init__(name)
        self.identified = DeviceIdentity(model="FVE-200F8", serial="FO2-1", version="7.0.1")
        self.uploads: dict[str, LicenseFile] = {}
        self.applied: list[str] = []
        self.steps: list[str] = []
        self.resources = ["FabricWidget", "FabricVoipStatus"]
        self.says = {name: Reading(name, 200, {}) for name in self.resources}
        self.parts = [Part((), rows=0, total=7, next=None, complete=True)]

    async def identity(self) -> DeviceIdentity:
        await self._step("identity")
        return self.identified

    async def login_says(self) -> DeviceIdentity:
        await self._step("login")
        return self.identified

    async def readings(self, names: Sequence[str]) -> list[Reading]:
        await self._step(f"readings {list(names)}")
        return [self.says[name] for name in names]

    async def authorise(self) -> None:
        await self._step("authorise")

    async def upload(self, file: LicenseFile) -> Upload:
        await self._step("upload")
        file_id = f"file-{len(self.uploads) + 1}"
        self.uploads[file_id] = file
        return Upload(file_id, self)

    async def apply(self, upload: Upload) -> None:
        self.steps.append("apply")
        self.applied.append(upload.file_id)
        self._written()

    async def devices(
        self, *, search: str | None, unassigned_only: bool, start: int, limit: int | None
    ) -> AsyncGenerator[Part]:
        await self._step(f"devices {search} {unassigned_only} {start} {limit}")
        for part in self.parts:
            yield part
            await self._read()

    async def _step(self, name: str) -> None:
        self.steps.append(name)
        await self._read()


@dataclass
class FakeIntent(Generic[B]):
    """The intent of one command, in memory.

    Attributes:
        before: what an earlier run recorded.
        heard: what it was told.
        age: seconds since then.
        may_be_sent: another process may still send the write.
        refusal: why nothing may be recorded now.
        history: what happened to it, in order.
    """

    before: B | None = None
    heard: Heard | None = None
    age: float = 0.0
    may_be_sent: bool = False
    refusal: CommandError | None = None
    history: list[str] = field(default_factory=list)

    async def record(self, before: B) -> None:
        if self.refusal:
            raise self.refusal
        self.before = before
        self.history.append("recorded")

    async def keep(self, heard: Heard) -> None:
        self.heard = heard
        self.history.append("kept")

    async def withdraw(self) -> None:
        self.before = None
        self.history.append("withdrawn")


def part(
    *macs: str, total: int, rows: int = 0, left: int | None = None, complete: bool = False
) -> Part:
    """A part of a list, in which the phones have nothing but their addresses."""
    empty = dict.fromkeys(Device.model_fields)
    devices = tuple(Device.model_validate(empty | {"mac": mac}) for mac in macs)
    return Part(devices, rows=rows, total=total, next=left, complete=complete)


class FakePages:
    """Whoever asked: keeps what is told before the end."""

    def __init__(self) -> None:
        self.told: list[Part] = []

    async def tell(self, part: Part) -> None:
        self.told.append(part)


@dataclass
class Hold:
    """A ledger's hold on its virtual host, as a test wants it."""

    is_held: bool = True
    taken_over_at: datetime | None = None
    confirmed: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: bool = False

    async def wait_until_held(self) -> None:
        if not self.is_held:
            self.waiting = True
            await self.confirmed.wait()


async def _nobody(event: Event) -> None:
    raise AssertionError(f"nobody is to be told a {event.type}")


def executing(
    ledger: Ledger,
    *appliances: Fake,
    tell: Callable[[Event], Awaitable[None]] = _nobody,
    command_ttl: float = 3600,
    recovery_ttl: float = 86400,
    hold: Hold | None = None,
) -> Execution:
    """The real thing around these appliances, with three delays."""
    return Execution(
        Inventory(appliances, LIMITS),
        ledger,
        hold=hold or Hold(),
        source="/courier",
        tell=tell,
        retry_delays=(5, 30, 120),
        command_ttl=command_ttl,
        recovery_ttl=recovery_ttl,
    )
