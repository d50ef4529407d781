"""An adapter and the simulated appliance that it talks to, so that one suite fits both kinds."""

from __future__ import annotations

import asyncio
import base64
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import SecretStr

from service.appliances.credentials import Rules
from service.appliances.fortiauthenticator import FortiAuthenticator
from service.appliances.fortivoice import FortiVoice
from service.appliances.inventory import Limits
from service.messages.commands import LicenseFile
from service.messages.results import DeviceList
from service.simulator import ExpireSession, Rule, Simulator
from service.simulator import FortiAuthenticator as SimulatedFortiAuthenticator
from service.simulator import FortiVoice as SimulatedFortiVoice

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from service.appliances.inventory import Inventory
    from service.appliances.ports import Appliance, Part
    from service.messages.results import SmsBalance
    from service.simulator import Action
    from service.simulator.faults import Plan
    from service.simulator.wire import Call, Reply

LICENSE = "AbCd-1234-EFGH-5678-ijkl"
CONTENT = b"\r\n--not a boundary\r\n\r\n\x00\xff\\\r\n"
FILE = LicenseFile(name="call center.lic", content=base64.b64encode(CONTENT).decode())  # type: ignore[arg-type]  # as it travels


def limited(
    *, cooldown: float = 300, idle: float = 600, logins: int = 10, breaker_failures: int = 5
) -> Limits:
    """Make the service's limits, the defaults unless said otherwise."""
    rules = Rules(cooldown=cooldown, idle=idle, logins=logins, doubt=0)
    return Limits(rules, breaker_failures=breaker_failures, share=12)


LIMITS = limited()

Write = Callable[[], Awaitable[None]]


async def listed(parts: AsyncIterator[Part], start: int = 0) -> DeviceList:
    """Put a list together."""
    found = [part async for part in parts]
    return DeviceList(
        devices=tuple(device for part in found for device in part.devices),
        total=found[-1].total,
        start=start,
        next=found[-1].next,
        complete=found[-1].complete,
    )


class RecordingFortiAuthenticator(SimulatedFortiAuthenticator):
    """One that keeps what it was sent.

    Attributes:
        on_expiry: what `ExpireSession` means here, where there are no sessions.
    """

    def __init__(self, name: str, password: str) -> None:
        super().__init__(name, password)
        self.calls: list[tuple[str, Call]] = []
        self.on_expiry: Callable[[], None] | None = None

    def expire_sessions(self) -> int:
        if self.on_expiry is not None:
            self.on_expiry()
        return super().expire_sessions()

    def arrived(self, operation: str, call: Call) -> None:
        super().arrived(operation, call)
        self.calls.append((operation, call))


class RecordingFortiVoice(SimulatedFortiVoice):
    """One that keeps what it was sent, and the cookies that it gave."""

    def __init__(self, name: str, password: str) -> None:
        super().__init__(name, password)
        self.calls: list[tuple[str, Call]] = []
        self.cookies: list[str] = []

    def arrived(self, operation: str, call: Call) -> None:
        super().arrived(operation, call)
        self.calls.append((operation, call))

    def handle(self, operation: str, call: Call, plan: Plan) -> Reply:
        reply = super().handle(operation, call, plan)
        self.cookies += [value for name, value in reply.headers if name == "Set-Cookie"]
        return reply


class RecordingSimulator(Simulator):
    """One appliance of each kind, both of which keep what they were sent."""

    def __init__(self) -> None:
        super().__init__()
        self.appliances = {
            "fac-1": RecordingFortiAuthenticator("fac-1", "canary-access-key"),
            "fvc-1": RecordingFortiVoice("fvc-1", "canary-password"),
        }


class Pair(ABC):
    """What both kinds have: a session, something to read, and a licence write."""

    name: ClassVar[str]
    login: ClassVar[str]
    """The operation that opens a session."""
    reading: ClassVar[str]
    """The operation of `read`."""
    writing: ClassVar[str]
    """The operation of the write."""

    adapter: Appliance
    simulated: RecordingFortiAuthenticator | RecordingFortiVoice

    def __init__(self, secret: Path) -> None:
        self._secret = secret

    @abstractmethod
    async def read(self) -> object:
        """Read what the kind has to be read."""

    @abstractmethod
    async def ready(self) -> Write:
        """Do all that comes before the write, and return the write."""

    @abstractmethod
    def logins(self, reads: int) -> int:
        """Tell how many logins succeeded, when so many reads did."""

    @abstractmethod
    def strays(self) -> int:
        """Tell how many requests came in a session that was over."""

    @abstractmethod
    def end_session(self) -> None:
        """End the session at the appliance, in a way from which a login helps."""

    @abstractmethod
    def written(self) -> int:
        """Tell how many writes the appliance carried out."""

    async def write(self) -> None:
        """Write a licence with all that comes before it."""
        await (await self.ready())()

    async def stampede(self, size: int = 200) -> list[object]:
        """Read that often at once; return what each was told."""
        return await asyncio.gather(*(self.read() for _ in range(size)), return_exceptions=True)

    def set_secret(self, text: str) -> None:
        """Write the password file anew."""
        self._secret.write_text(text, encoding="utf-8")

    def lose_secret(self) -> None:
        """Delete the password file."""
        self._secret.unlink()

    def requests(self, operation: str) -> int:
        """Tell how many requests of an operation arrived."""
        return self.simulated.books.requests[operation]

    def fault(
        self, action: Action, *operations: str, times: int | None = None, after: int = 0
    ) -> None:
        """Let something go wrong with these operations, from now on, or with `read`."""
        for operation in operations or (self.reading,):
            rule = Rule(operation=operation, action=action, times=times, after=after)
            self.simulated.faults.add(rule)

    async def serve_with(self, certificate: ssl.SSLContext | None) -> None:
        """Start the appliance anew, with another certificate or without TLS."""
        await self.simulated.stop()
        self.simulated.listen_on("127.0.0.1", 0, certificate)
        await self.simulated.start()

    def outcomes(self, operation: str) -> list[str]:
        """Tell how the requests of an operation ended, in order of their arrival."""
        journal = self.simulated.books.journal
        return [entry.outcome for entry in journal if entry.operation == operation]


class Sms(Pair):
    """A FortiAuthenticator: a session is a connection whose key was accepted once."""

    name = "fac-1"
    login = reading = "balance"
    writing = "activate"

    adapter: FortiAuthenticator
    simulated: RecordingFortiAuthenticator

    def __init__(self, simulator: Simulator, inventory: Inventory, secret: Path) -> None:
        super().__init__(secret)
        adapter = inventory.find(self.name)
        assert isinstance(adapter, FortiAuthenticator)
        self.adapter = adapter
        simulated = simulator.fortiauthenticator(self.name)
        assert isinstance(simulated, RecordingFortiAuthenticator)
        self.simulated = simulated

    async def read(self) -> SmsBalance:
        return await self.adapter.balance()

    async def ready(self) -> Write:
        await self.read()
        return self.activate

    async def activate(self, license_key: str = LICENSE) -> None:
        await self.adapter.activate(SecretStr(license_key))

    def logins(self, reads: int) -> int:
        return self.outcomes(self.login).count("200") - reads

    def strays(self) -> int:
        return self.outcomes(self.reading).count("401")

    def end_session(self) -> None:
        self.simulated.password += "-rotated"
        self.set_secret(self.simulated.password)

    def fault(
        self, action: Action, *operations: str, times: int | None = None, after: int = 0
    ) -> None:
        if isinstance(action, ExpireSession):
            self.simulated.on_expiry = self.end_session
        super().fault(action, *operations, times=times, after=after)

    def written(self) -> int:
        return sum(spent.times for spent in self.simulated.books.spent.values())


class Voice(Pair):
    """A FortiVoice: a session is a cookie."""

    name = "fvc-1"
    login = "login"
    reading = "devices"
    writing = "apply"

    adapter: FortiVoice
    simulated: RecordingFortiVoice

    def __init__(self, simulator: Simulator, inventory: Inventory, secret: Path) -> None:
        super().__init__(secret)
        adapter = inventory.find(self.name)
        assert isinstance(adapter, FortiVoice)
        self.adapter = adapter
        simulated = simulator.fortivoice(self.name)
        assert isinstance(simulated, RecordingFortiVoice)
        self.simulated = simulated

    async def read(
        self,
        *,
        search: str | None = None,
        unassigned_only: bool = False,
        start: int = 0,
        limit: int = 500,
    ) -> DeviceList:
        parts = self.adapter.devices(
            search=search, unassigned_only=unassigned_only, start=start, limit=limit
        )
        return await listed(parts, start)

    async def ready(self) -> Write:
        upload = await self.adapter.upload(FILE)
        return lambda: self.adapter.apply(upload)

    def logins(self, reads: int) -> int:  # noqa: ARG002  # the other kind's cannot be told apart
        return self.simulated.books.logins

    def strays(self) -> int:
        return self.outcomes(self.reading).count("403")

    def end_session(self) -> None:
        self.simulated.expire_sessions()

    def written(self) -> int:
        return self.simulated.books.applied.total()


KINDS: dict[str, type[Sms | Voice]] = {"fortiauthenticator": Sms, "fortivoice": Voice}


class Load(Protocol):
    """Reads the simulator's own inventory, in which the table `only` has got `keys` as well."""

    def __call__(self, limits: Limits = ..., *, only: str = ..., **keys: object) -> Inventory: ...


class Make(Protocol):
    """Makes the pair of the kind that the test is at, `keys` as in `Load`."""

    def __call__(self, limits: Limits = ..., **keys: object) -> Pair: ...


def inventory_text(tables: Mapping[str, Mapping[str, object]]) -> str:
    """Write an inventory; JSON's strings, numbers and booleans are TOML's, None is no key."""
    lines = []
    for name, table in tables.items():
        given = {key: value for key, value in table.items() if value is not None}
        lines += [f"[appliances.{json.dumps(name)}]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in given.items()]
    return "\n".join(lines)
