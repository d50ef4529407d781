"""A session with an appliance: one login for all who wait, renewed once, never a loop of logins.

States: closed (nobody asked yet, or it was given up) → opening (one task logs in, everyone waits
for it) → open → closed again when the appliance no longer knows it. Beside them: credentials that
were refused are not tried again until the secret changes or a cool-down has passed.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from service.appliances.ports import NotSent
from service.appliances.visit import visit
from service.errors import Code, Refused, Waiting
from service.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from service.appliances.answers import Answer

T = TypeVar("T")


class Secret(Protocol):
    """Where an appliance's password is read, at every login anew."""

    def read(self) -> str:
        """Read it.

        Raises:
            Waiting: it cannot be read now.
        """
        ...


class CredentialsRefused(Waiting):
    """The appliance refused the credentials; nobody tries them again for now."""

    def __init__(self, appliance: str, status: int | None = None) -> None:
        """Say whose credentials they are."""
        super().__init__(
            Code.CREDENTIALS_REFUSED, f"{appliance} refuses the credentials", status=status
        )


class Superseded(NotSent):
    """The session ended before the request's turn came; the request was not sent."""

    def __init__(self, appliance: str) -> None:
        """Say whose session it was."""
        super().__init__(f"the session with {appliance} ended before the request was sent")


@dataclass(eq=False)
class Opened(Generic[T]):
    """One session; compared by identity, so that a late 403 of an old one ends no newer one.

    Attributes:
        token: what proves the session; the appliance may rotate it.
    """

    token: T = field(repr=False)


class Session(Generic[T]):
    """The session that all calls to one appliance share.

    Args:
        appliance: its name.
        secret: where the password comes from.
        login: logs in with a password and returns what proves the session; raises
            `CredentialsRefused` when the appliance says no.
        refused: tells an answer that says "no session" (or, after a new login, "no permission").
        cooldown: seconds after which refused credentials may be tried once more.
    """

    def __init__(
        self,
        appliance: str,
        secret: Secret,
        *,
        login: Callable[[str], Awaitable[T]],
        refused: Callable[[Answer], bool],
        cooldown: float,
    ) -> None:
        """Start closed."""
        self._appliance = appliance
        self._secret = secret
        self._login = login
        self._refused = refused
        self._cooldown = cooldown
        self._current: Opened[T] | None = None
        self._opening: asyncio.Task[Opened[T]] | None = None
        self._refusal: tuple[str, float] | None = None

    async def opened(self) -> Opened[T]:
        """Give the open session; open it if there is none, together with everyone who waits.

        Raises:
            CredentialsRefused: they were refused now, or before and nothing has changed since.
            NotSent, Failed: the appliance could not be asked.
        """
        if self._current is not None:
            self._tell_reuse()
            return self._current
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(self._password()))
            self._opening.add_done_callback(self._opening_done)
        # The login belongs to all who wait: one who is cancelled does not end it.
        session = await asyncio.shield(self._opening)
        self._tell_reuse()
        return session

    async def call(self, send: Callable[[Opened[T]], Awaitable[Answer]]) -> Answer:
        """Send a request in the session; renew the session once if the appliance wants that.

        Raises:
            Refused: `permission-denied`; a new session is refused as well.
        """
        session = first = await self.opened()
        rotated = False
        while True:
            token = session.token
            try:
                answer = await send(session)
            except Superseded:
                session = await self.opened()
                continue
            if not self._refused(answer):
                return answer
            if session.token is not token and not rotated:
                rotated = True  # it refused the token that another answer has rotated meanwhile
            elif session is first:
                self.give_up(session)
                session = await self.opened()
            else:
                # A session that was opened after this call began has not expired.
                raise Refused(
                    Code.PERMISSION_DENIED,
                    f"{self._appliance} denies this to the account that the courier uses",
                    status=answer.status,
                )

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

    def close(self) -> None:
        """Forget the session, at the end of the process or of the inventory's entry."""
        if self._current is not None:
            self._current = None
            log.info("session-closed", appliance=self._appliance)

    def _password(self) -> str:
        """Read the secret, unless it was refused and nothing has changed since."""
        password = self._secret.read()
        if self._refusal is not None:
            refused, since = self._refusal
            if password == refused and time.monotonic() - since < self._cooldown:
                raise CredentialsRefused(self._appliance)
        return password

    async def _open(self, password: str) -> Opened[T]:
        began = time.perf_counter()
        try:
            token = await self._login(password)
        except CredentialsRefused:
            self._refusal = (password, time.monotonic())
            log.error("credentials-refused", appliance=self._appliance)
            raise
        self._refusal = None
        self._current = Opened(token)
        current = visit.get()
        if current is not None:
            current.session_told = True
        log.info(
            "session-opened",
            appliance=self._appliance,
            duration_ms=round((time.perf_counter() - began) * 1000, 1),
        )
        return self._current

    def _opening_done(self, task: asyncio.Task[Opened[T]]) -> None:
        self._opening = None
        if not task.cancelled():
            task.exception()  # everyone who waited was told; nobody may be left to fetch it

    def _tell_reuse(self) -> None:
        current = visit.get()
        if current is not None and not current.session_told:
            current.session_told = True
            log.info("session-reused", appliance=self._appliance)
