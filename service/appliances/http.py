"""One appliance's HTTP: connections, limits, and the one place where HTTP failures become ours.

Whether a request can have left is known (see `transport`): a refused connection is no lost answer.
Nothing is sent again here but a read whose kept-alive connection was stale.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx

from service.appliances.answers import Answer, Kind, Meaning, clock_skew, problem, unexpected
from service.appliances.breaker import Breaker
from service.appliances.foreign import FOREIGN, NOT_SENT, reason
from service.appliances.ports import MAX_WAIT, NotSent, WriteVetoed
from service.appliances.transport import Asked, Transport
from service.appliances.visit import visit
from service.errors import AnswerLost, Code, CommandError, Failed, Waiting
from service.telemetry import log, traces

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractContextManager

    from typing_extensions import Unpack

    from service.appliances.answers import Operation, Request
    from service.appliances.transport import Leaving

MAX_ANSWER_BYTES = 16 * 1024 * 1024

_JSON = {"Content-Type": "application/json"}
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
_NO_STATUS = 600
_MAY_ASK_FOR_REST = frozenset({429, 503})


class Http:
    """The connections to one appliance.

    Args:
        name: the appliance's name in the inventory.
        url: its base address.
        tls: how its certificate is verified.
        concurrency: requests in flight at once, at most.
        connect_timeout, read_timeout: seconds.
        breaker_failures: see `Breaker`.
        writing: held by the one who writes.

    Attributes:
        origin: scheme, host and port.
        concurrency: requests in flight at once, at most.
        in_flight: requests that are being answered now.
        patience: seconds after which a request that is under way is given up.
        slowest: seconds that `send` may take.
    """

    def __init__(  # noqa: PLR0913  each has its name at the call
        self,
        name: str,
        url: str,
        *,
        tls: ssl.SSLContext,
        concurrency: int,
        connect_timeout: float,
        read_timeout: float,
        breaker_failures: int,
        writing: asyncio.Lock,
    ) -> None:
        """Build the client; nothing is sent yet."""
        self.name = name
        self.concurrency = concurrency
        self.in_flight = 0
        self._dated = ("", 0.0, 0.0)
        self.breaker = Breaker(name, failures=breaker_failures)
        self.read_timeout = read_timeout
        # The transport's limit begins anew with every piece of an answer that trickles in.
        self.patience = connect_timeout + 2 * read_timeout
        # In its turn, and once more where a read may be repeated.
        self.slowest = MAX_WAIT + 2 * self.patience
        self._slots = asyncio.Semaphore(concurrency)
        self._writing = writing
        where = httpx.URL(url)
        port = where.port or (443 if where.scheme == "https" else 80)
        self._server: dict[str, str | int] = {
            "server.address": where.host,
            "server.port": port,
            "courier.appliance": name,
        }
        self.origin = url
        # httpx's client would double what a request costs, for redirects, cookies and the like.
        self._transport = Transport(
            tls,
            connections=concurrency,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )

    async def send(
        self,
        operation: Operation,
        *,
        sign: Callable[[], dict[str, str]] | None = None,
        is_login: bool = False,
        **request: Unpack[Request],
    ) -> Answer:
        """Send one request and read the whole answer.

        Args:
            operation: what is asked.
            sign: gives the headers that prove the session, when the request's turn has come: a
                session that ended meanwhile must not be knocked with.
            is_login: nothing else works without it, so that an appliance which cannot serve it
                counts as one that does not answer.
            request: what goes with it.

        Raises:
            NotSent: the request certainly did not leave.
            AnswerLost: a write may have left and its answer did not come, or not to its end.
            Failed: another request's answer did not come, or the login cannot be served.
            Waiting: too many requests are in flight, or the breaker lets nothing through.
        """
        await self._turn(self._slots)
        try:
            headers = sign() if sign else {}
            if self._transport.is_closed:
                raise NotSent(f"the connections to {self.name} were closed")
            self.in_flight += 1
            try:
                with self.breaker.passing():
                    answer = await self._ask(operation, headers, request)
                    if answer.status in _MAY_ASK_FOR_REST and answer.retry_after:
                        self.breaker.rest(answer.retry_after, answer.status)
                    if is_login and answer.meaning is Meaning.TROUBLE:
                        raise problem(answer, self.name)
            finally:
                self.in_flight -= 1
            if not answer.is_whole:
                raise self._too_long(answer)
            return answer
        finally:
            self._slots.release()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Hold the right to write on this appliance, in order of arrival. See `Appliance`."""
        await self._turn(self._writing)
        try:
            yield
        finally:
            self._writing.release()

    @property
    def clock_skew(self) -> float | None:
        """Seconds that the appliance's clock was ahead of ours at its last answer, if it told."""
        return clock_skew(*self._dated)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _turn(self, gate: asyncio.Lock | asyncio.Semaphore) -> None:
        """Wait for a turn, to be given back by `release`."""
        if not gate.locked():
            await gate.acquire()  # at once: a timer would cost more
            return
        try:
            async with asyncio.timeout(MAX_WAIT):
                await gate.acquire()
        except TimeoutError:
            raise Waiting(Code.BUSY, f"{self.name} is busy") from None

    async def _ask(self, operation: Operation, headers: dict[str, str], request: Request) -> Answer:
        repeatable = operation.kind is Kind.READ
        while True:
            try:
                return await self._exchange(operation, headers, request)
            except FOREIGN as error:
                # Most often a kept-alive connection that the appliance had closed meanwhile.
                if not (repeatable and isinstance(error, httpx.RemoteProtocolError)):
                    raise self._translate(error, operation) from None
                repeatable = False

    async def _exchange(
        self, operation: Operation, headers: dict[str, str], request: Request
    ) -> Answer:
        current = visit.get()
        if current is not None:
            current.note_request(self.patience)
        began, at = time.perf_counter(), time.time()
        asked = _encoded(operation.method, self.origin + operation.path, headers, request)
        with self._span(operation):
            async with asyncio.timeout(self.patience):
                reply = await self._transport.exchange(
                    asked, most=MAX_ANSWER_BYTES, leaving=self._leaving(operation)
                )
            self._dated = (reply.headers.get("Date", ""), at, reply.at)
            _note_status(reply.status)
        # Appliances have been seen to answer with numbers that are no HTTP status.
        status = reply.status if reply.status < _NO_STATUS else None
        if current is not None:
            current.status = status
        log.debug(
            "appliance-request",
            appliance=self.name,
            operation=operation.name,
            status=status,
            duration_ms=round((time.perf_counter() - began) * 1000, 1),
        )
        body = reply.body
        return Answer(operation, reply.status, reply.headers, body or b"", body is not None)

    def _leaving(self, operation: Operation) -> Leaving | None:
        """Say who is told by the transport that a request is about to leave."""
        return self._unless_too_late if operation.kind is Kind.WRITE else None

    def _unless_too_late(self) -> None:
        """Stop a write that was announced long ago, before its first byte leaves.

        A process that was stopped for a while must not write on: others, who read back meanwhile,
        count on its being over (`settle_time`).

        Raises:
            NotSent: it is too late.
        """
        current = visit.get()
        if current is not None and current.write_age() > self.read_timeout:
            raise WriteVetoed(f"the write on {self.name} came too late and was not sent")

    def _span(self, operation: Operation) -> AbstractContextManager[None]:
        """Tell of a request: where it goes, and not what it asks or holds."""
        if not traces.are_on():
            return traces.NOTHING
        attributes = {
            **self._server,
            "http.request.method": operation.method,
            "url.template": operation.path,
            "courier.operation": operation.name,
        }
        return traces.span(f"{operation.method} {operation.path}", traces.Kind.CLIENT, attributes)

    def _translate(self, error: Exception, operation: Operation) -> CommandError:
        """Say what an exception of httpx means for the one who asked."""
        why = reason(error)
        if isinstance(error, NOT_SENT):
            return NotSent(f"{self.name} cannot be reached: {why}")
        if operation.kind is Kind.WRITE:
            return AnswerLost(Code.UNREACHABLE, self._lost(why))
        return Failed(Code.UNREACHABLE, self._lost(why))

    def _too_long(self, answer: Answer) -> CommandError:
        why = unexpected(f"is larger than {MAX_ANSWER_BYTES} bytes", answer.status)
        if answer.operation.kind is Kind.WRITE:
            return AnswerLost(why.code, why.message, status=why.status)
        return why

    def _lost(self, why: str) -> str:
        return f"no answer from {self.name}: {why}"


def _encoded(method: str, url: str, headers: dict[str, str], request: Request) -> Asked:
    """Put a request together; httpx does what is not easy, and takes its time for it.

    Raises:
        ValueError: a header cannot be sent.
    """
    if not all(value.isascii() for value in headers.values()):
        raise ValueError("a header has letters that no header may have")
    if request.keys() <= {"json"}:
        if "json" not in request:
            return Asked(method, url, _HEADERS | headers)
        body = json.dumps(request["json"], separators=(",", ":"), ensure_ascii=False)
        return Asked(method, url, _HEADERS | _JSON | headers, body.encode())
    whole = httpx.Request(method, url, headers=_HEADERS | headers, **request)
    return Asked(method, str(whole.url), dict(whole.headers), whole.read())


def _note_status(status: int) -> None:
    traces.note({"http.response.status_code": status})
    if status >= 400:
        traces.fail(str(status))
