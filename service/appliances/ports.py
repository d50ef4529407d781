"""What handlers may ask of an appliance, by capability. Nothing here knows HTTP or a vendor.

Every method may raise `Refused` (the appliance said no), `Failed` (nothing changed, try later) or
`Waiting` (nothing was sent). Only the writes, `activate` and `apply`, may raise `AnswerLost`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from service.errors import Code, Failed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from contextlib import AbstractAsyncContextManager

    from pydantic import SecretStr

    from service.messages.commands import LicenseFile
    from service.messages.results import Device, DeviceIdentity, SmsBalance
    from service.messages.wire import Json


NOT_AVAILABLE = "not-available"
"""What is said of a resource that an appliance does not have."""
MAX_WAIT = 5.0
"""Seconds that a delivery may wait in memory for others; after that it waits in the broker."""


class NotSent(Failed):
    """The request certainly did not leave: a recorded intent may be withdrawn."""

    def __init__(self, message: str) -> None:
        """Say why it could not be sent."""
        super().__init__(Code.UNREACHABLE, message)


class WriteVetoed(NotSent):
    """The courier itself kept a write from leaving; this says nothing about the appliance."""


class Superseded(NotSent):
    """The session ended before the request's turn came; the request was not sent."""

    def __init__(self, appliance: str) -> None:
        """Say whose session it was."""
        super().__init__(f"the session with {appliance} ended before the request was sent")


@dataclass(frozen=True)
class Status:
    """How things stand with an appliance.

    Attributes:
        session: closed, opening, open or refused.
        breaker: closed, open or probing.
        in_flight: requests that are being answered.
        logins: how many succeeded since the start.
        refused_logins: how many were refused.
    """

    session: str
    breaker: str
    in_flight: int
    logins: int
    refused_logins: int


class Appliance(Protocol):
    """What every appliance of the inventory can do.

    Attributes:
        name: in the inventory.
        origin: its scheme, host and port: two names with one origin are one appliance.
    """

    name: str
    origin: str

    async def check(self) -> None:
        """Log in once, for a person who wants to know whether that works."""
        ...

    def writing(self) -> AbstractAsyncContextManager[None]:
        """Hold the right to write: licence writes on one appliance never overlap.

        Raises:
            Waiting: others hold it for longer than a delivery may wait.
        """
        ...

    def status(self) -> Status:
        """Tell how things stand with it, for the metrics."""
        ...

    async def close(self, reason: str) -> None:
        """End the session and the connections; say why in the event log."""
        ...


@runtime_checkable
class SmsLicensing(Protocol):
    """An appliance that sends SMS against bought licences."""

    settle_time: float
    """Seconds from an intent on, after which an unanswered write is no longer being worked on."""

    async def balance(self) -> SmsBalance:
        """Read how many SMS were bought, used and are left."""
        ...

    async def activate(self, license_key: SecretStr) -> None:
        """Write a licence. Success proves nothing: a used licence adds no SMS."""
        ...


@dataclass(frozen=True)
class Upload:
    """A file that the appliance holds ready to be applied, within one session.

    Attributes:
        file_id: the appliance's name for it, opaque and good for one use.
        session: the session that it belongs to, opaque too.
    """

    file_id: str = field(repr=False)
    session: object = field(repr=False)


@runtime_checkable
class VoiceLicensing(Protocol):
    """A phone system that takes licence files."""

    send_window: float
    """Seconds from an intent on, after which its write is not sent any more."""

    async def identity(self) -> DeviceIdentity:
        """Tell which device this is, as login said it."""
        ...

    async def authorise(self) -> None:
        """Ask for the right to upload, and leave it unused: the dry run's last step."""
        ...

    async def upload(self, file: LicenseFile) -> Upload:
        """Bring the file to the appliance. This changes no licence yet."""
        ...

    async def apply(self, upload: Upload) -> None:
        """Write the licence. It is sent once, in the upload's session, and never again."""
        ...


@dataclass(frozen=True)
class Part:
    """A part of a list, and how the list stands with it.

    Attributes:
        devices: those that no part before had.
        rows: of the appliance's list that were read so far, the ones left out not counted.
        total: rows that there are in all, as the appliance counts; None if it does not say.
        next: the row at which a later reading would go on; None when nothing is left.
        complete: whether the list has been read as far as was asked, and agrees with the count.
    """

    devices: tuple[Device, ...]
    rows: int
    total: int | None
    next: int | None
    complete: bool


@dataclass(frozen=True)
class Reading:
    """What an appliance answered when it was asked for one of its resources.

    Attributes:
        name: the vendor's name of the resource.
        status: the answer's HTTP status; None if it was not asked for.
        raw: the body, as it came; None where there is an error.
        error: why there is no body to pass on: a code and a sentence.
    """

    name: str
    status: int | None = None
    raw: Json = field(default=None, repr=False)
    error: tuple[str, str] | None = None

    @classmethod
    def missing(cls, name: str, status: int | None = None) -> Reading:
        """Say that the appliance does not have it."""
        return cls(name, status, error=(NOT_AVAILABLE, "the appliance has no such resource"))


@runtime_checkable
class StatusReadings(Protocol):
    """An appliance that says something about itself, in words that the vendor does not explain."""

    @property
    def resources(self) -> Sequence[str]:
        """The names of what it can be asked for."""
        ...

    async def login_says(self) -> DeviceIdentity | None:
        """Tell which device this is, as far as a login says it."""
        ...

    async def readings(self, names: Sequence[str]) -> list[Reading]:
        """Read some of its resources, in this order; what one does not give harms no other.

        Raises:
            Refused: `permission-denied`; the account may read none of them.
        """
        ...


@runtime_checkable
class DeviceInventory(Protocol):
    """A phone system that lists its phones."""

    def devices(
        self, *, search: str | None, unassigned_only: bool, start: int, limit: int | None
    ) -> AsyncGenerator[Part]:
        """List phones as they arrive, each once; at least one part comes.

        Args:
            search: part of a MAC address, with or without colons, in any case.
            unassigned_only: only phones that no extension has.
            start: how many rows to leave out at the beginning.
            limit: how many rows to read at most; None for all.
        """
        ...
