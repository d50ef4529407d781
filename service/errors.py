"""The error tree, sorted by what the one who catches should do.

CourierError
├── ConfigurationError      stop: a person must correct settings, inventory or broker first
│   └── TopologyMismatch    ... what the broker has differs from what the contract says
├── Rejection               not a valid command: park the original and answer with the reason
├── PublishFailed           the broker did not confirm: publish again, do not ack
│   └── PublishRefused       ... its user may not publish there: again is of no use
└── CommandError            why a command ended or waits; carries the code that is told
    ├── Refused             ends the command: the appliance or the inventory said no
    ├── Failed              nothing was changed: try again after a while, within the command's time
    ├── Waiting             nothing was tried: come back later, this costs no attempt
    └── AnswerLost          a write was sent and its outcome is not known: read back, never repeat
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class CourierError(Exception):
    """Everything that this package raises on purpose."""


class ConfigurationError(CourierError):
    """The service cannot start, or an inventory cannot be used, as it is configured."""


class TopologyMismatch(ConfigurationError):
    """An exchange or a queue stands on the broker with other arguments than the contract's."""


class PublishFailed(CourierError):
    """The broker returned, refused or did not confirm a message in time."""


class PublishRefused(PublishFailed):
    """The broker's user may not publish to that exchange."""


class Reason(StrEnum):
    """Why a message is not a command, in the order in which it is decided."""

    TOO_LARGE = "too-large"
    NOT_JSON = "not-json"
    NOT_A_CLOUDEVENT = "not-a-cloudevent"
    UNKNOWN_COMMAND = "unknown-command"
    CONTRACT_VIOLATION = "contract-violation"
    ID_CONFLICT = "id-conflict"
    DELIVERY_LIMIT = "delivery-limit"


class Rejection(CourierError):
    """A message that is not a valid command.

    Args:
        reason: the public reason.
        errors: (JSON Pointer, message) pairs. They never hold a value, nor the name of an
            unknown field, since either may be a licence.
    """

    def __init__(self, reason: Reason, errors: Sequence[tuple[str, str]] = ()) -> None:
        """Keep what is told about the message."""
        super().__init__(reason)
        self.reason = reason
        self.errors = tuple(errors)


class Code(StrEnum):
    """`error.code` of a finished event. An open list for those who read it."""

    UNKNOWN_APPLIANCE = "unknown-appliance"
    WRONG_APPLIANCE_KIND = "wrong-appliance-kind"
    PERMISSION_DENIED = "permission-denied"
    LICENSE_REFUSED = "license-refused"
    CANCELLED = "cancelled"
    UNREACHABLE = "unreachable"
    APPLIANCE_ERROR = "appliance-error"
    UNEXPECTED_ANSWER = "unexpected-answer"
    CREDENTIALS_REFUSED = "credentials-refused"
    EXPIRED = "expired"
    INTERNAL_ERROR = "internal-error"
    OUTCOME_UNKNOWN = "outcome-unknown"
    BUSY = "busy"
    """Why a command waits; never how it ends."""


class CommandError(CourierError):
    """Why a command ended without success, or why it waits.

    Args:
        code: what is told as `error.code`.
        message: one sentence for a person, without secrets.
        status: the appliance's HTTP status, where there was an answer.
        retry_after: seconds that the appliance asked to be left alone.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Keep what is told about the failure."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.retry_after = retry_after


class Refused(CommandError):
    """The appliance or the inventory said no; repeating the command will not help."""


class Failed(CommandError):
    """Not done and nothing changed; may be tried again while the command's time lasts."""


class Waiting(CommandError):
    """Nothing was sent for this command; it comes back later and pays no attempt for it."""


class AnswerLost(CommandError):
    """A write was sent and no usable answer came: only reading back can tell what happened."""
