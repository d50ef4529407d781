"""FortiVoice: licence files and phones over `/api/v1/`, in a cookie session.

Source: FortiVoice Phone System 6.4.0 REST API Reference Guide, the section named at each request.
What the guide leaves open is assumed here as `ASSUMED` comments say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from service.appliances import fabric, listing, phones
from service.appliances.answers import (
    Kind,
    Meaning,
    Operation,
    problem,
    unexpected,
)
from service.appliances.cookie import session_cookie
from service.appliances.credentials import CredentialsRefused
from service.appliances.ports import Part, Reading, Upload
from service.appliances.session import Opened, Session, status_of
from service.errors import AnswerLost, Failed
from service.messages.results import DeviceIdentity

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from contextlib import AbstractAsyncContextManager

    from typing_extensions import Unpack

    from service.appliances.answers import Answer, Meanings, Request
    from service.appliances.credentials import Rules, Secret
    from service.appliances.http import Http
    from service.appliances.ports import Status
    from service.messages.commands import LicenseFile
    from service.messages.wire import Json

# Section "HTTP response codes": 403 is a missing session or a missing permission. ASSUMED: so is
# 401, which it does not list.
_IN_SESSION: Meanings = {401: Meaning.NO_SESSION, 403: Meaning.NO_SESSION}
LOGIN = Operation(
    "login",
    "POST",
    "/api/v1/VoiceadminLogin",
    Kind.STEP,
    {401: Meaning.NO_CREDENTIALS, 403: Meaning.NO_CREDENTIALS},
)
DEVICES = Operation("devices", "GET", "/api/v1/DeviceSip_phone", meanings=_IN_SESSION)
TOKEN = Operation("token", "POST", "/api/v1/SysStatusLicinfo", Kind.STEP, _IN_SESSION)
UPLOAD = Operation(
    "upload",
    "POST",
    "/api/v1/uploadfile/",
    Kind.STEP,
    # ASSUMED: it says so of the file, since nothing else in the request is the courier's choice.
    {**_IN_SESSION, 400: Meaning.LICENSE_REFUSED, 413: Meaning.LICENSE_REFUSED},
)
# Nothing documented says afterwards which licence is installed, so what is no clear answer is a
# lost one.
APPLY = Operation(
    "apply",
    "PUT",
    "/api/v1/SysStatusLicinfo",
    Kind.WRITE,
    {200: Meaning.DONE, 400: Meaning.LICENSE_REFUSED},
)
# ASSUMED: no logout is documented; this is the login's name turned round. An appliance that does
# not know it says so, and nobody minds.
LOGOUT = Operation("logout", "POST", "/api/v1/VoiceadminLogout", Kind.STEP)
_AHEAD = 2
"""Pages of a list that are asked for while an earlier one is worked on."""


@dataclass(frozen=True)
class Login:
    """What a login proves itself by, and what it says about the device."""

    cookie: str = field(repr=False)
    identity: DeviceIdentity


class FortiVoice:
    """`VoiceLicensing`, `DeviceInventory` and `StatusReadings` on a FortiVoice."""

    resources = fabric.RESOURCES

    def __init__(self, http: Http, *, username: str, secret: Secret, rules: Rules) -> None:
        """Keep the parts; nothing is sent yet."""
        self.name = http.name
        self.origin = http.origin
        self.send_window = http.read_timeout
        self.http = http
        self.session: Session[Login] = Session(
            http.name,
            secret,
            rules,
            login=self._log_in,
            slowest=http.slowest,
            logout=self._log_out,
        )
        self._username = username

    async def identity(self) -> DeviceIdentity:
        """Tell what login said. See `VoiceLicensing`."""
        return (await self.session.opened()).token.identity

    async def login_says(self) -> DeviceIdentity:
        """Tell what login said. See `StatusReadings`."""
        return await self.identity()

    async def readings(self, names: Sequence[str]) -> list[Reading]:
        """Read Fabric resources. See `StatusReadings` and the module `fabric`."""
        return await fabric.Fabric(self.session, self._send, _IN_SESSION).read(names)

    async def authorise(self) -> None:
        """Get an upload token and leave it. See `VoiceLicensing`."""
        _token(await self.session.call(TOKEN.name, self._ask_token), self.name)

    async def upload(self, file: LicenseFile) -> Upload:
        """Get a token and upload the file in one session. See `VoiceLicensing`.

        Section "Uploading license files with Restful API".
        """
        content = file.content.get_secret_value()
        used: Opened[Login] | None = None

        async def both_steps(session: Opened[Login]) -> Answer:
            nonlocal used
            used = session
            answer = await self._ask_token(session)
            if answer.meaning is not Meaning.DONE:
                return answer
            return await self._send(
                UPLOAD,
                session,
                # A list, because the file part comes before the token in the vendor's example.
                files=[
                    ("license", (file.name, content, "application/octet-stream")),
                    ("token", (None, _token(answer, self.name).encode())),
                ],
            )

        # A session that ends between the two starts again at the token: tokens are the session's.
        answer = await self.session.call(UPLOAD.name, both_steps)
        body = _envelope(answer, self.name)
        file_id = body.get("id")
        if not isinstance(file_id, str) or not file_id:
            raise unexpected("has no file id", answer.status)
        return Upload(file_id, used)

    async def apply(self, upload: Upload) -> None:
        """Send the apply once. See `VoiceLicensing`."""
        session = upload.session
        if not isinstance(session, Opened):
            raise TypeError("the upload comes from elsewhere")
        answer = await self._send(
            APPLY, session, json={"vm_lic_file": upload.file_id, "reqAction": "5"}
        )
        try:
            _envelope(answer, self.name)
        except Failed as error:
            raise AnswerLost(error.code, error.message, status=error.status) from None

    def devices(
        self, *, search: str | None, unassigned_only: bool, start: int, limit: int | None
    ) -> AsyncGenerator[Part]:
        """List phones page by page. See `DeviceInventory` and the module `listing`."""

        async def read_page(offset: int, size: int) -> dict[str, Json]:
            params = phones.query(search, unassigned_only, offset, size)
            answer = await self.session.call(
                DEVICES.name, lambda session: self._send(DEVICES, session, params=params)
            )
            return _envelope(answer, self.name)

        return listing.read(
            read_page,
            wanted=partial(phones.is_asked_for, search=search, unassigned_only=unassigned_only),
            start=start,
            limit=limit,
            # Only where there may be many pages; one place is left to those who come meanwhile.
            ahead=min(_AHEAD, self.http.concurrency - 1) if limit is None else 0,
        )

    async def check(self) -> None:
        """Log in. See `Appliance`."""
        await self.session.opened()

    def writing(self) -> AbstractAsyncContextManager[None]:
        """Hold the right to write. See `Appliance`."""
        return self.http.writing()

    def status(self) -> Status:
        """Tell how things stand. See `Appliance`."""
        return status_of(self.session, self.http)

    async def close(self, reason: str) -> None:
        """Log out, if the appliance knows how, and close the connections."""
        await self.session.close(reason)
        await self.http.close()

    async def _log_in(self, password: str) -> Login:
        """Section "Setting up an authenticated session". The answer echoes the password."""
        answer = await self.http.send(
            LOGIN, is_login=True, json={"name": self._username, "password": password}
        )
        if answer.meaning is Meaning.NO_CREDENTIALS:
            raise CredentialsRefused(self.name, answer.status)
        body, cookie = _object(answer, self.name), session_cookie(answer)
        # ASSUMED: a well-formed answer without a session is a no as well, and not to be repeated.
        if not cookie or not _is_well(body):
            raise CredentialsRefused(self.name, answer.status)
        return Login(
            cookie,
            DeviceIdentity(
                model=_text(body.get("model")),
                serial=_text(body.get("serial")),
                version=_text(body.get("product_version")),
            ),
        )

    async def _log_out(self, login: Login) -> None:
        await self.http.send(LOGOUT, sign=lambda: {"Cookie": login.cookie})

    async def _ask_token(self, session: Opened[Login]) -> Answer:
        return await self._send(TOKEN, session, json={"reqAction": 22})

    async def _send(
        self, operation: Operation, session: Opened[Login], **request: Unpack[Request]
    ) -> Answer:
        """Send in the session; the cookie goes back byte for byte, and a rotated one is kept."""
        with self.session.using(session):
            answer = await self.http.send(
                operation, sign=lambda: {"Cookie": self.session.proof(session).cookie}, **request
            )
        if answer.meaning is Meaning.NO_SESSION:
            return answer  # what a stranger is given is no rotation
        rotated = session_cookie(answer)
        if rotated and rotated != session.token.cookie:
            self.session.replace(session, Login(rotated, session.token.identity))
        elif rotated == "":
            self.session.give_up(session)
        return answer


def _object(answer: Answer, name: str) -> dict[str, Json]:
    if answer.meaning is not Meaning.DONE:
        raise problem(answer, name)
    body = phones.parse_lenient(answer)
    if not isinstance(body, dict):
        raise unexpected("is no JSON object", answer.status)
    return body


def _is_well(body: dict[str, Json]) -> bool:
    return body.get("errorType") in (None, 0, "0")


def _envelope(answer: Answer, name: str) -> dict[str, Json]:
    """Read the vendor's envelope; `errorType` other than 0 is a failure even under 200."""
    body = _object(answer, name)
    if not _is_well(body):
        raise unexpected(f"reports the error type {body['errorType']!r:.20}", answer.status)
    return body


def _token(answer: Answer, name: str) -> str:
    token = _envelope(answer, name).get("token")
    if not isinstance(token, str) or not token:
        raise unexpected("has no upload token", answer.status)
    return token


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
