"""Clients that talk to the simulated appliances exactly as the vendor's examples do."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from service.simulator import FortiAuthenticator, FortiVoice

BALANCE = "/api/v1/fortiguardmessages/"
LICENCE = "AbCd-1234-EFGH-5678-ijkl"
PAGE = {
    "reqAction": "1",
    "mdomain": "system",
    "startIndex": "0",
    "pageSize": "50",
    "extraParam": "",
}
UNASSIGNED = json.dumps(
    {
        "compoundSearch": [
            {"searchValues": [{"filter_content": 1}], "filter_type": 1, "is_negated": False}
        ]
    }
)
FILE = b"\r\n--not a boundary\r\n\r\n\x00\xff\r\n"
FILE_DIGEST = hashlib.sha256(FILE).hexdigest()


def patience(seconds: float) -> httpx.Timeout:
    """Wait this long for an answer, and long enough for everything else."""
    return httpx.Timeout(10, read=seconds)


def rows(answer: httpx.Response) -> list[dict[str, object]]:
    """Return a phone list's rows, reading the guide's lone backslash as one."""
    listed = json.loads(re.sub(r"(?<!\\)\\(?!\\)", r"\\\\", answer.text))["collection"]
    assert isinstance(listed, list)
    return listed


def macs(answer: httpx.Response) -> list[object]:
    """Return the MAC addresses of a phone list."""
    return [row["mkey"] for row in rows(answer)]


class Sms:
    """A client of a FortiAuthenticator."""

    def __init__(self, http: httpx.AsyncClient, appliance: FortiAuthenticator) -> None:
        self.http = http
        self.appliance = appliance

    async def send(self, method: str, path: str = BALANCE, /, **more: object) -> httpx.Response:
        """Send any request with the right credentials."""
        auth = httpx.BasicAuth(self.appliance.username, self.appliance.password)
        return await self.http.request(
            method,
            self.appliance.url + path,
            **{"auth": auth} | more,  # type: ignore[arg-type]  # whatever httpx takes
        )

    async def total(self) -> object:
        """Ask for the total of SMS."""
        return (await self.send("GET")).json()["total_sms"]

    async def activate(self, licence: object = LICENCE, **more: object) -> httpx.Response:
        """Activate a licence."""
        return await self.send("POST", json={"license": licence}, **more)


class Voice:
    """A client of a FortiVoice, with at most one session."""

    def __init__(self, http: httpx.AsyncClient, appliance: FortiVoice) -> None:
        self.http = http
        self.appliance = appliance
        self.cookie = ""

    async def send(self, method: str, path: str, **more: object) -> httpx.Response:
        """Send any request with the session's cookie; take over a new one."""
        answer = await self.http.request(
            method,
            f"{self.appliance.url}/api/v1/{path}",
            headers={"Cookie": self.cookie} if self.cookie else {},
            **more,  # type: ignore[arg-type]  # whatever httpx takes
        )
        self.http.cookies.clear()
        self.cookie = answer.headers.get("Set-Cookie", self.cookie).rstrip(";")
        return answer

    async def login(self, path: str = "VoiceadminLogin", /, **other: object) -> httpx.Response:
        """Log in, with ``other`` name or password if given."""
        right = {"name": self.appliance.username, "password": self.appliance.password}
        return await self.send("POST", path, json=right | other)

    async def devices(self, **other: object) -> httpx.Response:
        """Ask for a page of phones."""
        return await self.send("GET", "DeviceSip_phone", params=PAGE | other)

    async def token(self, body: object = None) -> httpx.Response:
        """Ask for an upload token."""
        return await self.send("POST", "SysStatusLicinfo", json=body or {"reqAction": 22})

    async def upload(self, token: str, content: bytes = FILE) -> httpx.Response:
        """Upload a licence file."""
        parts = [("license", ("a.lic", content)), ("token", (None, token))]
        return await self.send("POST", "uploadfile/", files=parts)

    async def apply(self, file_id: object, action: object = "5") -> httpx.Response:
        """Apply an uploaded file."""
        body = {"vm_lic_file": file_id, "reqAction": action}
        return await self.send("PUT", "SysStatusLicinfo", json=body)

    async def uploaded(self) -> str:
        """Go as far as the file's id."""
        token = (await self.token()).json()["token"]
        return str((await self.upload(token)).json()["id"])
