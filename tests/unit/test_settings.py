"""What can be set, and how clearly a wrong value is refused."""

from pathlib import Path
from typing import Final

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import SecretStr

from service.errors import ConfigurationError
from service.settings import Settings

VARIABLES: Final[dict[str, tuple[str, object, list[str]]]] = {
    "broker_url": (
        "amqps://u:canary@a/v,amqp://b:5673",
        "amqps://u:canary@a/v,amqp://b:5673",
        ["http://canary/", "amqp://", "canary", "", "amqp://a,", "amqp://canary:port/"],
    ),
    "broker_password_file": ("/run/p", Path("/run/p"), []),
    "broker_ca_file": ("/run/ca", Path("/run/ca"), []),
    "broker_cert_file": ("/run/cert", Path("/run/cert"), []),
    "broker_key_file": ("/run/key", Path("/run/key"), []),
    "appliances_file": ("/etc/a.toml", Path("/etc/a.toml"), []),
    "ledger_url": (
        "postgresql://u:canary@db/courier",
        "postgresql://u:canary@db/courier",
        ["mysql://canary", "sqlite:///", "postgresql://", "canary.db", ""],
    ),
    "ledger_retention": ("2592000.5", 2592000.5, ["0", "2591999", "-1", "canary"]),
    "source": ("urn:courier:1%2f", "urn:courier:1%2f", ["canary courier", "", "/canary/%zz", "/é"]),
    "http_host": ("0.0.0.0", "0.0.0.0", []),  # noqa: S104  nothing listens there
    "http_port": ("0", 0, ["65536", "-1", "canary", "80.5"]),
    "page": ("true", True, ["", "2", "canary"]),
    "log_format": ("console", "console", ["canary", "JSON"]),
    "log_level": ("DEBUG", "DEBUG", ["canary", "debug", "TRACE"]),
    "prefetch": ("7", 7, ["0", "1001", "canary"]),
    "retry_delays": (" 1, 2,600", (1, 2, 600), ["", "0", "5,", "1.5", "-1", "canary", "5;30"]),
    "command_ttl": ("0.5", 0.5, ["0", "-1", "canary"]),
    "recovery_ttl": ("60", 60.0, ["0", "canary"]),
    "credentials_cooldown": ("1", 1.0, ["0", "canary"]),
    "session_idle": ("0.5", 0.5, ["0", "-1", "canary"]),
    "login_budget": ("1", 1, ["0", "-1", "1.5", "canary"]),
    "breaker_failures": ("1", 1, ["0", "-1", "1.5", "canary"]),
    "drain_timeout": ("1", 1.0, ["0", "canary"]),
    "watchdog_timeout": ("0", 0.0, ["-1", "inf", "canary"]),
}
"""Each setting: a text, what it is read as, and texts that are refused."""

WRONG: Final = [(name, text) for name, (_, _, wrong) in VARIABLES.items() for text in wrong]


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An empty folder and no variable of ours, whatever the developer has set."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"COURIER_{name.upper()}", raising=False)
    return monkeypatch


def plain(settings: Settings, name: str) -> object:
    value: object = getattr(settings, name)
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def test_every_setting_is_tested() -> None:
    """The table of this file is complete."""
    assert set(VARIABLES) == set(Settings.model_fields)


def test_the_defaults_are_those_of_interface_md() -> None:
    """The service starts without a single variable, on one machine."""
    expected = {
        "broker_url": "amqp://guest:guest@localhost:5672/",
        "appliances_file": Path("appliances.toml"),
        "ledger_url": "sqlite:///courier.db",
        "ledger_retention": 34560000,
        "source": "/courier",
        "http_host": "127.0.0.1",
        "http_port": 8080,
        "page": None,
        "log_format": None,
        "log_level": "INFO",
        "prefetch": 50,
        "retry_delays": (5, 30, 120, 600),
        "command_ttl": 3600,
        "recovery_ttl": 86400,
        "credentials_cooldown": 300,
        "session_idle": 600,
        "login_budget": 10,
        "breaker_failures": 5,
        "drain_timeout": 25,
        "watchdog_timeout": 300,
    } | dict.fromkeys(name for name in VARIABLES if name.endswith("_file"))
    settings = Settings.load()
    assert expected | {"appliances_file": Path("appliances.toml")} == {
        name: plain(settings, name) for name in VARIABLES
    }


@pytest.mark.parametrize(
    ("host", "page", "shown"),
    [
        *((host, None, True) for host in ("127.0.0.1", "127.8.0.1", "::1", "localhost")),
        *((host, None, False) for host in ("0.0.0.0", "::", "10.0.0.7", "courier.example")),  # noqa: S104  nothing listens there
        ("127.0.0.1", False, False),
        ("10.0.0.7", True, True),
    ],
)
def test_the_page_is_on_where_only_this_machine_gets_at_it(
    host: str, page: bool | None, shown: bool
) -> None:
    """Unless it is said; by which names it may be asked for is bounded until it is said, too."""
    settings = Settings.load(http_host=host, page=page)
    assert shown is settings.shows_page
    expected = None if page else {"localhost", "127.0.0.1", "::1", host}
    assert expected == settings.page_names


@pytest.mark.parametrize("name", VARIABLES)
def test_a_setting_is_read_from_its_variable(name: str, environment: pytest.MonkeyPatch) -> None:
    """Each setting has one variable, COURIER_ and its name."""
    text, expected, _ = VARIABLES[name]
    environment.setenv(f"COURIER_{name.upper()}", text)
    assert expected == plain(Settings.load(), name)


def test_the_environment_wins_over_the_file(environment: pytest.MonkeyPatch) -> None:
    """The order is: given in code, environment, .env."""
    Path(".env").write_text("COURIER_PREFETCH=1\nCOURIER_HTTP_PORT=1\nOTHER=x\n", "utf-8")
    environment.setenv("COURIER_PREFETCH", "2")
    environment.setenv("COURIER_COMMAND_TTL", "2")
    settings = Settings.load(command_ttl=3)
    assert (1, 2, 3) == (settings.http_port, settings.prefetch, settings.command_ttl)


@pytest.mark.parametrize(("name", "text"), WRONG)
def test_a_wrong_value_is_named_and_not_repeated(
    name: str, text: str, environment: pytest.MonkeyPatch
) -> None:
    """The error names the variable and keeps the value, which may hold a password, to itself."""
    environment.setenv(f"COURIER_{name.upper()}", text)
    with pytest.raises(ConfigurationError, match=rf"^COURIER_{name.upper()}\b") as caught:
        Settings.load()
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_every_mistake_has_a_line_of_its_own(environment: pytest.MonkeyPatch) -> None:
    """Whoever corrects the settings corrects them once."""
    environment.setenv("COURIER_PREFETCH", "canary")
    environment.setenv("COURIER_BROKER_URL", "canary")
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    lines = str(caught.value).splitlines()
    assert {"COURIER_PREFETCH", "COURIER_BROKER_URL"} == {line.split(":")[0] for line in lines}


def test_the_brokers_password_is_not_shown() -> None:
    """Printing the settings prints no password."""
    assert "canary" not in repr(Settings.load(broker_url="amqp://u:canary@host/"))


def test_several_brokers_are_tried_in_their_order() -> None:
    """Each address keeps what it says; what it does not say has our defaults."""
    settings = Settings.load(broker_url="amqps://u:p@a/v?heartbeat=60, amqp://b:5673/%2Fprod")
    first, second = settings.broker_addresses("courier publishing")
    assert ("amqps", "u", "p", "a", "/v") == (
        *(first.scheme, first.user, first.password, first.host, first.path),
    )
    assert ("b", 5673, "/%2Fprod") == (second.host, second.port, second.raw_path)
    assert ["60", "10"] == [url.query["heartbeat"] for url in (first, second)]
    assert {"courier publishing"} == {url.query["name"] for url in (first, second)}


def test_the_brokers_password_may_stand_in_a_file(tmp_path: Path) -> None:
    """The file's first line is the password, for every address, whatever characters it has."""
    file = tmp_path / "password"
    file.write_text("p@ss/w%rd\nsecond line\n", "utf-8")
    settings = Settings.load(
        broker_url="amqp://u:old@a/,amqp://u@b/", broker_password_file=str(file)
    )
    passwords = [url.password for url in settings.broker_addresses("x")]
    assert ["p@ss/w%rd"] * 2 == passwords


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_a_password_file_that_holds_none_is_refused(content: bytes | None, tmp_path: Path) -> None:
    """No password is never silently the one of the URL."""
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    settings = Settings.load(broker_password_file=str(file))
    with pytest.raises(ConfigurationError, match="COURIER_BROKER_PASSWORD_FILE"):
        settings.broker_addresses("x")


def test_tls_is_set_by_files(tmp_path: Path) -> None:
    """Without a file there is no context of ours; with files there is one that verifies."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca")
    server = authority.issue_cert("localhost")
    server.private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert")
    assert Settings.load().broker_tls() is None
    files = {"broker_ca_file": str(tmp_path / "ca"), "broker_cert_file": str(tmp_path / "cert")}
    context = Settings.load(broker_url="amqps://a/", **files).broker_tls()
    only_ca = Settings.load(
        broker_url="amqps://a/", broker_ca_file=files["broker_ca_file"]
    ).broker_tls()
    for each in (context, only_ca):
        assert each is not None
        assert each.check_hostname
        assert 1 == len(each.get_ca_certs())


NAMED: Final = {
    "no CA": ({"ca": None}, "COURIER_BROKER_CA_FILE: No such file or directory"),
    "no certificate": ({"cert": None}, "COURIER_BROKER_CERT_FILE: No such file or directory"),
    "no key": ({"key": None}, "COURIER_BROKER_KEY_FILE: No such file or directory"),
    "a CA that is none": ({"ca": "canary"}, "COURIER_BROKER_CA_FILE: is no PEM"),
    "a certificate that is none": (
        {"cert": "canary"},
        "COURIER_BROKER_CERT_FILE or _KEY_FILE: is no PEM",
    ),
    "a key that is none": (
        {"key": "canary"},
        "COURIER_BROKER_CERT_FILE or _KEY_FILE: is no PEM",
    ),
    "another's key": (
        {"key": "another's"},
        "COURIER_BROKER_KEY_FILE: is not the key of COURIER_BROKER_CERT_FILE",
    ),
    "a locked key": (
        {"key": "locked"},
        "COURIER_BROKER_CERT_FILE or _KEY_FILE: is no PEM, or locked by a password",
    ),
}


@pytest.mark.parametrize(("changed", "expected"), NAMED.values(), ids=NAMED)
def test_a_tls_file_that_cannot_be_used_is_named(
    changed: dict[str, str | None], expected: str, tmp_path: Path
) -> None:
    """A missing or wrong file is one clear error before anything connects; no terminal is asked."""
    authority = trustme.CA()
    client, another = authority.issue_cert("courier"), authority.issue_cert("other")
    locked = load_pem_private_key(client.private_key_pem.bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"canary")
    )
    texts = {"another's": another.private_key_pem.bytes(), "locked": locked, "canary": b"canary"}
    files = {
        "ca": authority.cert_pem.bytes(),
        "cert": client.cert_chain_pems[0].bytes(),
        "key": client.private_key_pem.bytes(),
    }
    for name, content in files.items():
        chosen = changed.get(name, "as it is")
        if chosen is not None:
            (tmp_path / name).write_bytes(texts.get(chosen, content))
    settings = Settings.load(
        broker_url="amqps://a/", **{f"broker_{name}_file": str(tmp_path / name) for name in files}
    )
    with pytest.raises(ConfigurationError) as told:
        settings.broker_tls()
    assert str(told.value).startswith(expected)
    assert "canary" not in str(told.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"broker_url": "amqp://u:canary@a/", "broker_ca_file": "/ca"},
            "COURIER_BROKER_URL: is not amqps://, but files for TLS are set beside it",
        ),
        (
            {"broker_url": "amqps://u:canary@a/", "broker_key_file": "/key"},
            "COURIER_BROKER_KEY_FILE: COURIER_BROKER_CERT_FILE is missing",
        ),
    ],
)
def test_tls_files_that_would_not_be_used_are_refused(
    settings: dict[str, str], expected: str
) -> None:
    """A forgotten letter must not send the password in the clear."""
    with pytest.raises(ConfigurationError) as told:
        Settings.load(**settings).broker_tls()
    assert expected == str(told.value)


@pytest.mark.parametrize(
    ("url", "files", "expected"),
    [
        ("amqps://a/", {"broker_cert_file": "/cert"}, "EXTERNAL"),
        ("amqps://a/", {}, None),
        ("amqps://u:p@a/", {"broker_cert_file": "/cert"}, None),
        ("amqps://u@a/", {"broker_cert_file": "/cert"}, None),
        ("amqps://a/?auth=plain", {"broker_cert_file": "/cert"}, "plain"),
        ("amqp://a/", {"broker_cert_file": "/cert"}, None),
    ],
)
def test_a_certificate_is_the_login_where_the_address_has_none(
    url: str, files: dict[str, str], expected: str | None
) -> None:
    """And nowhere else: a user in the address logs in with a password."""
    (address,) = Settings.load(broker_url=url, **files).broker_addresses("x")
    assert expected == address.query.get("auth")
