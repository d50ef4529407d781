"""When a command that could not be ended comes back: which of the configured delays it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.errors import Code, Waiting
from service.execution.received import Retry
from service.ledger import IntentOpen
from service.messages.wire import now
from service.telemetry import log, traces

if TYPE_CHECKING:
    from service.errors import CommandError
    from service.execution.received import Received


@dataclass(frozen=True)
class Delays:
    """The configured delays, in seconds.

    Attributes:
        seconds: in the order in which they are taken; the last one repeats.
    """

    seconds: tuple[int, ...]

    def turn(self, attempts: int, left: float, asked: float | None) -> int:
        """Choose the delay whose turn it is, or a longer one where the appliance asks for that.

        Whatever it asks for does not end a command that has time for one more try.

        Args:
            attempts: made so far.
            left: seconds until the command's time is over.
            asked: seconds that the appliance wants to be left alone; None if it did not say.
        """
        turn = self.seconds[min(max(attempts - 1, 0), len(self.seconds) - 1)]
        longer = self.fitting(max(asked or 0, turn))
        return turn if turn <= left < longer else longer

    def fitting(self, seconds: float) -> int:
        """Choose the smallest delay that is not shorter, or the longest there is."""
        fitting = [delay for delay in self.seconds if delay >= seconds]
        return min(fitting, default=max(self.seconds))

    def reading_back(self, asked: float | None, *, has_looked: bool) -> int:
        """Choose how long to wait before a write is read back.

        Who only waited for a slot has not looked yet, and others wait for the intent.
        """
        return self.fitting(asked or self.seconds[-1 if has_looked else 0])

    def pause(self, received: Received, error: Waiting, left: float) -> int:
        """Choose how long to wait for something; a look that comes too early costs nothing.

        For a place at the appliance: always as short as can be, or those who have waited longest
        would come least often. For what a person or the appliance must end: never longer than the
        command has waited already, nor than the appliance asked for, nor past its time.
        """
        if error.code is Code.BUSY and not isinstance(error, IntentOpen):
            return self.seconds[0]
        waited = (now() - received.received_at).total_seconds()
        longest = min(waited if error.retry_after is None else error.retry_after, left)
        return max((delay for delay in self.seconds if delay <= longest), default=self.seconds[0])


def delayed(
    received: Received, error: CommandError, delay: int, attempts: int, *, intent: bool
) -> Retry:
    """Make the retry that brings a command back, and log it.

    Args:
        received: the command.
        error: why it comes back.
        delay: seconds.
        attempts: how many deliveries have sent a request so far.
        intent: a write is recorded and has no result.
    """
    log.info("command-delayed", retry_in=delay, attempt=attempts, error_code=error.code.value)
    traces.note({"courier.retry_in": delay, "error.type": error.code.value})
    if not isinstance(error, Waiting):
        traces.fail(error.code.value)
    # A deferral keeps the previous error.
    last = received.last_error if error.code is Code.BUSY else error.code
    return Retry(delay, attempts, intent, last)
