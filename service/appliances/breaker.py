"""Leaves an appliance alone that does not answer, or that asked for it.

States: closed → open, after so many requests in a row that got no answer, most often because no
connection could be made → probing: when the pause is over one request is let through, and what
becomes of it closes the breaker or opens it again. Meanwhile commands wait in the broker instead of
each running into the time-out.

Looked at instead: pybreaker (asyncio through Tornado only), aiobreaker (given up), purgatory (lets
everybody through half open). None knows a pause that the other side asks for.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

from service.appliances.ports import WriteVetoed
from service.errors import Code, CommandError, Waiting
from service.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Iterator

PAUSE = 5.0
"""Seconds between two looks at an appliance that does not answer."""
MAX_REST = 600.0
"""Seconds: a `Retry-After` beyond this is not obeyed to its end."""


class State(StrEnum):
    """Whether requests are let through."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Breaker:
    """One appliance's breaker.

    Args:
        appliance: its name.
        failures: requests in a row without an answer before it opens.
    """

    def __init__(self, appliance: str, *, failures: int) -> None:
        """Start closed."""
        self.state = State.CLOSED
        self._appliance = appliance
        self._limit = failures
        self._failures = 0
        self._opened_at = 0.0
        self._why = CommandError(Code.UNREACHABLE, f"{appliance} cannot be reached")
        self._closed_until = 0.0
        self._rest_until = 0.0

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Let one request through, and learn from what becomes of it.

        An error that leaves the body counts as no answer, but for a write that the courier itself
        kept from leaving.

        Raises:
            Waiting: why the last request got none; or the appliance wants to be left alone.
        """
        is_probe = self._admit()
        try:
            yield
        except WriteVetoed:
            self._learnt_nothing(is_probe=is_probe)
            raise
        except CommandError as error:
            self._missed(error, is_probe=is_probe)
            raise
        except BaseException:
            self._learnt_nothing(is_probe=is_probe)
            raise
        self._reached()

    def rest(self, seconds: float, status: int) -> None:
        """Let nothing through for as long as the appliance asked, within reason."""
        seconds = min(seconds, MAX_REST)
        if time.monotonic() >= self._rest_until:
            log.warning(
                "appliance-resting",
                appliance=self._appliance,
                retry_in=round(seconds, 1),
                status=status,
            )
        self._rest_until = time.monotonic() + seconds

    def _admit(self) -> bool:
        """Let a request through or not; say whether it is the probe."""
        now = time.monotonic()
        if now < self._rest_until:
            raise Waiting(
                Code.APPLIANCE_ERROR,
                f"{self._appliance} asked to be left alone for a while",
                retry_after=self._rest_until - now,
            )
        if self.state is State.CLOSED:
            return False
        if self.state is State.PROBING or now < self._closed_until:
            raise Waiting(self._why.code, self._why.message, status=self._why.status)
        self.state = State.PROBING
        return True

    def _learnt_nothing(self, *, is_probe: bool) -> None:
        if is_probe and self.state is State.PROBING:
            self.state = State.OPEN  # the next request may probe

    def _missed(self, error: CommandError, *, is_probe: bool) -> None:
        self._failures += 1
        if self._failures < self._limit:
            return
        self._why = error
        self._closed_until = time.monotonic() + PAUSE
        if self.state is State.CLOSED:
            self._opened_at = time.monotonic()
            log.warning(
                "breaker-opened", appliance=self._appliance, reason=error.message, retry_in=PAUSE
            )
        # One that was under way before the look began does not end the look.
        if is_probe or self.state is State.CLOSED:
            self.state = State.OPEN

    def _reached(self) -> None:
        self._failures = 0
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        log.info(
            "breaker-closed",
            appliance=self._appliance,
            duration_ms=round((time.monotonic() - self._opened_at) * 1000),
        )
