"""`appliances.toml` → the appliances by name, ready to be asked.

Every mistake is a clear error with its table and key. Secrets stand in files or variables, never
in the inventory, and are read again at every login.
"""

from __future__ import annotations

import functools
import os
import ssl
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from yarl import URL

from service.appliances.fortiauthenticator import FortiAuthenticator
from service.appliances.fortivoice import FortiVoice
from service.appliances.http import Http
from service.errors import Code, ConfigurationError, Refused, Waiting
from service.messages.wire import ApplianceName
from service.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.appliances.ports import Appliance

P = TypeVar("P")
_KINDS: dict[str, type[FortiAuthenticator | FortiVoice]] = {
    "fortiauthenticator": FortiAuthenticator,
    "fortivoice": FortiVoice,
}


def _base_url(value: str) -> str:
    try:
        url = URL(value)
    except ValueError:
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
    connect_timeout: PositiveFloat = 5.0
    read_timeout: PositiveFloat = 30.0

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.password_file is None) == (self.password_env is None):
            raise ValueError("needs password_file or password_env, and not both")
        return self

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
            Waiting: `credentials-refused`; it is not there or cannot be read.
        """
        try:
            text = self._file.read_text("utf-8") if self._file else os.environ[self._variable]
        except (OSError, KeyError, UnicodeDecodeError):
            where = self._file or f"${self._variable}"
            raise Waiting(
                Code.CREDENTIALS_REFUSED, f"the password of {self._name} cannot be read at {where}"
            ) from None
        return text.rstrip("\r\n")


class Inventory:
    """The appliances by name."""

    def __init__(self, appliances: dict[str, Appliance]) -> None:
        """Keep them; use `load` to read a file."""
        self._appliances = appliances

    @classmethod
    def load(cls, path: Path, *, cooldown: float) -> Self:
        """Read the inventory.

        Args:
            path: the TOML file.
            cooldown: seconds after which refused credentials may be tried once more.

        Raises:
            ConfigurationError: one line per mistake, with table and key.
        """
        entries = read_entries(path)
        appliances: dict[str, Appliance] = {}
        for name, entry in entries.items():
            _warn(name, entry)
            try:
                tls = entry.tls()
            except OSError as error:
                raise ConfigurationError(
                    f"{path}: [appliances.{name}] ca_file: {error.strerror or error}"
                ) from None
            http = Http(
                name,
                entry.url,
                tls=tls,
                concurrency=entry.max_concurrency,
                connect_timeout=entry.connect_timeout,
                read_timeout=entry.read_timeout,
            )
            appliances[name] = _KINDS[entry.kind](
                http,
                username=entry.username,
                secret=EntrySecret(name, entry),
                cooldown=cooldown,
            )
        return cls(appliances)

    def find(self, name: str) -> Appliance:
        """Give an appliance.

        Raises:
            Refused: `unknown-appliance`.
        """
        try:
            return self._appliances[name]
        except KeyError:
            raise Refused(
                Code.UNKNOWN_APPLIANCE, f"the inventory has no appliance {name}"
            ) from None

    def port(self, name: str, port: type[P]) -> P:
        """Give an appliance as what it can do.

        Raises:
            Refused: `unknown-appliance`, or `wrong-appliance-kind`: it cannot do that.
        """
        appliance = self.find(name)
        if not isinstance(appliance, port):
            raise Refused(
                Code.WRONG_APPLIANCE_KIND, f"{name} is of a kind that cannot run this command"
            )
        return appliance

    def __iter__(self) -> Iterator[Appliance]:
        return iter(self._appliances.values())

    async def close(self) -> None:
        """Close every session."""
        for appliance in self._appliances.values():
            await appliance.close()


def read_entries(path: Path) -> dict[str, Entry]:
    """Read and check the file. See `Inventory.load`."""
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


def _warn(name: str, entry: Entry) -> None:
    if entry.url.startswith("http:"):
        log.warning("appliance-insecure", appliance=name, reason="url is http")
    elif not entry.verify_tls:
        log.warning("appliance-insecure", appliance=name, reason="verify_tls is false")
