"""When an appliance may be logged into: never again with what it refused, and never in a loop."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from service.errors import Code, Waiting
from service.telemetry import log

LOGIN_WINDOW = 300.0
"""Seconds for which the login budget is meant."""


@dataclass(frozen=True)
class Rules:
    """How gently an appliance's sessions are handled.

    Attributes:
        cooldown: seconds after which refused credentials may be tried once more, and a login is
            spent again on a request that was denied.
        idle: seconds without a request after which a session is closed.
        logins: how many logins an appliance gets at most within `LOGIN_WINDOW`.
        doubt: seconds to wait before a session that was refused when it had just been opened is
            taken for a sign of a missing permission: what ended it may end the next one, too.
    """

    cooldown: float
    idle: float
    logins: int
    doubt: float


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


class Credentials:
    """One appliance's password, and whether it may be tried now.

    Attributes:
        accepted: how many logins succeeded.
        refused: how many the appliance refused.
    """

    def __init__(self, appliance: str, secret: Secret, rules: Rules) -> None:
        """Start with the whole budget."""
        self.accepted = self.refused = 0
        self._appliance = appliance
        self._secret = secret
        self._rules = rules
        self._refusal: tuple[bytes, float] | None = None
        self._logins: deque[float] = deque()
        self._spent_told = False

    @property
    def are_refused(self) -> bool:
        """Whether the last login was refused."""
        return self._refusal is not None

    def take(self) -> str:
        """Give the password for one login.

        Raises:
            CredentialsRefused: it was refused, has not changed, and the cool-down is not over.
            Waiting: it cannot be read, or the login budget is spent.
        """
        password = self._secret.read()
        now = time.monotonic()
        if self._refusal is not None:
            refused, since = self._refusal
            if now - since < self._rules.cooldown and _fingerprint(password) == refused:
                raise CredentialsRefused(self._appliance)
        while self._logins and now - self._logins[0] >= LOGIN_WINDOW:
            self._logins.popleft()
        if len(self._logins) >= self._rules.logins:
            raise self._spent(self._logins[0] + LOGIN_WINDOW - now)
        self._logins.append(now)
        self._spent_told = False
        return password

    def give_back(self) -> None:
        """Note that the appliance has not seen the login."""
        self._logins.pop()

    def note_accepted(self) -> None:
        """Note that the login succeeded; an older refusal says nothing any more."""
        self.accepted += 1
        self._refusal = None

    def note_refused(self, password: str) -> None:
        """Note that the appliance said no to this password."""
        self.refused += 1
        self._refusal = (_fingerprint(password), time.monotonic())
        log.error("credentials-refused", appliance=self._appliance)

    def _spent(self, seconds: float) -> Waiting:
        why = (
            f"{self._appliance} was logged into {self._rules.logins} times within"
            f" {LOGIN_WINDOW:g} s; something keeps its sessions from opening or lasting"
        )
        if not self._spent_told:
            self._spent_told = True
            log.error(
                "login-budget-spent",
                appliance=self._appliance,
                reason=why,
                retry_in=round(seconds, 1),
            )
        return Waiting(Code.APPLIANCE_ERROR, why, retry_after=seconds)


def _fingerprint(password: str) -> bytes:
    """Know a password again without keeping it."""
    return hashlib.sha256(password.encode()).digest()
