"""Nothing that holds a secret shows it. That the scan can fail: `test_canaries.py`."""

import asyncio
import base64
import dataclasses
import importlib
import inspect
import io
import json
import logging
import pkgutil
import pprint
import ssl
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Final, Literal, Protocol

import pytest
from multidict import CIMultiDict
from pydantic import BaseModel, SecretStr
from rich.pretty import pretty_repr

import service
from service.appliances.answers import Answer
from service.appliances.credentials import Credentials
from service.appliances.entries import Entry, EntrySecret, Known
from service.appliances.fortiauthenticator import BALANCE, FortiAuthenticator
from service.appliances.fortivoice import LOGIN, FortiVoice, Login
from service.appliances.http import Http
from service.appliances.inventory import Inventory
from service.appliances.phones import parse_lenient
from service.appliances.ports import Reading, Upload
from service.appliances.session import Opened, Session
from service.appliances.transport import Asked, Reply
from service.client import Draft
from service.consumers.settling import Delivery
from service.errors import Code, CourierError, Failed
from service.handlers import Heard, Outcome
from service.messages.commands import ActivateSmsLicense, decode
from service.messages.results import DeviceIdentity, SmsActivation
from service.messages.wire import parse_json
from service.parking.message import Held
from service.parking.parked import Taken
from service.settings import Postgres, Settings
from service.telemetry import configure, log, redact
from tests.support.canaries import (
    Canaries,
    shown_by_errors,
)
from tests.unit.amqp import properties, text
from tests.unit.fakes import LIMITS, RULES
from tests.unit.making import body, command, delivery, received

LICENSE: Final = "AbCd-1234-EfGh-5678-IjKl"
CONTENT: Final = b"a canary \x00\xff, in a file"
FILE: Final = {"name": "a.lic", "content": base64.b64encode(CONTENT).decode()}
PASSWORD: Final = "the canary's own password"
COOKIE: Final = "APSCOOKIE_1=canary%3D%0A"
KEY: Final = SecretStr(LICENSE)
NOBODY: Final = DeviceIdentity(model=None, serial=None, version=None)


@pytest.fixture
def canaries() -> Canaries:
    """All the secrets of this file; `canary` itself is known to every scan."""
    known = Canaries()
    known.add("a licence", LICENSE)
    known.add_file(CONTENT)
    return known


def entry(**keys: object) -> Entry:
    table = {"kind": "fortivoice", "url": "https://fvc.example", "username": "u", **keys}
    return Entry.model_validate(table)


class Constant:
    """A secret's place."""

    def read(self) -> str:
        return PASSWORD


def http() -> Http:
    return Http(
        *("fvc-1", "https://fvc.example"),
        tls=ssl.create_default_context(),
        concurrency=1,
        connect_timeout=1,
        read_timeout=1,
        breaker_failures=5,
        writing=asyncio.Lock(),
    )


def taken() -> Taken:
    """A parked command; its producer wrote the licence and a password into the headers, too."""
    headers = {b"password": text(PASSWORD), LICENSE.encode(): text(LICENSE)}
    return Taken(1, properties(headers), body(data={"license": LICENSE}))


def refused() -> Credentials:
    credentials = Credentials("fvc-1", Constant(), RULES)
    credentials.note_refused(credentials.take())
    return credentials


async def log_in(_: str) -> str:
    return COOKIE


VALUES: Final[dict[str, Callable[[], object]]] = {
    "a command": lambda: command(data={"license": LICENSE}),
    "a command's data": lambda: command(data={"license": LICENSE}).data,
    "a command with a file": lambda: command("apply-voice-license", {"file": FILE}),
    "a file command's data": lambda: command("apply-voice-license", {"file": FILE}).data,
    "what was received": lambda: received(command(data={"license": LICENSE})),
    "a delivery": lambda: Delivery(delivery(), "courier.activate-sms-license"),
    "a draft": lambda: Draft("activate-sms-license", {"license": LICENSE}, "c-1"),
    "a result": lambda: Outcome(SmsActivation.of(ActivateSmsLicense(appliance="a", license=KEY))),
    "settings": lambda: Settings.load(broker_url="amqp://u:canary@a/,amqps://u:canary@b/"),
    "settings with a database": lambda: Settings.load(ledger_url="postgresql://u:canary@db/c"),
    "a database": lambda: Postgres(SecretStr("postgresql://u:canary@db/c?password=canary")),
    "a database with an @": lambda: Postgres(
        SecretStr("postgresql://db/c?user=u&password=se@canary")
    ),
    "an entry": lambda: entry(password_env="FVC"),
    "an entry's secret": lambda: EntrySecret("fvc-1", entry(password_env="FVC")),
    "a known entry": lambda: Known(
        *(entry(password_env="FVC"), ssl.create_default_context()),
        *(EntrySecret("fvc-1", entry(password_env="FVC")), b"-----BEGIN PRIVATE KEY-----"),
    ),
    "a login": lambda: Login(COOKIE, NOBODY),
    "an open cookie session": lambda: Opened(Login(COOKIE, NOBODY)),
    "an open Basic session": lambda: Opened("Basic canary"),
    "credentials": refused,
    "a session": lambda: Session("fvc-1", Constant(), RULES, login=log_in),
    "connections": http,
    "a FortiAuthenticator": lambda: adapter(FortiAuthenticator),
    "a FortiVoice": lambda: adapter(FortiVoice),
    "an inventory": lambda: Inventory([adapter(FortiVoice)], LIMITS),
    "an upload": lambda: Upload("license_canary", Opened(Login(COOKIE, NOBODY))),
    "an answer": lambda: Answer(
        LOGIN, 200, CIMultiDict({"Set-Cookie": COOKIE}), b'{"password": "canary"}'
    ),
    "what is asked": lambda: Asked("POST", "https://a/", {"Cookie": COOKIE}, b"canary"),
    "what came back": lambda: Reply(
        200, CIMultiDict({"Set-Cookie": COOKIE}), b'{"password": "canary"}', 0.0
    ),
    "a reading": lambda: Reading("FabricAuthenticate", 200, {"token": "canary"}),
    "what was taken from the parked queue": taken,
    "a parked message": lambda: Held.of(taken()),
    "what is told of a parked message": lambda: Held.of(taken()).message,
    "the properties of a parked message": lambda: Held.of(taken()).properties,
    "what was said": lambda: Heard(Failed(Code.UNREACHABLE, "no answer")),
}
"""Whatever holds a secret, or came from something that did."""

SHOWN: Final[dict[str, Callable[[object], str]]] = {
    "its repr": repr,
    "its str": str,
    "its format": lambda value: f"{value}",
    "pprint": pprint.pformat,
    "rich": pretty_repr,
    "its fields": lambda value: f"{vars(value)}" if isinstance(value, BaseModel) else "",
    "its dump": lambda value: f"{value.model_dump()}" if isinstance(value, BaseModel) else "",
    "its JSON": lambda value: value.model_dump_json() if isinstance(value, BaseModel) else "",
}


def adapter(kind: type[FortiAuthenticator | FortiVoice]) -> FortiAuthenticator | FortiVoice:
    return kind(http(), username="u", secret=Constant(), rules=RULES)


@pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)
def test_no_value_shows_its_secret(make: Callable[[], object], canaries: Canaries) -> None:
    """Not by itself, not in a list, not as a field of a line."""
    value, stream = make(), io.StringIO()
    configure(log_format="json", level="DEBUG", stream=stream)
    log.debug("told", told=value, inside=[value])
    told = [(by, show(value) + show([value])) for by, show in SHOWN.items()]
    assert [] == canaries.find([*told, ("the line", stream.getvalue())])


HARMLESS: Final = {
    *("Operation", "Rules", "Limits", "Status", "Visit", "Story", "Retry", "Plan", "Outcome"),
    *("CommandData", "QueryDevices", "QuerySmsBalance", "Envelope", "Identity", "Frozen", "Event"),
    *("Route", "Forecast", "Selection"),
    *("_File", "_Said", "_Flight", "_Station", "Exchange", "Queue", "Count", "Claim", "Parts"),
    *("Place", "Followed", "Line", "Look", "Minute", "Sources", "Standing", "_Held", "_Story"),
    *("QueryApplianceStatus", "Part", "_Pages", "_Refusals", "_Run", "Delays"),
    "_Message",  # has one, and never leaves the function that makes it
}
"""What has no secret in it, by what it is for."""
TOLD: Final = (
    *("messages.results", "messages.events", "messages.settled", "ledger"),
    *("checks", "cli", "demo", "simulator"),
)
"""What events tell, what the ledger keeps of them; what people's programs are about."""


def classes() -> Iterator[type]:
    """Every class of the service."""
    for module in pkgutil.walk_packages(service.__path__, "service."):
        if not module.name.startswith((*(f"service.{part}" for part in TOLD), "service.__main__")):
            for _, each in inspect.getmembers(
                importlib.import_module(module.name), inspect.isclass
            ):
                if each.__module__ == module.name:
                    yield each


def test_every_class_with_fields_is_looked_at() -> None:
    """A new one is put into the table of values, or is said to be harmless."""
    seen = {type(make()).__name__ for make in VALUES.values()} | {"LicenseFile"}
    generated = {
        each.__name__
        for each in classes()
        if dataclasses.is_dataclass(each) or issubclass(each, BaseModel)
    }
    assert set() == generated - seen - HARMLESS
    assert set() == HARMLESS - generated


def test_no_other_class_shows_anything() -> None:
    """Their `repr` is Python's own: a class name and an address."""
    assert [] == [
        each
        for each in classes()
        if not (dataclasses.is_dataclass(each) or issubclass(each, BaseModel | Enum | Exception))
        and not (each.__repr__ is object.__repr__ and each.__str__ is object.__str__)
        and Protocol not in each.__bases__
        and not issubclass(each, dict)
    ]


# Errors and lines.

UNREADABLE: Final[dict[str, Callable[[], object]]] = {
    "a command that is cut off": lambda: decode(body(data={"license": LICENSE})[:-1]),
    "a command that is no UTF-8": lambda: decode(body(data={"license": LICENSE}) + b"\xff"),
    "a licence that is too long": lambda: decode(body(data={"license": LICENSE + "x"})),
    "a field that is a licence": lambda: decode(body(data={LICENSE: 1})),
    "JSON with a key twice": lambda: parse_json(f'{{"{LICENSE}": 1, "{LICENSE}": 2}}'.encode()),
    "a login answer that is cut off": lambda: parse_lenient(answer(b'{"password": "canary')),
    "a login answer that is no UTF-8": lambda: parse_lenient(answer(b'{"password": "canary"}\xff')),
    "a login answer that is HTML": lambda: parse_lenient(answer(b"<h1>canary</h1>")),
    "a balance that is no JSON": lambda: answer(b"canary\xff").json(),
    "a password in the environment": lambda: EntrySecret("a", entry(password_env="FVC")).read(),
    "a password in a file": lambda: EntrySecret("a", entry(password_file="secret")).read(),
    "an .env": Settings.load,
    "an entry with a password": lambda: entry(password="canary"),
    "an address with a password": lambda: entry(url="https://u:canary@h", password_env="FVC"),
}


def answer(content: bytes) -> Answer:
    return Answer(BALANCE, 200, CIMultiDict(), content)


@pytest.mark.parametrize("read", UNREADABLE.values(), ids=UNREADABLE)
def test_no_error_shows_what_could_not_be_read(
    read: Callable[[], object],
    canaries: Canaries,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor does an error that stands behind it, where it is printed with it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FVC", "canary\udcff")
    Path("secret").write_bytes(b"canary\xff")
    Path(".env").write_bytes(b"COURIER_BROKER_URL=amqp://u:canary@h/\xff")
    with pytest.raises((CourierError, ValueError)) as caught:
        read()
    assert [] == canaries.find(shown_by_errors([caught.value]))


async def test_no_error_shows_a_header_that_cannot_be_sent(canaries: Canaries) -> None:
    """A cookie that is no ASCII never leaves, and nobody reads it in the error."""
    with pytest.raises(Failed) as caught:
        await http().send(BALANCE, sign=lambda: {"Cookie": f"{COOKIE}é"})
    assert [] == canaries.find(shown_by_errors([caught.value]))


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_traceback_shows_a_local_variable(log_format: Literal["json", "console"]) -> None:
    """In neither format, whoever logs the exception; the libraries' own default would."""
    stream = io.StringIO()
    configure(log_format=log_format, level="DEBUG", stream=stream)
    try:
        fails_with_a_local(PASSWORD)
    except ValueError as error:
        log.exception("internal-error")
        log.error("internal-error", exc_info=error)
        logging.getLogger("library").exception("failed")
    told = stream.getvalue()
    assert 3 <= told.count("in fails_with_a_local")
    assert [] == Canaries().find([("the lines", told)])


def fails_with_a_local(password: str) -> None:
    key = password * 2
    raise ValueError(len(key))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (repr(f"\n{LICENSE}"), "'\\n****-IjKl'"),
        (f"license_{LICENSE}_x", "license_****-IjKl_x"),
        (f"%0A{LICENSE}%0A", "%0A****-IjKl%0A"),
        ("amqp://u:a@canary@h/v", "amqp://***@h/v"),
        ("amqp://u:canary@a,amqp://u:canary@b/a@b", "amqp://***@a,amqp://***@b/a@b"),
        (repr("\nAPSCOOKIE_1=canary; path=/"), "'\\nAPSCOOKIE_1=***; path=/'"),
        (repr("\tBasic canary"), "'\\tBasic ***'"),
        ("f3cd522e-1948-43b0-b490-493a9659023b", "f3cd522e-1948-43b0-b490-493a9659023b"),
    ],
)
def test_what_stands_around_a_secret_does_not_hide_it(text: str, told: str) -> None:
    """A letter before it, as the repr of a line break has one, or a second @ in a password."""
    assert told == redact(text)


def test_a_mappings_keys_are_redacted_like_its_values() -> None:
    """The name of an unknown field may be a licence."""
    stream = io.StringIO()
    configure(log_format="json", level="DEBUG", stream=stream)
    log.debug("told", headers={LICENSE: 1})
    assert {"****-IjKl": 1} == json.loads(stream.getvalue())["headers"]
