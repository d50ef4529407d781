"""What can be set, from the environment (prefix `COURIER_`), then from `.env`.

Durations are seconds. A value that cannot be used is one clear error with the variable's name
and without the value, which may hold a password.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, PositiveInt, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    SettingsConfigDict,
)
from yarl import URL

from service.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

URI_REFERENCE = r"^(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+$"
"""RFC 3986, as far as a pattern can say it."""

PREFIX = "COURIER_"
Seconds = Annotated[float, Field(gt=0, le=10 * 366 * 86400, allow_inf_nan=False)]
Delay = Annotated[int, Field(ge=1, le=30 * 86400)]
"""Whole seconds; RabbitMQ counts a message's time in 32 bits of milliseconds."""

HEARTBEAT = 10
"""Seconds. A frozen broker is noticed after three of them; the library's default takes 183 s."""


class Source(StrEnum):
    """Where a setting's value came from."""

    ENVIRONMENT = "environment"
    FILE = ".env"
    DEFAULT = "default"


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL database that is named as the ledger.

    Attributes:
        url: as it was set; it may hold a password.
        password_file: holds the password instead, in its first line.
    """

    url: SecretStr
    password_file: Path | None = None

    def password(self) -> str:
        """Read the password; at every connection, so that it can be changed.

        Raises:
            ConfigurationError: there is none to be read.
        """
        return _first_line(self.password_file, "LEDGER_PASSWORD_FILE") or ""

    def __str__(self) -> str:
        """Say where it is, without user, password and options."""
        text = self.url.get_secret_value().partition("://")[2]
        where, _, options = text.partition("?")
        if "@" in options and "@" not in where:
            return "the database"  # nobody can say where its password ends
        return where.rpartition("@")[2]


class Settings(BaseSettings):
    """Every setting of the service. deploy/OPERATIONS.md has the table."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    broker_url: SecretStr = SecretStr("amqp://guest:guest@localhost:5672/")
    broker_password_file: Path | None = None
    broker_ca_file: Path | None = None
    broker_cert_file: Path | None = None
    broker_key_file: Path | None = None
    appliances_file: Path = Path("appliances.toml")
    ledger_url: SecretStr = SecretStr("sqlite:///courier.db")
    ledger_password_file: Path | None = None
    ledger_retention: float = Field(400 * 86400, ge=30 * 86400, le=100 * 366 * 86400)
    source: str = Field("/courier", pattern=URI_REFERENCE, max_length=255)
    http_host: str = "127.0.0.1"
    http_port: int = Field(8080, ge=0, le=65535)
    page: bool | None = None
    log_format: Literal["json", "console"] | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    prefetch: PositiveInt = Field(50, le=1000)
    retry_delays: Annotated[tuple[Delay, ...], NoDecode] = Field((5, 30, 120, 600), min_length=1)
    command_ttl: Seconds = 3600
    recovery_ttl: Seconds = 86400
    credentials_cooldown: Seconds = 300
    session_idle: Seconds = 600
    login_budget: PositiveInt = 10
    breaker_failures: PositiveInt = 5
    drain_timeout: Seconds = 25
    watchdog_timeout: float = Field(300, ge=0, le=10 * 366 * 86400, allow_inf_nan=False)

    @field_validator("retry_delays", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Accept `5,30,120`."""
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",")]
        if not all(part.isdecimal() for part in parts):
            raise ValueError("must be whole seconds, comma-separated, such as 5,30,120,600")
        return tuple(int(part) for part in parts)

    @field_validator("broker_url")
    @classmethod
    def _check_scheme(cls, value: SecretStr) -> SecretStr:
        """Refuse what is no AMQP address before a library does it less clearly."""
        for part in value.get_secret_value().split(","):
            try:
                url = URL(part.strip())
            except ValueError:
                raise ValueError("is not an address") from None
            if url.scheme not in {"amqp", "amqps"} or not url.host:
                raise ValueError("must be amqp:// or amqps:// with a host")
        return value

    @field_validator("ledger_url")
    @classmethod
    def _check_ledger(cls, value: SecretStr) -> SecretStr:
        if not re.match(r"sqlite:///[^:]|postgresql://.", value.get_secret_value()):
            raise ValueError("must be sqlite:///file or postgresql://...")
        return value

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Read the settings; what is given here wins over environment and file.

        Raises:
            ConfigurationError: one line per variable that cannot be used, without its value.
        """
        try:
            return cls(**overrides)  # type: ignore[arg-type]  # checked by pydantic
        except ValidationError as error:
            raise ConfigurationError("\n".join(_explain(error))) from None
        except UnicodeDecodeError:
            raise ConfigurationError(".env: is not UTF-8") from None

    @classmethod
    def given(cls) -> dict[str, Source]:
        """List every variable with our prefix that is set, ours or not, with who set it.

        Raises:
            ConfigurationError: `.env` cannot be read.
        """
        try:
            file = DotEnvSettingsSource(cls).env_vars
        except UnicodeDecodeError:
            raise ConfigurationError(".env: is not UTF-8") from None
        # As pydantic reads them: in any case, and the environment wins.
        found = {name.upper(): Source.FILE for name in file}
        found |= {name.upper(): Source.ENVIRONMENT for name in EnvSettingsSource(cls).env_vars}
        return {name: source for name, source in found.items() if name.startswith(PREFIX)}

    @property
    def shows_page(self) -> bool:
        """Tell whether the page is on: as it is set, else where only this machine gets at it."""
        if self.page is not None:
            return self.page
        try:
            return ipaddress.ip_address(self.http_host).is_loopback
        except ValueError:
            return self.http_host == "localhost"

    @property
    def page_names(self) -> frozenset[str] | None:
        """List the hosts that the page may be asked for by; None for any, where it is set."""
        own = {"localhost", "127.0.0.1", "::1", self.http_host.lower()}
        return None if self.page else frozenset(own)

    def ledger_place(self) -> Path | Postgres:
        """Say where the ledger is: in a SQLite file, or in a PostgreSQL database."""
        url = self.ledger_url.get_secret_value()
        if url.startswith("sqlite:///"):
            return Path(url.removeprefix("sqlite:///"))
        return Postgres(self.ledger_url, self.ledger_password_file)

    def broker_addresses(self, name: str) -> list[URL]:
        """Give the broker's addresses in order, complete with password and heartbeat.

        Args:
            name: what the broker's administrator reads beside the connection.
        """
        password = _first_line(self.broker_password_file, "BROKER_PASSWORD_FILE")
        addresses = []
        for part in self.broker_url.get_secret_value().split(","):
            url = URL(part.strip())
            url = url.with_password(password) if password else url
            defaults = {"heartbeat": str(HEARTBEAT), "name": name}
            if url.scheme == "amqps" and self.broker_cert_file and not (url.user or url.password):
                # No login in the address, but a certificate: that is the login.
                defaults["auth"] = "EXTERNAL"
            addresses.append(url.with_query(defaults | dict(url.query)))
        return addresses

    def broker_tls(self) -> ssl.SSLContext | None:
        """Build the TLS context for `amqps://`, or None when no file is set.

        Raises:
            ConfigurationError: a file cannot be read as what it should be.
        """
        ca, certificate, key = self.broker_ca_file, self.broker_cert_file, self.broker_key_file
        if not (ca or certificate or key):
            return None
        if "amqps:" not in self.broker_url.get_secret_value():
            # Otherwise a forgotten letter would send the password in the clear.
            raise ConfigurationError(
                f"{PREFIX}BROKER_URL: is not amqps://, but files for TLS are set beside it"
            )
        if key and not certificate:
            raise ConfigurationError(
                f"{PREFIX}BROKER_KEY_FILE: {PREFIX}BROKER_CERT_FILE is missing"
            )
        for path, name in ((ca, "CA"), (certificate, "CERT"), (key, "KEY")):
            with _named(f"BROKER_{name}_FILE"):
                _ = path and path.read_bytes()
        with _named("BROKER_CA_FILE"):
            context = ssl.create_default_context(cafile=ca)
        if certificate:
            with _named("BROKER_CERT_FILE" + (" or _KEY_FILE" if key else "")):
                # Without a word for it OpenSSL would ask for one at the terminal.
                context.load_cert_chain(certificate, key, password=lambda: "")
        return context


@contextmanager
def _named(variable: str) -> Iterator[None]:
    """Name the variable whose file cannot be used."""
    try:
        yield
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(
                f"{PREFIX}BROKER_KEY_FILE: is not the key of {PREFIX}BROKER_CERT_FILE"
            ) from None
        reason = (error.reason or "").replace("_", " ").lower()
        raise ConfigurationError(
            f"{PREFIX}{variable}: is no PEM, or locked by a password ({reason})"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{PREFIX}{variable}: {error.strerror}") from None


def _first_line(path: Path | None, variable: str) -> str | None:
    if path is None:
        return None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    if not lines or not lines[0]:
        raise ConfigurationError(f"{PREFIX}{variable}: no password can be read there")
    return lines[0]


def _explain(error: ValidationError) -> list[str]:
    lines = []
    for item in error.errors(include_input=False, include_url=False):
        name = PREFIX + ".".join(str(part) for part in item["loc"]).upper()
        lines.append(f"{name}: {item['msg'].removeprefix('Value error, ')}")
    return lines
