"""FortiAuthenticator: SMS licences over `/api/v1/fortiguardmessages/`.

Source: REST API Solution Guide, "FortiGuard messaging". HTTP Basic with the account's web-service
access key. What the guide leaves open is assumed here as `ASSUMED` comments say.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from service.appliances.answers import Kind, Meaning, Operation, problem, unexpected
from service.appliances.credentials import CredentialsRefused
from service.appliances.readings import of_answer
from service.appliances.session import Opened, Session, status_of
from service.messages.results import SmsBalance

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from pydantic import SecretStr
    from typing_extensions import Unpack

    from service.appliances.answers import Answer, Request
    from service.appliances.credentials import Rules, Secret
    from service.appliances.http import Http
    from service.appliances.ports import Reading, Status

# The trailing slash is part of the path: without it the server redirects and the body is lost.
RESOURCE = "fortiguardmessages"
_PATH = f"/api/v1/{RESOURCE}/"
BALANCE = Operation(
    "balance",
    "GET",
    _PATH,
    meanings={401: Meaning.NO_SESSION, 403: Meaning.DENIED},
)
# ASSUMED: any 2xx is a success, with or without a body; 4xx says no; after trouble the appliance is
# no longer at work, but for 502 and 504, which a gateway says that gave up waiting.
ACTIVATE = Operation(
    "activate",
    "POST",
    _PATH,
    Kind.WRITE,
    {
        "2xx": Meaning.DONE,
        401: Meaning.DENIED,
        403: Meaning.DENIED,
        408: Meaning.TROUBLE,
        429: Meaning.TROUBLE,
        "4xx": Meaning.LICENSE_REFUSED,
        502: Meaning.LOST,
        504: Meaning.LOST,
        "5xx": Meaning.TROUBLE,
    },
)


class FortiAuthenticator:
    """`SmsLicensing` and `StatusReadings` on a FortiAuthenticator.

    A session is a connection whose credentials were accepted once: Basic knows no other. So a
    wrong key is tried by one request, not by every command that waits.
    """

    resources = (RESOURCE,)

    def __init__(self, http: Http, *, username: str, secret: Secret, rules: Rules) -> None:
        """Keep the parts; nothing is sent yet."""
        self.name = http.name
        self.origin = http.origin
        # ASSUMED: what is not done after twice the time that we wait for an answer is not done.
        self.settle_time = 2 * http.read_timeout
        self.http = http
        self.session: Session[str] = Session(
            http.name, secret, rules, login=self._log_in, slowest=http.slowest
        )
        self._username = username

    async def balance(self) -> SmsBalance:
        """Read the balance. See `SmsLicensing`."""
        answer = await self._ask_balance()
        if answer.meaning is not Meaning.DONE:
            raise problem(answer, self.name)
        return _balance(answer)

    async def login_says(self) -> None:
        """Tell nothing: Basic has no login that would. See `StatusReadings`."""

    async def readings(self, names: Sequence[str]) -> list[Reading]:
        """Pass on the answer to the balance, the one thing there is. See `StatusReadings`."""
        answer = await self._ask_balance()
        if answer.meaning is Meaning.DENIED:
            raise problem(answer, self.name)
        return [of_answer(name, answer) for name in names]

    async def activate(self, license_key: SecretStr) -> None:
        """Send the licence once. See `SmsLicensing`."""
        session = await self.session.opened()
        answer = await self._send(
            ACTIVATE, session, json={"license": license_key.get_secret_value()}
        )
        if answer.status == 401:
            self.session.give_up(session)
        if answer.meaning is not Meaning.DONE:
            raise problem(answer, self.name)

    async def check(self) -> None:
        """Read the balance once. See `Appliance`."""
        await self.balance()

    def writing(self) -> AbstractAsyncContextManager[None]:
        """Hold the right to write. See `Appliance`."""
        return self.http.writing()

    def status(self) -> Status:
        """Tell how things stand. See `Appliance`."""
        return status_of(self.session, self.http)

    async def close(self, reason: str) -> None:
        """Close the connections; Basic has no logout."""
        await self.session.close(reason)
        await self.http.close()

    async def _log_in(self, password: str) -> str:
        credentials = f"{self._username}:{password}".encode()
        header = "Basic " + base64.b64encode(credentials).decode("ascii")
        answer = await self.http.send(
            BALANCE, is_login=True, sign=lambda: {"Authorization": header}
        )
        if answer.meaning is Meaning.NO_SESSION:
            raise CredentialsRefused(self.name, answer.status)
        if answer.meaning not in {Meaning.DONE, Meaning.DENIED}:
            raise problem(answer, self.name)
        return header

    async def _ask_balance(self) -> Answer:
        return await self.session.call(BALANCE.name, lambda session: self._send(BALANCE, session))

    async def _send(
        self, operation: Operation, session: Opened[str], **request: Unpack[Request]
    ) -> Answer:
        with self.session.using(session):
            return await self.http.send(
                operation,
                sign=lambda: {"Authorization": self.session.proof(session)},
                **request,
            )


def _balance(answer: Answer) -> SmsBalance:
    body = answer.json()
    if not isinstance(body, dict):
        raise unexpected("is no object", answer.status)
    figures = {}
    for name in SmsBalance.model_fields:
        try:
            # ASSUMED: numbers may come as strings, as they do on sibling resources.
            figures[name] = int(str(body.get(name)))
        except ValueError:
            raise unexpected(f"has no number {name}", answer.status) from None
        if not 0 <= figures[name] < 2**53:
            raise unexpected(f"has an impossible {name}", answer.status)
    return SmsBalance(**figures)
