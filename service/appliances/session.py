"""A session with an appliance: one login for all who wait, renewed once, never a loop of logins.

    closed ── somebody asks ──> opening ──> open ── expired, idle, or the end ──> closed
                                  └──> refused ── the secret changes, or a cool-down ──> opening

A refusal in a session means that it is over, or that the account lacks the permission; no answer
says which. So a login is spent on finding out, and what a new session is refused as well is
remembered as denied: the commands that follow cost no login. A session that is refused when it has
just been opened makes everybody wait a moment before the next one: a restart ends several.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

from service.appliances.answers import Meaning, denied
from service.appliances.credentials import Credentials, CredentialsRefused
from service.appliances.permissions import Permissions
from service.appliances.ports import MAX_WAIT, NotSent, Status, Superseded
from service.appliances.visit import note_session
from service.errors import Code, CourierError, Failed, Waiting
from service.telemetry import log, traces

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from service.appliances.answers import Answer
    from service.appliances.credentials import Rules, Secret
    from service.appliances.http import Http

T = TypeVar("T")

_YOUNG = 60.0
"""Seconds for which no appliance is believed to end a session by itself."""
_ROTATIONS = 5
"""How often a call is sent again because the session's token was rotated under it."""
_GOODBYE = 3.0
"""Seconds that a logout may take."""


class State(StrEnum):
    """Where a session stands."""

    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"
    REFUSED = "refused"


@dataclass(eq=False)
class Opened(Generic[T]):
    """One session; compared by identity, so that a late 403 of an old one ends no newer one.

    Attributes:
        token: what proves the session; the appliance may rotate it.
        allowed: the operations that have worked in it.
        requests: how many are under way in it.
        opened_at, used_at: when it was opened and last used, by the monotonic clock.
    """

    token: T = field(repr=False)
    allowed: set[str] = field(default_factory=set)
    requests: int = 0
    opened_at: float = field(default_factory=time.monotonic)
    used_at: float = field(default_factory=time.monotonic)


class Session(Generic[T]):
    """The session that all calls to one appliance share.

    Args:
        appliance: its name.
        secret: where the password comes from.
        rules: how gently it is handled.
        login: logs in with a password and returns what proves the session; raises
            `CredentialsRefused` when the appliance says no.
        slowest: seconds that a request may take.
        logout: tells the appliance that the session is not needed any more; may fail.

    Attributes:
        credentials: when a login may be tried.
    """

    def __init__(
        self,
        appliance: str,
        secret: Secret,
        rules: Rules,
        *,
        login: Callable[[str], Awaitable[T]],
        slowest: float = 0.0,
        logout: Callable[[T], Awaitable[object]] | None = None,
    ) -> None:
        """Start closed."""
        self.credentials = Credentials(appliance, secret, rules)
        self._appliance = appliance
        self._idle = rules.idle
        self._login = login
        self._logout = logout
        self._current: Opened[T] | None = None
        self._opening: asyncio.Task[Opened[T]] | None = None
        self._permissions = Permissions(appliance, rules.cooldown, rules.doubt, slowest=slowest)
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def state(self) -> State:
        """Where it stands."""
        if self._current or self._opening:
            return State.OPEN if self._current else State.OPENING
        return State.REFUSED if self.credentials.are_refused else State.CLOSED

    async def opened(self) -> Opened[T]:
        """Give the open session; open it if there is none, together with everyone who waits.

        Raises:
            CredentialsRefused: they were refused now, or before and nothing has changed since.
            Waiting: the login budget is spent, or somebody else's login takes its time.
            NotSent, Failed: the appliance could not be asked.
        """
        if self._current is not None:
            self._tell_reuse()
            return self._current
        is_shared = self._opening is not None
        patience = MAX_WAIT if is_shared else None  # its own login ends by itself
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(self.credentials.take()))
            self._opening.add_done_callback(self._opening_done)
        try:
            with traces.span(f"wait for login {self._appliance}") if is_shared else nullcontext():
                async with asyncio.timeout(patience):
                    # The login belongs to all who wait: one who goes away does not end it.
                    session = await asyncio.shield(self._opening)
        except TimeoutError:
            raise Waiting(Code.BUSY, f"the login at {self._appliance} takes its time") from None
        self._tell_reuse()
        return session

    async def call(self, operation: str, send: Callable[[Opened[T]], Awaitable[Answer]]) -> Answer:
        """Send a request in the session, and again in a new one when the session was over.

        Args:
            operation: what is asked, as far as permissions go.
            send: sends it.

        Raises:
            Refused: `permission-denied`; a new session is refused as well.
        """
        session, rotations = await self._worth_trying(operation), 0
        while True:
            token = session.token
            try:
                answer = await send(session)
            except Superseded:
                session = await self._worth_trying(operation)
                continue
            if answer.meaning is not Meaning.NO_SESSION:
                works = answer.meaning is Meaning.DONE
                self._permissions.note_answered(operation, session.allowed, works=works)
                return answer
            if session.token != token and rotations < _ROTATIONS:
                rotations += 1  # another answer has rotated it meanwhile
            elif session is self._current:
                if self._is_denied(operation, session):
                    raise denied(self._appliance, answer.status)
                self.give_up(session)
            session = await self._worth_trying(operation)

    @contextmanager
    def using(self, session: Opened[T]) -> Iterator[None]:
        """Keep a session from being closed as idle while a request is under way in it."""
        session.requests += 1
        try:
            yield
        finally:
            session.requests -= 1
            session.used_at = time.monotonic()

    def proof(self, session: Opened[T]) -> T:
        """Give what proves a session, when a request's turn has come.

        Raises:
            Superseded: the session has ended meanwhile.
        """
        if self._current is not session:
            raise Superseded(self._appliance)
        return session.token

    def give_up(self, session: Opened[T]) -> None:
        """Note that the appliance no longer knows a session; a newer one is left alone."""
        if self._current is session:
            self._current = None
            log.info("session-expired", appliance=self._appliance)

    def replace(self, session: Opened[T], token: T) -> None:
        """Take over what the appliance rotated; a late answer of an older session is ignored."""
        if self._current is session:
            session.token = token

    async def close(self, reason: str) -> None:
        """Log out, at the end of the process or of the inventory's entry."""
        if self._opening is not None:
            # What the appliance has begun to open is to be closed as well.
            await asyncio.wait([self._opening], timeout=_GOODBYE)
        if self._current is not None:
            self._leave(self._current, reason)
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def _worth_trying(self, operation: str) -> Opened[T]:
        await self._permissions.wait(operation)
        return await self.opened()

    def _is_denied(self, operation: str, session: Opened[T]) -> bool:
        """Tell whether a refusal is about the permission: a login is not spent on it twice."""
        age = time.monotonic() - session.opened_at
        # A session that is seconds old has not expired, nor has one in which others work.
        is_good = age < _YOUNG or (session.allowed and operation not in session.allowed)
        if is_good and self._permissions.denied_lately(operation):
            return True
        return self._permissions.count_refusal(operation, session.allowed, age=age)

    def _leave(self, session: Opened[T], reason: str) -> None:
        """Forget a session at once, and tell the appliance so."""
        self._current = None
        log.info("session-closed", appliance=self._appliance, reason=reason)
        if self._logout is not None:
            leaving = asyncio.create_task(self._say_goodbye(self._logout(session.token)))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def _say_goodbye(self, logout: Awaitable[object]) -> None:
        with suppress(CourierError, TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await logout

    def _leave_if_idle(self, session: Opened[T]) -> None:
        if self._current is not session:
            return
        left = session.used_at + self._idle - time.monotonic()
        if left <= 0 and not session.requests:
            self._leave(session, "idle")
        else:
            self._look_later(session, max(left, self._idle / 10))

    def _look_later(self, session: Opened[T], seconds: float) -> None:
        # Not in the context of the command that happened to log in.
        asyncio.get_running_loop().call_later(
            seconds, self._leave_if_idle, session, context=contextvars.Context()
        )

    async def _open(self, password: str) -> Opened[T]:
        began = time.perf_counter()
        try:
            with traces.span(f"login {self._appliance}"):
                token = await self._login(password)
        except CredentialsRefused:
            self.credentials.note_refused(password)
            raise
        except (NotSent, Waiting):
            self.credentials.give_back()
            raise
        except Failed as error:
            # An appliance that is in trouble has opened nothing; the breaker sees to the rest.
            if error.code is Code.APPLIANCE_ERROR:
                self.credentials.give_back()
            raise
        self.credentials.note_accepted()
        self._current = Opened(token)
        self._look_later(self._current, self._idle)
        note_session()
        took = (time.perf_counter() - began) * 1000
        log.info("session-opened", appliance=self._appliance, duration_ms=round(took, 1))
        return self._current

    def _opening_done(self, task: asyncio.Task[Opened[T]]) -> None:
        self._opening = None
        if not task.cancelled():
            task.exception()  # everyone who waited was told; nobody may be left to fetch it

    def _tell_reuse(self) -> None:
        if note_session():
            log.info("session-reused", appliance=self._appliance)


def status_of(session: Session[T], http: Http) -> Status:
    """Tell how things stand with the appliance behind a session."""
    return Status(
        session=session.state,
        breaker=http.breaker.state,
        in_flight=http.in_flight,
        logins=session.credentials.accepted,
        refused_logins=session.credentials.refused,
    )
