"""FortiAuthenticator: SMS licences over `/api/v1/fortiguardmessages/`.

Source: REST API Solution Guide, "FortiGuard messaging". HTTP Basic with the account's web-service
access key. What the guide leaves open is assumed here as `ASSUMED` comments say.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from service.appliances.answers import Answer, Kind, Operation, trouble, unexpected
from service.appliances.session import CredentialsRefused, Opened, Session
from service.errors import AnswerLost, Code, Failed, Refused
from service.messages.results import SmsBalance

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from pydantic import SecretStr
    from typing_extensions import Unpack

    from service.appliances.answers import Request
    from service.appliances.http import Http
    from service.appliances.session import Secret

# The trailing slash is part of the path: without it the server redirects and the body is lost.
_PATH = "/api/v1/fortiguardmessages/"
BALANCE = Operation("balance", "GET", _PATH)
ACTIVATE = Operation("activate", "POST", _PATH, Kind.WRITE)
# ASSUMED: these mean that a gateway gave up waiting, so the activation may still be worked on.
_GATEWAY = frozenset({502, 504})


class FortiAuthenticator:
    """`SmsLicensing` on a FortiAuthenticator.

    A session is a connection whose credentials were accepted once: Basic knows no other. So a
    wrong key is tried by one request, not by every command that waits.
    """

    def __init__(self, http: Http, *, username: str, secret: Secret, cooldown: float) -> None:
        """Keep the parts; nothing is sent yet."""
        self.name = http.name
        # ASSUMED: what is not done after twice the time that we wait for an answer is not done.
        self.settle_time = 2 * http.read_timeout
        self._http = http
        self._username = username
        self._session: Session[str] = Session(
            http.name,
            secret,
            login=self._log_in,
            refused=lambda answer: answer.status == 401,
            cooldown=cooldown,
        )

    async def balance(self) -> SmsBalance:
        """Read the balance. See `SmsLicensing`."""
        answer = await self._session.call(lambda session: self._send(BALANCE, session))
        if answer.status != 200:
            raise self._no(answer)
        return _balance(answer)

    async def activate(self, license_key: SecretStr) -> None:
        """Send the licence once. See `SmsLicensing`.

        ASSUMED: any 2xx is a success, with or without a body; 4xx is a refusal; after another
        answer the appliance is no longer at work, but for the gateway's 502 and 504.
        """
        session = await self._session.opened()
        answer = await self._send(
            ACTIVATE, session, json={"license": license_key.get_secret_value()}
        )
        status = answer.status
        if 200 <= status < 300:
            return
        if status in _GATEWAY or 300 <= status < 400:
            why = trouble(answer)
            raise AnswerLost(why.code, why.message, status=status)
        if status == 401:
            self._session.give_up(session)
        if status in {401, 403}:
            raise self._no(answer)
        if 400 <= status < 500 and status not in {408, 429}:
            raise Refused(Code.LICENSE_REFUSED, f"{self.name} refuses the licence", status=status)
        raise trouble(answer)

    async def check(self) -> None:
        """Read the balance once. See `Appliance`."""
        await self.balance()

    def writing(self) -> AbstractAsyncContextManager[None]:
        """Hold the right to write. See `Appliance`."""
        return self._http.writing()

    async def close(self) -> None:
        """Close the connections; Basic has no logout."""
        self._session.close()
        await self._http.close()

    async def _log_in(self, password: str) -> str:
        credentials = f"{self._username}:{password}".encode()
        header = "Basic " + base64.b64encode(credentials).decode("ascii")
        answer = await self._http.send(BALANCE, sign=lambda: {"Authorization": header})
        if answer.status == 401:
            raise CredentialsRefused(self.name, answer.status)
        if answer.status >= 400 and answer.status != 403:
            raise trouble(answer)
        return header

    async def _send(
        self, operation: Operation, session: Opened[str], **request: Unpack[Request]
    ) -> Answer:
        return await self._http.send(
            operation,
            sign=lambda: {"Authorization": self._session.proof(session)},
            **request,
        )

    def _no(self, answer: Answer) -> Refused | Failed:
        if answer.status in {401, 403}:
            return Refused(
                Code.PERMISSION_DENIED,
                f"{self.name} denies this to the account that the courier uses",
                status=answer.status,
            )
        return trouble(answer)


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
