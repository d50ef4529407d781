from __future__ import annotations

import os
import re
import ssl
from typing import TYPE_CHECKING, Protocol

import pytest
import trustme

from service.appliances.inventory import Inventory
from service.appliances.ports import DeviceInventory, SmsLicensing, VoiceLicensing
from service.errors import Code, ConfigurationError, Refused, Waiting
from tests.appliances.pairs import LIMITS, inventory_text

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import EventDict

    from tests.appliances.pairs import Load, Make, Pair

GOOD: dict[str, object] = {
    "kind": "fortivoice",
    "url": "https://fvc.example.net",
    "username": "admin",
    "password_file": __file__,  # any text will do
}
OTHER = GOOD | {"url": "https://fvc-2.example.net"}
THIRD = GOOD | {"url": "https://fvc-3.example.net"}
CANARY = "hunter2"


class Try(Protocol):
    """Loads an inventory of this text and returns what its error says."""

    def __call__(self, text: str | bytes) -> str: ...


@pytest.fixture
def complaint(tmp_path: Path) -> Try:
    def tried(text: str | bytes) -> str:
        path = tmp_path / "appliances.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ConfigurationError) as caught:
            Inventory.load(path, LIMITS)
        for line in str(caught.value).splitlines():
            assert line.startswith(f"{path}: ")
        return str(caught.value).replace(f"{path}: ", "")

    return tried


def warnings(lines: list[EventDict]) -> list[tuple[str, str]]:
    """Return appliance and reason of each warning that a connection is not secure."""
    found = [line for line in lines if line["event"] == "appliance-insecure"]
    assert {"warning"} >= {line["log_level"] for line in found}
    return [(line["appliance"], line["reason"]) for line in found]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("kind", "fortigate", "'fortiauthenticator' or 'fortivoice'"),
        ("kind", 7, "'fortiauthenticator' or 'fortivoice'"),
        ("kind", None, "required"),
        ("url", None, "required"),
        ("url", "", "https://host"),
        ("url", "fvc.example.net", "https://host"),
        ("url", "ftp://fvc.example.net", "https://host"),
        ("url", "https://", "https://host"),
        ("url", "https://[::1", "no address"),
        ("url", "https://fvc.example.net:port", "no address"),
        ("url", "https://fvc.example.net:99999", "no address"),
        ("url", "https://10.0.0.256", "no address"),
        ("url", "https://fvc.example.net/api/v1", "must end after host and port"),
        ("url", "https://fvc.example.net?a=1", "must end after host and port"),
        ("url", "https://fvc.example.net#a", "must end after host and port"),
        ("url", f"https://admin:{CANARY}@fvc.example.net", "must not hold credentials"),
        ("url", "https://admin@fvc.example.net", "must not hold credentials"),
        ("url", f"https://:{CANARY}@fvc.example.net", "must not hold credentials"),
        ("username", None, "required"),
        ("username", "", "at least 1 character"),
        ("password_file", 7, "path"),
        ("password", CANARY, "not permitted"),
        ("verify_tsl", False, "not permitted"),
        ("verify_tls", "no", "boolean"),
        ("max_concurrency", 0, "greater than 0"),
        ("max_concurrency", 2.5, "integer"),
        ("max_concurrency", True, "integer"),
        ("connect_timeout", 0, "greater than 0"),
        ("read_timeout", -1.0, "greater than 0"),
        ("read_timeout", "30", "number"),
    ],
)
def test_a_mistake_is_told_with_its_table_and_key(
    complaint: Try, key: str, value: object, said: str
) -> None:
    """Whoever reads it knows where to look; what stands there is not told, it may be a secret."""
    told = complaint(inventory_text({"fvc-1": GOOD | {key: value}}))

    assert re.fullmatch(rf"\[appliances\.fvc-1\] {key}: .*{re.escape(said)}.*", told)
    assert CANARY not in told


@pytest.mark.parametrize("secrets", [{"password_file": None}, {"password_env": "FVC_PASSWORD"}])
def test_a_secret_stands_in_exactly_one_place(complaint: Try, secrets: dict[str, object]) -> None:
    """Two secrets leave open which one counts; without one nobody can log in."""
    told = complaint(inventory_text({"fvc-1": GOOD | secrets}))

    assert told == "[appliances.fvc-1]: needs password_file or password_env, and not both"


def test_every_mistake_has_its_line(complaint: Try) -> None:
    """A file is corrected in one go."""
    told = complaint(
        inventory_text({"a": GOOD | {"kind": "b", "url": ""}, "c": GOOD | {"usernam": "d"}})
    )

    assert [line.partition(": ")[0] for line in told.splitlines()] == [
        "[appliances.a] kind",
        "[appliances.a] url",
        "[appliances.c] usernam",
    ]


@pytest.mark.parametrize("name", ["FVC", "fvc 1", "-fvc", "fvc_1", "a" * 64])
def test_a_name_that_no_command_could_say_is_a_mistake(complaint: Try, name: str) -> None:
    """Names are lower-case letters, digits and hyphens, as the contract has them."""
    assert f"[appliances.{name}]" in complaint(inventory_text({name: GOOD}))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "[appliances]"),
        ("appliances = 7", "[appliances]"),
        ('[appliance.fvc-1]\nkind = "fortivoice"', "[appliance]"),
        (inventory_text({"appliances": GOOD | {"kind": "x"}}), "[appliances.appliances] kind"),
    ],
    ids=["empty", "no table", "other table", "an appliance of that name"],
)
def test_a_mistake_outside_the_known_tables_is_told_at_its_place(
    complaint: Try, text: str, place: str
) -> None:
    """The table that is named is the one that stands in the file, or is missing there."""
    assert place in {line.partition(":")[0] for line in complaint(text).splitlines()}


@pytest.mark.parametrize("text", [b"[appliances", b"a = \xff", b"[appliances.a]\n[appliances.a]"])
def test_a_file_that_is_no_toml_is_a_mistake(complaint: Try, text: bytes) -> None:
    """The parser says where it gave up."""
    assert "is not TOML" in complaint(text)


def test_an_inventory_that_cannot_be_read_names_its_setting(tmp_path: Path) -> None:
    """It is the setting that leads to it."""
    for path in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(ConfigurationError, match=rf"^COURIER_APPLIANCES_FILE: {path} "):
            Inventory.load(path, LIMITS)


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\0\xff"])
def test_a_ca_file_that_cannot_be_used_is_a_mistake(
    complaint: Try, tmp_path: Path, content: bytes | None
) -> None:
    """It is read at the start, not at the first command."""
    authority = tmp_path / "ca.pem"
    if content is not None:
        authority.write_bytes(content)

    told = complaint(inventory_text({"fvc-1": GOOD | {"ca_file": str(authority)}}))

    assert re.fullmatch(r"\[appliances\.fvc-1\] ca_file: .+", told)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"", "is empty"),
        (b"\r\n", "is empty"),
    ],
)
def test_a_password_file_that_holds_none_is_a_mistake(
    complaint: Try, tmp_path: Path, content: bytes | None, said: str
) -> None:
    """It is looked at when the inventory is read, not when the first command waits."""
    secret = tmp_path / "password"
    if content is not None:
        secret.write_bytes(content)

    told = complaint(inventory_text({"fvc-1": GOOD | {"password_file": str(secret)}}))

    assert re.fullmatch(rf"\[appliances\.fvc-1\] password_file: .*{said}.*", told)


@pytest.mark.parametrize(("value", "said"), [(None, "cannot be read"), ("", "is empty")])
def test_a_variable_that_holds_no_password_is_a_mistake(
    complaint: Try, monkeypatch: pytest.MonkeyPatch, value: str | None, said: str
) -> None:
    """Whoever forgot to set it learns so at the start."""
    monkeypatch.delenv("FVC_PASSWORD", raising=False)
    if value is not None:
        monkeypatch.setenv("FVC_PASSWORD", value)

    told = complaint(
        inventory_text({"fvc-1": GOOD | {"password_file": None, "password_env": "FVC_PASSWORD"}})
    )

    assert re.fullmatch(rf"\[appliances\.fvc-1\] password_env: .*{said}.*", told)


def test_every_file_that_cannot_be_used_has_its_line(complaint: Try, tmp_path: Path) -> None:
    """Of all tables, in their order."""
    missing = {"password_file": str(tmp_path / "a"), "ca_file": str(tmp_path / "b")}
    told = complaint(
        inventory_text(
            {
                "a": GOOD | {"password_file": missing["password_file"]},
                "b": OTHER | {"ca_file": missing["ca_file"]},
                "c": THIRD | {"password_file": None, "password_env": "NOBODY_HAS_SET_THIS"},
            }
        )
    )

    assert [line.partition(": ")[0] for line in told.splitlines()] == [
        "[appliances.a] password_file",
        "[appliances.b] ca_file",
        "[appliances.c] password_env",
    ]


@pytest.mark.parametrize("key", ["ca_file", "password_file"])
def test_a_path_that_no_file_can_have_is_a_mistake(complaint: Try, key: str) -> None:
    """It is told like any other: an exception would end the watch over the file."""
    told = complaint(inventory_text({"fvc-1": GOOD | {key: "/a\0b"}}))

    assert told.startswith(f"[appliances.fvc-1] {key}: ")


def test_a_ca_file_that_nobody_would_look_at_is_a_mistake(complaint: Try) -> None:
    """Who names an authority wants the certificate verified; verify_tls = false says otherwise."""
    told = complaint(inventory_text({"fvc-1": GOOD | {"ca_file": "/ca", "verify_tls": False}}))

    assert re.fullmatch(r"\[appliances\.fvc-1\]: .*ca_file.*verify_tls = false.*", told)


def test_two_names_for_one_appliance_are_a_mistake(complaint: Try) -> None:
    """Each would write there in its own turn, and the figures would belong to nobody."""
    told = complaint(inventory_text({"a": GOOD, "b": OTHER, "c": GOOD | {"username": "second"}}))

    assert told == "[appliances.c] url: is that of a as well"


async def test_http_is_taken_and_warned_about(make: Make, lines: list[EventDict]) -> None:
    """A laboratory may do without TLS; nobody shall do so without knowing."""
    before = make()
    assert warnings(lines) == []
    await before.serve_with(None)

    pair = make(ca_file=None)
    await pair.read()

    assert (pair.name, "url is http") in warnings(lines)


async def test_an_unverified_certificate_is_taken_and_warned_about(
    make: Make, lines: list[EventDict]
) -> None:
    """`verify_tls = false` must be said to be had; then any certificate will do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("elsewhere.example").configure_cert(context)
    await make().serve_with(context)

    pair = make(verify_tls=False, ca_file=None)
    await pair.read()

    assert (pair.name, "verify_tls is false") in warnings(lines)


async def test_a_url_may_end_in_a_slash(make: Make) -> None:
    """`https://host/` is `https://host`, and paths stay as the vendor has them."""
    pair = make(url=make().simulated.url + "/")

    await pair.read()

    assert pair.requests("other") == 0


async def test_the_password_may_stand_in_the_environment(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read at every login: a new one needs no restart, and one that went away is awaited."""
    monkeypatch.setenv("APPLIANCE_PASSWORD", "of the start")
    pair = make(password_file=None, password_env="APPLIANCE_PASSWORD")
    monkeypatch.delenv("APPLIANCE_PASSWORD")
    with pytest.raises(Waiting, match=r"cannot be read at \$APPLIANCE_PASSWORD$") as caught:
        await pair.read()
    assert caught.value.code is Code.CREDENTIALS_REFUSED

    monkeypatch.setenv("APPLIANCE_PASSWORD", pair.simulated.password)
    await pair.read()

    pair.end_session()
    monkeypatch.setitem(os.environ, "APPLIANCE_PASSWORD", pair.simulated.password)
    await pair.read()
    assert pair.logins(reads=2) == 2


async def test_a_password_file_is_read_again_at_every_login(pair: Pair) -> None:
    """A rotated secret is found there, and a line's end is not part of it."""
    await pair.read()
    for password in ("second", "third"):
        pair.simulated.password = password
        pair.set_secret(password + "\r\n")
        pair.simulated.expire_sessions()
        await pair.read()

    assert pair.logins(reads=3) == 3


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"", b"\r\n"])
async def test_a_password_that_went_away_later_is_waited_for(
    pair: Pair, tmp_path: Path, content: bytes | None
) -> None:
    """Somebody may be writing it just now: nothing is sent without one, and the next is taken."""
    secret = tmp_path / f"{pair.name}.password"
    secret.unlink() if content is None else secret.write_bytes(content)

    with pytest.raises(Waiting, match=rf"the password of {pair.name} ") as caught:
        await pair.read()

    assert caught.value.code is Code.CREDENTIALS_REFUSED
    assert pair.requests(pair.login) == 0
    pair.set_secret(pair.simulated.password)
    await pair.read()


async def test_the_environments_proxies_are_not_used(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way to an appliance is the inventory's, or credentials could go elsewhere."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    await make().read()


def test_appliances_come_in_the_order_of_the_file(load: Load) -> None:
    """Whoever lists them sees what stands there."""
    assert [appliance.name for appliance in load()] == ["fac-1", "fvc-1"]


def test_an_unknown_appliance_is_refused(load: Load) -> None:
    """Names come from the inventory, never addresses from a command."""
    with pytest.raises(Refused, match="fac-2") as caught:
        load().find("fac-2")

    assert caught.value.code is Code.UNKNOWN_APPLIANCE


@pytest.mark.parametrize(
    ("name", "port"),
    [("fac-1", VoiceLicensing), ("fac-1", DeviceInventory), ("fvc-1", SmsLicensing)],
)
async def test_an_appliance_of_another_kind_is_refused(load: Load, name: str, port: type) -> None:
    """Repeating the command will not help: the inventory says what the appliance is."""
    with pytest.raises(Refused, match=name) as caught:
        async with load().visiting(name, port):
            pass

    assert caught.value.code is Code.WRONG_APPLIANCE_KIND


@pytest.mark.parametrize(
    ("name", "port"),
    [("fac-1", SmsLicensing), ("fvc-1", VoiceLicensing), ("fvc-1", DeviceInventory)],
)
async def test_an_appliance_is_given_as_what_it_can_do(load: Load, name: str, port: type) -> None:
    """One appliance may have several capabilities, each its own port."""
    async with load().visiting(name, port) as appliance:
        assert name == appliance.name
        assert isinstance(appliance, port)
