"""What both kinds of appliance are: the way of a request from the wire and back."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from aiohttp import web

from service.simulator.actions import Answer, Delay, ExpireSession
from service.simulator.books import Books
from service.simulator.checks import SECONDS, or_null, whole
from service.simulator.faults import Faults
from service.simulator.listener import Listener
from service.simulator.lockout import Lockout
from service.simulator.switches import Switch, Switched
from service.simulator.wire import Call, Reply, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.simulator.actions import When
    from service.simulator.books import Entry
    from service.simulator.faults import Plan


class SimulatedAppliance(Listener, Switched):
    """An appliance.

    The work on a request goes on when its client has gone, as it does on the real ones: only the
    answer is lost.

    Attributes:
        kind: ``fortiauthenticator`` or ``fortivoice``.
        operations: What can be asked of its kind.
        name: Its name in the inventory.
        username: Who may use it.
        books: What it saw and did.
        faults: What is to go wrong.
        latency: A switch: seconds that it takes before it does anything.
        lockout_after: A switch: refused credentials in a row that lock everyone out, or None.
        lockout_seconds: A switch: how long that lasts.
    """

    kind: ClassVar[str]
    operations: ClassVar[frozenset[str]]

    latency = Switch(0.0, SECONDS)
    lockout_after = Switch[int | None](None, or_null(whole(1)))
    lockout_seconds = Switch(60.0, SECONDS)

    def __init__(
        self,
        name: str,
        username: str,
        password: str,
        *,
        latency: float = 0.0,
    ) -> None:
        super().__init__()
        self.name = name
        self.username = username
        self.latency = latency
        self.books = Books(name)
        self.faults = Faults(name)
        self._password = password
        self._secrets = [password]
        self._lockout = Lockout(self.books)
        self._idle = asyncio.Event()
        self._idle.set()

    def __str__(self) -> str:
        return f"{self.name}, a {self.kind}"

    @property
    def password(self) -> str:
        """The password or access key; set it to rotate it.

        Sessions outlive it: no document says that they end (use ``expire_sessions``).
        """
        return self._password

    @password.setter
    def password(self, password: str) -> None:
        self._password = self.given_out(password)
        self.books.note("password", "rotated")

    @property
    def secrets(self) -> list[str]:
        """Everything secret that it ever had or gave out, for tests that search logs for it."""
        return list(self._secrets)

    def given_out(self, secret: str) -> str:
        """Remember a secret and return it."""
        self._secrets.append(secret)
        return secret

    def admits(self, *, right: bool) -> bool:
        """Say whether credentials, right ones or not, are accepted, and count the refused ones."""
        return self._lockout.admits(
            right=right, after=self.lockout_after, seconds=self.lockout_seconds
        )

    async def idle(self) -> None:
        """Wait until no request is being worked on, those of clients that went away included."""
        await self._idle.wait()

    def expire_sessions(self) -> int:
        """End all sessions; return how many there were (an appliance without sessions: 0)."""
        return 0

    @abstractmethod
    def operation(self, call: Call) -> str:
        """Name the operation that a request asks for, ``other`` when it is none."""

    @abstractmethod
    def handle(self, operation: str, call: Call, plan: Plan) -> Reply:
        """Do what a request asks for and return the answer."""

    def arrived(self, operation: str, call: Call) -> None:  # noqa: ARG002  # for overriders
        """Record what the books tell of every request, of those that a fault cuts short, too."""
        self.books.requests[operation] += 1

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Read the request, plan what goes wrong, do it, and send what is left of the answer."""
        try:
            body = await request.content.read()
        except ConnectionError:
            return web.Response()  # nobody is there to read it
        path, _, query = request.raw_path.partition("?")
        call = Call(request.method, path, query, request.headers, body)
        operation = self.operation(call)
        plan = self.faults.plan(operation)
        self.arrived(operation, call)
        with self._busy(operation, plan) as entry:
            reply = await self._work(operation, call, plan)
            decision = plan.decision
            entry.outcome = str(reply.status)
            if decision is not None and not isinstance(decision, Answer):
                entry.outcome = f"{decision.name} {decision.when} the effect"
            return await send(request, reply, decision, self._closing)

    @contextmanager
    def _busy(self, operation: str, plan: Plan) -> Iterator[Entry]:
        """Enter a request into the books and let ``idle`` wait for it."""
        self._idle.clear()
        try:
            with self.books.request(operation, plan.names) as entry:
                yield entry
        finally:
            if not self.books.in_flight:
                self._idle.set()

    async def _work(self, operation: str, call: Call, plan: Plan) -> Reply:
        """Let pass what the plan puts before the effect, have the effect, then what is after it."""
        await self._pause(plan, "before", self.latency)
        decision = plan.decision
        cut = decision is not None and decision.when == "before"
        reply = Reply(200) if cut else self.handle(operation, call, plan)
        await self._pause(plan, "after", 0.0)
        return reply.altered(decision) if isinstance(decision, Answer) else reply

    async def _pause(self, plan: Plan, when: When, seconds: float) -> None:
        """Wait for the plan's delays and end the sessions that it ends, on one side of the effect.

        Before the effect the sessions end last, after it first: while a late answer is under way
        its session is over.
        """
        expires = any(action.when == when for action, _ in plan.all(ExpireSession))
        if expires and when == "after":
            self.expire_sessions()
        seconds += sum(action.seconds for action, _ in plan.all(Delay) if action.when == when)
        if seconds:
            await asyncio.sleep(seconds)
        if expires and when == "before":
            self.expire_sessions()
