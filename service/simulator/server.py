"""One simulated appliance: its socket and the way of a request from the wire and back."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Final

from aiohttp import web

from service.simulator.actions import Answer, Delay, ExpireSession
from service.simulator.books import Books
from service.simulator.faults import Faults
from service.simulator.wire import Call, Reply, send

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from service.simulator.actions import When
    from service.simulator.books import Entry
    from service.simulator.faults import Plan

_PATIENCE: Final = 0.1
"""Seconds that a request in work has left when the appliance is stopped."""

_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not bound


class SimulatedAppliance(ABC):
    """An appliance on a socket of its own.

    The work on a request goes on when its client has gone, as it does on the real ones: only the
    answer is lost.

    Attributes:
        kind: ``fortiauthenticator`` or ``fortivoice``.
        name: Its name in the inventory.
        username: Who may use it.
        latency: Seconds that it takes before it does anything.
        books: What it saw and did.
        faults: What is to go wrong.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        name: str,
        username: str,
        password: str,
        *,
        latency: float = 0.0,
    ) -> None:
        self.name = name
        self.username = username
        self.latency = latency
        self.books = Books(name)
        self.faults = Faults(name)
        self._password = password
        self._address: tuple[str, int, ssl.SSLContext | None] = ("127.0.0.1", 0, None)
        self._runner: web.ServerRunner | None = None
        self._server: web.Server | None = None
        self._closing = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def url(self) -> str:
        """Its address; known once it was started."""
        host, port, tls = self._address
        host = _WILDCARDS.get(host, host)
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if tls else 'http'}://{host}:{port}"

    @property
    def password(self) -> str:
        """The password or access key; set it to rotate it.

        Sessions outlive it: no document says that they end (use ``expire_sessions``).
        """
        return self._password

    @password.setter
    def password(self, password: str) -> None:
        self._password = password
        self.books.note("password", "rotated")

    def listen_on(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Say where ``start`` will listen; port 0 is any free one, which is then kept."""
        self._address = (host, port, tls)

    async def start(self) -> None:
        """Begin to listen, after ``stop`` on the same port again."""
        host, port, tls = self._address
        self._closing = asyncio.Event()
        self._server = web.Server(self._serve, access_log=None)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_PATIENCE)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, ssl_context=tls).start()
        except OSError:
            await self.stop()
            raise
        self.listen_on(host, self._runner.addresses[0][1], tls)

    async def stop(self) -> None:
        """Close the socket and all connections; sessions, books and faults stay."""
        if self._runner is None or self._server is None:
            return
        self._closing.set()
        transports = [connection.transport for connection in self._server.connections]
        await self._runner.cleanup()
        for transport in transports:
            # A closed TLS transport still waits for the client's farewell.
            if transport is not None:
                transport.abort()
        self._runner = None

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

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
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
