"""FortiVoice: licence files and phones over `/api/v1/`, in a cookie session.

Source: FortiVoice Phone System 6.4.0 REST API Reference Guide, the section named at each request.
What the guide leaves open is assumed here as `ASSUMED` comments say.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from service.appliances import phones
from service.appliances.answers import Answer, Kind, Operation, trouble, unexpected
from service.appliances.ports import Upload
from service.appliances.session import CredentialsRefused, Opened, Session
from service.errors import AnswerLost, Code, Failed, Refused
from service.messages.results import DeviceIdentity

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from typing_extensions import Unpack

    from service.appliances.answers import Request
    from service.appliances.http import Http
    from service.appliances.session import Secret
    from service.messages.commands import LicenseFile
    from service.messages.results import DeviceList
    from service.messages.wire import Json

LOGIN = Operation("login", "POST", "/api/v1/VoiceadminLogin", Kind.STEP)
DEVICES = Operation("devices", "GET", "/api/v1/DeviceSip_phone")
TOKEN = Operation("token", "POST", "/api/v1/SysStatusLicinfo", Kind.STEP)
UPLOAD = Operation("upload", "POST", "/api/v1/uploadfile/", Kind.STEP)
APPLY = Operation("apply", "PUT", "/api/v1/SysStatusLicinfo", Kind.WRITE)
_COOKIE = "apscookie"


@dataclass(frozen=True)
class Login:
    """What a login proves itself by, and what it says about the device."""

    cookie: str = field(repr=False)
    identity: DeviceIdentity


class FortiVoice:
    """`VoiceLicensing` and `DeviceInventory` on a FortiVoice."""

    def __init__(self, http: Http, *, username: str, secret: Secret, cooldown: float) -> None:
        """Keep the parts; nothing is sent yet."""
        self.name = http.name
        self._http = http
        self._username = username
        self._session: Session[Login] = Session(
            http.name,
            secret,
            login=self._log_in,
            refused=lambda answer: answer.status == 403,
            cooldown=cooldown,
        )

    async def identity(self) -> DeviceIdentity:
        """Tell what login said. See `VoiceLicensing`."""
        return (await self._session.opened()).token.identity

    async def authorise(self) -> None:
        """Get an upload token and leave it. See `VoiceLicensing`."""
        _token(await self._session.call(self._ask_token))

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
            if answer.status != 200:
                return answer
            return await self._send(
                UPLOAD,
                session,
                # A list, because the file part comes before the token in the vendor's example.
                files=[
                    ("license", (file.name, content, "application/octet-stream")),
                    ("token", (None, _token(answer).encode())),
                ],
            )

        # A session that ends between the two starts again at the token: tokens are the session's.
        answer = await self._session.call(both_steps)
        body = _envelope(answer)
        file_id = body.get("id")
        if not isinstance(file_id, str) or not file_id:
            raise unexpected("has no file id", answer.status)
        return Upload(file_id, used)

    async def apply(self, upload: Upload) -> None:
        """Send the apply once. See `VoiceLicensing`.

        400 is a refusal (section "HTTP response codes"). Nothing documented says afterwards which
        licence is installed, so whatever else is no clear success counts as a lost answer.
        """
        session = upload.session
        if not isinstance(session, Opened):
            raise TypeError("the upload comes from elsewhere")
        answer = await self._send(
            APPLY, session, json={"vm_lic_file": upload.file_id, "reqAction": "5"}
        )
        if answer.status == 400:
            raise Refused(Code.LICENSE_REFUSED, f"{self.name} refuses the licence file", status=400)
        if not _is_success(answer):
            raise AnswerLost(
                Code.UNEXPECTED_ANSWER,
                f"{self.name} did not confirm the licence (status {answer.status})",
                status=answer.status,
            )

    async def devices(
        self, *, search: str | None, unassigned_only: bool, start: int, limit: int
    ) -> DeviceList:
        """List phones page by page. See `DeviceInventory` and the module `phones`."""

        async def page(offset: int, size: int) -> dict[str, Json]:
            params = phones.query(search, unassigned_only, offset, size)
            answer = await self._session.call(
                lambda session: self._send(DEVICES, session, params=params)
            )
            return _envelope(answer)

        return await phones.read(
            page, search=search, unassigned_only=unassigned_only, start=start, limit=limit
        )

    async def check(self) -> None:
        """Log in. See `Appliance`."""
        await self._session.opened()

    def writing(self) -> AbstractAsyncContextManager[None]:
        """Hold the right to write. See `Appliance`."""
        return self._http.writing()

    async def close(self) -> None:
        """Forget the session and close the connections; no logout is documented."""
        self._session.close()
        await self._http.close()

    async def _log_in(self, password: str) -> Login:
        """Section "Setting up an authenticated session". The answer echoes the password."""
        answer = await self._http.send(LOGIN, json={"name": self._username, "password": password})
        if answer.status in {401, 403}:
            raise CredentialsRefused(self.name, answer.status)
        body, cookie = _object(answer), _session_cookie(answer)
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

    async def _ask_token(self, session: Opened[Login]) -> Answer:
        return await self._send(TOKEN, session, json={"reqAction": 22})

    async def _send(
        self, operation: Operation, session: Opened[Login], **request: Unpack[Request]
    ) -> Answer:
        """Send in the session; the cookie goes back byte for byte, and a rotated one is kept."""
        answer = await self._http.send(
            operation, sign=lambda: {"Cookie": self._session.proof(session).cookie}, **request
        )
        rotated = _session_cookie(answer)
        if rotated:
            self._session.replace(session, Login(rotated, session.token.identity))
        elif rotated == "":
            self._session.give_up(session)
        return answer


def _session_cookie(answer: Answer) -> str | None:
    """Find the session in `Set-Cookie`, as `name=value` and undecoded.

    Returns:
        None when nothing is said about it, "" when the appliance says that it is over.
    """
    said: str | None = None
    for header in answer.headers.get_list("Set-Cookie"):
        pair, *attributes = header.split(";")
        name, _, value = pair.strip().partition("=")
        if name.lower().startswith(_COOKIE):
            over = value in {"", "0&0", "0%260"} or any(_is_past(part) for part in attributes)
            said = (said or "") if over else f"{name}={value}"
    return said


def _is_past(attribute: str) -> bool:
    """Tell an attribute by which a server ends a cookie (RFC 6265, section 5.2)."""
    name, _, value = attribute.strip().lower().partition("=")
    if name == "max-age":
        return value.lstrip("-").isdecimal() and int(value) <= 0
    if name != "expires":
        return False
    try:
        return parsedate_to_datetime(value).timestamp() <= time.time()
    except (ValueError, TypeError):
        return False


def _object(answer: Answer) -> dict[str, Json]:
    if answer.status != 200:
        raise trouble(answer)
    body = phones.parse_lenient(answer.body)
    if not isinstance(body, dict):
        raise unexpected("is no JSON object", answer.status)
    return body


def _is_well(body: dict[str, Json]) -> bool:
    return body.get("errorType") in (None, 0)


def _envelope(answer: Answer) -> dict[str, Json]:
    """Read the vendor's envelope; `errorType` other than 0 is a failure even under 200."""
    body = _object(answer)
    if not _is_well(body):
        raise unexpected(f"reports the error type {body['errorType']!r:.20}", answer.status)
    return body


def _is_success(answer: Answer) -> bool:
    try:
        _envelope(answer)
    except Failed:
        return False
    return True


def _token(answer: Answer) -> str:
    token = _envelope(answer).get("token")
    if not isinstance(token, str) or not token:
        raise unexpected("has no upload token", answer.status)
    return token


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
