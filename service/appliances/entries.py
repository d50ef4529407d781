"""What stands in `appliances.toml`: one table per appliance, checked before anything uses it.

Every mistake is a clear error with its table and key. Secrets stand in files or variables, never
in the inventory, and are read again at every login.
"""

from __future__ import annotations

import functools
import os
import ssl
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

import httpx
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from yarl import URL

from service.errors import Code, ConfigurationError, Waiting
from service.messages.wire import ApplianceName

Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


def _base_url(value: str) -> str:
    try:
        url = URL(value)
        httpx.URL(value)  # is stricter about addresses, and is what will be asked
    except (ValueError, httpx.InvalidURL):
        raise ValueError("is no address") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("must be https://host or http://host")
    if url.user or url.password:
        raise ValueError("must not hold credentials; use username and password_file")
    if url.path not in {"", "/"} or url.query_string or url.fragment:
        raise ValueError("must end after host and port")
    return str(url.origin())


class Entry(BaseModel):
    """One `[appliances.<name>]` table."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    kind: Literal["fortiauthenticator", "fortivoice"]
    url: Annotated[str, AfterValidator(_base_url)]
    username: Annotated[str, Field(min_length=1)]
    password_file: Annotated[Path | None, Field(strict=False)] = None
    password_env: Annotated[str, Field(min_length=1)] | None = None
    ca_file: Annotated[Path | None, Field(strict=False)] = None
    verify_tls: bool = True
    max_concurrency: PositiveInt = 4
    connect_timeout: Seconds = 5.0
    read_timeout: Seconds = 30.0

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.password_file is None) == (self.password_env is None):
            raise ValueError("needs password_file or password_env, and not both")
        if self.ca_file and not self.verify_tls:
            raise ValueError("has a ca_file, which verify_tls = false would leave unused")
        return self

    @property
    def secret_key(self) -> str:
        """The key that says where the password stands."""
        return "password_file" if self.password_file else "password_env"

    def tls(self) -> ssl.SSLContext:
        """Build the context that verifies the appliance's certificate."""
        if not self.verify_tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        return ssl.create_default_context(cafile=self.ca_file) if self.ca_file else _system_tls()


@functools.cache
def _system_tls() -> ssl.SSLContext:
    """Load the system's certificates once: it takes 35 ms."""
    return ssl.create_default_context()


class EntrySecret:
    """The password of one entry, read anew at every login."""

    def __init__(self, name: str, entry: Entry) -> None:
        """Remember where it stands."""
        self._name = name
        self._file = entry.password_file
        self._variable = entry.password_env or ""

    def read(self) -> str:
        """Read it.

        Raises:
            Waiting: `credentials-refused`; it is not there, empty, or cannot be read.
        """
        where = self._file or f"${self._variable}"
        try:
            text = self._file.read_text("utf-8") if self._file else os.environ[self._variable]
            text.encode()
        except (OSError, KeyError, ValueError):
            raise self._missing(f"cannot be read at {where}") from None
        password = text.rstrip("\r\n")
        if not password:
            raise self._missing(f"is empty at {where}")
        return password

    def _missing(self, what: str) -> Waiting:
        return Waiting(Code.CREDENTIALS_REFUSED, f"the password of {self._name} {what}")


@dataclass(frozen=True)
class Known:
    """An entry that can be used as it stands.

    Attributes:
        tls: verifies the appliance's certificate.
        secret: its password.
        ca: what its CA file says, so that another one is noticed.
    """

    entry: Entry
    tls: ssl.SSLContext = field(compare=False)
    secret: EntrySecret = field(compare=False)
    ca: bytes = field(repr=False)


def read_inventory(path: Path) -> dict[str, Known]:
    """Read and check the inventory, and the files that it names.

    Raises:
        ConfigurationError: one line per mistake, with table and key.
    """
    known, mistakes = {}, []
    urls: dict[str, str] = {}
    for name, entry in _read_entries(path).items():
        table = f"{path}: [appliances.{name}]"
        if urls.setdefault(entry.url, name) != name:
            # Two names for one appliance would write there at the same time.
            mistakes.append(f"{table} url: is that of {urls[entry.url]} as well")
        secret = EntrySecret(name, entry)
        try:
            secret.read()
        except Waiting as error:
            mistakes.append(f"{table} {entry.secret_key}: {error.message}")
        try:
            known[name] = Known(entry, entry.tls(), secret, _ca(entry))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else None
            mistakes.append(f"{table} ca_file: {why or error}")
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return known


def _ca(entry: Entry) -> bytes:
    return entry.ca_file.read_bytes() if entry.ca_file else b""


def _read_entries(path: Path) -> dict[str, Entry]:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"COURIER_APPLIANCES_FILE: {path} cannot be read: {error.strerror}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not TOML: {error}") from None
    try:
        return TypeAdapter(_File).validate_python(document).appliances
    except ValidationError as error:
        lines = []
        for item in error.errors(include_url=False, include_input=False, include_context=False):
            top, *steps = [str(step) for step in item["loc"]]
            table = f"{top}.{steps.pop(0)}" if top == "appliances" and steps else top
            where = f"[{table}]" + "".join(f" {step}" for step in steps)
            lines.append(f"{path}: {where}: {item['msg'].removeprefix('Value error, ')}")
        raise ConfigurationError("\n".join(lines)) from None


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    appliances: dict[ApplianceName, Entry]
