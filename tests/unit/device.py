"""A device with sessions, and a place for its password: what a session is held against."""

import asyncio

from multidict import CIMultiDict

from service.appliances.answers import Answer, Meaning, Operation
from service.appliances.credentials import CredentialsRefused, Rules
from service.appliances.session import Opened, Session
from service.appliances.visit import Visit, visit
from service.errors import Code, CommandError, Waiting

OK, NO = 200, 403
READ = Operation("read", "GET", "/", meanings={NO: Meaning.NO_SESSION})


class FakeDevice:
    """Knows one password and its own sessions.

    Attributes:
        logins: the passwords that were tried.
        valid: the sessions that it knows.
        granting: whether it lets anybody do anything.
        gate: logins wait for it.
        asked: a login has come.
        logouts: what was given back, each with the visit of who did so.
        left: something was given back.
    """

    def __init__(self) -> None:
        self.password = "right"
        self.logins: list[str] = []
        self.valid: set[str] = set()
        self.granting = True
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        self.error: CommandError | None = None
        self.requests: list[str] = []
        self.logouts: list[tuple[str, Visit | None]] = []
        self.logout_error: Exception | None = None
        self.left = asyncio.Event()

    async def log_in(self, password: str) -> str:
        self.logins.append(password)
        self.asked.set()
        await self.gate.wait()
        if self.error:
            raise self.error
        if password != self.password:
            raise CredentialsRefused("fvc-1", 401)
        token = f"session-{len(self.logins)}"
        self.valid = {token}
        return token

    async def log_out(self, token: str) -> None:
        self.logouts.append((token, visit.get()))
        self.left.set()
        if self.logout_error:
            raise self.logout_error
        self.valid.discard(token)

    async def send(self, session: Opened[str]) -> Answer:
        self.requests.append(session.token)
        known = self.granting and session.token in self.valid
        return Answer(READ, OK if known else NO, CIMultiDict(), b"")


class FakeSecret:
    """Where the password stands: a person may change it, or take it away."""

    def __init__(self, text: str | None = "right") -> None:
        self.text = text

    def read(self) -> str:
        if self.text is None:
            raise Waiting(Code.CREDENTIALS_REFUSED, "cannot be read")
        return self.text


def open_to(
    device: FakeDevice,
    secret: FakeSecret,
    *,
    cooldown: float = 3600,
    idle: float = 3600,
    logins: int = 10,
    doubt: float = 0,
) -> Session[str]:
    rules = Rules(cooldown=cooldown, idle=idle, logins=logins, doubt=doubt)
    return Session("fvc-1", secret, rules, login=device.log_in, logout=device.log_out)
