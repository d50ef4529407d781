"""`python -m tests.benchmarks.appliances`: many appliances that cost next to nothing.

What is measured beside them must be the limit, not they: one process, answers made beforehand, no
framework. They are as strict as the measured work needs (credentials, sessions, licences that add
only once); how the vendor's devices really behave is the business of `courier simulate`.
"""

import argparse
import asyncio
import base64
import importlib.util
import json
import re
import secrets
import signal
import ssl
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache
from pathlib import Path
from typing import Final, Protocol, cast
from urllib.parse import parse_qsl

import trustme

from service.simulator import phones, samples

_HOST: Final = "127.0.0.1"
_PAGE: Final = 500
_ADDED: Final = 1000
_BALANCE: Final = b"/api/v1/fortiguardmessages/"
_LOGIN: Final = b"/api/v1/VoiceadminLogin"
_DEVICES: Final = b"/api/v1/DeviceSip_phone"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_COOKIE: Final = "APSCOOKIE_4123456789"
_JSON: Final = b"Content-Type: application/json\r\n"


class _Clock:
    """The `Date` header, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._header = b""

    def header(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._header = f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
        return self._header


_clock: Final = _Clock()


def _answer(status: bytes, body: bytes = b"", headers: bytes = b"") -> bytes:
    kind = _JSON if body else b""
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    return b"".join((b"HTTP/1.1 ", status, b"\r\n", _clock.header(), kind, headers, length, body))


@dataclass
class Counts:
    """What happened at an appliance.

    Attributes:
        connections: those that were opened, as far as TLS.
        writes: licences that were sent.
        added: those of them that were new.
    """

    requests: int = 0
    logins: int = 0
    connections: int = 0
    writes: int = 0
    added: int = 0


@dataclass
class FortiAuthenticator:
    """Balance and licences, by HTTP Basic."""

    kind = "fortiauthenticator"
    name: str
    username: str = "webadmin"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(15))
    counts: Counts = field(default_factory=Counts)
    hangs: bool = False
    total: int = 1000
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._proof = b"Basic " + base64.b64encode(f"{self.username}:{self.password}".encode())
        self._balance = self._body()

    def answer(self, method: bytes, path: bytes, head: bytes, body: bytes) -> bytes:
        if path != _BALANCE:
            return _answer(b"404 Not Found")
        if self._proof not in head:
            return _answer(b"401 Unauthorized")
        if method == b"GET":
            return _answer(b"200 OK", self._balance)
        licence = str(json.loads(body)["license"])
        self.counts.writes += 1
        if licence not in self.used:
            self.used.add(licence)
            self.counts.added += 1
            self.total += _ADDED
            self._balance = self._body()
        return _answer(b"201 Created")

    def _body(self) -> bytes:
        figures = {"available_sms": self.total - 40, "total_sms": self.total, "used_sms": 40}
        return json.dumps(figures).encode()


@dataclass
class FortiVoice:
    """Login and the list of phones, in a cookie session."""

    kind = "fortivoice"
    name: str
    devices: int
    username: str = "admin"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(15))
    counts: Counts = field(default_factory=Counts)
    hangs: bool = False

    def __post_init__(self) -> None:
        self._sessions: set[bytes] = set()
        self._login = samples.login(self.username, self.password, f"FV-{self.name}").encode()

    def answer(self, method: bytes, path: bytes, head: bytes, body: bytes) -> bytes:
        resource, _, query = path.partition(b"?")
        if resource == _LOGIN and method == b"POST":
            return self._log_in(body)
        if not any(cookie in head for cookie in self._sessions):
            refusal = samples.refusal(7, "Access denied", 1)
            return _answer(b"403 Forbidden", refusal.encode())
        if resource != _DEVICES:
            return _answer(b"200 OK", b"{}")  # the logout, for one
        asked = dict(parse_qsl(query.decode()))
        body = page(self.devices, int(asked["startIndex"]), int(asked["pageSize"]))
        return _answer(b"200 OK", body)

    def _log_in(self, body: bytes) -> bytes:
        self.counts.logins += 1
        if json.loads(body) != {"name": self.username, "password": self.password}:
            return _answer(b"403 Forbidden", samples.LOGIN_REFUSED.encode())
        session = f"{_COOKIE}={samples.cookie_value()}"
        self._sessions.add(session.encode())
        cookie = f"Set-Cookie: {session}; path=/; secure; httponly\r\n"
        return _answer(b"200 OK", self._login, cookie.encode())


Appliance = FortiAuthenticator | FortiVoice


@cache
def page(devices: int, start: int, size: int) -> bytes:
    """A page of the list; the vendor's lone backslashes are doubled, so that all can read it."""
    rows = range(min(start, devices), min(start + size, devices))
    texts = ",\n".join(phones.phone_text(index, filtered=False) for index in rows)
    more = "true" if rows.stop < devices else "false"
    return (
        '{"objectID": "DeviceSip_phoneCollection:{D:system}", "reqAction": 1,'
        f' "totalRemoteCount": {devices},"subCount": {len(rows)},"remoteSorting": true,'
        f'"nextPage": {more},"nodePermission": 3,"collection": [\n{texts}\n]\n}}'
    ).encode()


class Answering(Protocol):
    """Whatever answers requests."""

    hangs: bool
    counts: Counts

    def answer(self, method: bytes, path: bytes, head: bytes, body: bytes) -> bytes: ...


class Connection(asyncio.Protocol):
    """One connection: requests in, answers out, in order; none is pipelined."""

    def __init__(self, served: Answering, delay: Callable[[], float]) -> None:
        self._served = served
        self._delay = delay
        self._given = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are no subclass of it.
        self._transport = cast("asyncio.Transport", transport)
        self._served.counts.connections += 1

    def data_received(self, data: bytes) -> None:
        self._given = given = self._given + data
        end = given.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head, body = given[:end], given[end:]
        length = _LENGTH.search(head)
        if length and len(body) < int(length[1]):
            return
        self._given = b""
        method, path, _ = head.split(b" ", 2)
        self._served.counts.requests += 1
        if not self._served.hangs:
            self._tell(self._served.answer(method, path, head, body), self._delay())

    def _tell(self, answer: bytes, delay: float) -> None:
        if delay:
            asyncio.get_running_loop().call_later(delay, self._write, answer)
        else:
            self._transport.write(answer)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


@dataclass
class Control:
    """What can be asked and told over plain HTTP: `GET /counts`, `POST /hang/NAME`, `/delay/MS`."""

    appliances: dict[str, Appliance]
    delay: float
    hangs: bool = False
    counts: Counts = field(default_factory=Counts)

    def answer(self, method: bytes, path: bytes, head: bytes, body: bytes) -> bytes:
        del head, body
        if method == b"GET":
            told = {name: vars(each.counts) for name, each in self.appliances.items()}
            return _answer(b"200 OK", json.dumps(told).encode())
        _, order, value = path.decode().split("/")
        if order == "delay":
            self.delay = float(value) / 1000
        else:
            self.appliances[value].hangs = order == "hang"
        return _answer(b"200 OK", b"{}")


async def play(given: argparse.Namespace) -> None:
    """Play them all until SIGTERM."""
    appliances: list[Appliance] = [
        *(FortiAuthenticator(f"fac-{number + 1}") for number in range(given.fortiauthenticators)),
        *(FortiVoice(f"fvc-{number + 1}", given.devices) for number in range(given.fortivoices)),
    ]
    control = Control({each.name: each for each in appliances}, given.delay / 1000)
    if given.fortivoices:
        for start in range(0, given.devices, _PAGE):
            page(given.devices, start, _PAGE)
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(_HOST).configure_cert(tls)
    ports = [await _listen(each, control, tls) for each in appliances]
    ca = given.directory.resolve() / "ca.pem"
    ca.parent.mkdir(parents=True, exist_ok=True)
    authority.cert_pem.write_to_path(ca)
    inventory = write_inventory(ca, zip(appliances, ports, strict=True))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    where = f"http://{_HOST}:{await _listen(control, control, None)}"
    sys.stdout.write(json.dumps({"inventory": str(inventory), "control": where}) + "\n")
    sys.stdout.flush()
    await stop.wait()


async def _listen(served: Answering, control: Control, tls: ssl.SSLContext | None) -> int:
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(served, (lambda: control.delay) if tls else lambda: 0.0),
        *(_HOST, 0),
        ssl=tls,
        backlog=1024,
    )
    return int(server.sockets[0].getsockname()[1])


def write_inventory(ca: Path, appliances: Iterable[tuple[Appliance, int]]) -> Path:
    """Write an inventory beside the authority, as `courier simulate` does."""
    tables = []
    for appliance, port in appliances:
        password = ca.with_name(f"{appliance.name}.password")
        password.touch(mode=0o600)
        password.write_text(appliance.password)
        entry = {
            "kind": appliance.kind,
            "url": f"https://{_HOST}:{port}",
            "username": appliance.username,
            "password_file": str(password),
            "ca_file": str(ca),
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in entry.items()]
        tables.append("\n".join([f"[appliances.{appliance.name}]", *lines]))
    inventory = ca.with_name("appliances.toml")
    inventory.write_text("\n\n".join(tables) + "\n")
    return inventory


def main() -> None:
    """Read the command line, and play."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.appliances")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--fortiauthenticators", type=int, default=10)
    parser.add_argument("--fortivoices", type=int, default=0)
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--delay", type=float, default=0.0, help="milliseconds before an answer")
    given = parser.parse_args()
    # It is there where the benchmarks' own tools are.
    quicker = importlib.util.find_spec("uvloop") is not None
    loop = importlib.import_module("uvloop").new_event_loop if quicker else None
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(play(given))


if __name__ == "__main__":
    main()
