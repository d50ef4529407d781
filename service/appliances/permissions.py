"""What an account may do on an appliance: learnt from answers, since no document says it."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass

from service.telemetry import log

CONSECUTIVE = 60.0
"""Seconds after which a session's refusal has nothing to do with that of the one before, at an
appliance that answers sooner."""


@dataclass
class _Refusals:
    """How often an operation was refused in a row, each time by another session.

    Attributes:
        last_at: when it was refused last.
        again_at: when the next session shall be asked; None if nobody has waited yet.
    """

    last_at: float
    count: int = 0
    again_at: float | None = None


class Permissions:
    """What the account may do, as far as answers have shown.

    Args:
        appliance: whose account it is.
        memory: seconds for which a denial is believed without another login.
        doubt: seconds to wait, once, before a new session's refusal is taken for a denial.
        slowest: seconds that a request may take. Between two refusals lie the doubt, a login and
            the request that is refused again.
    """

    def __init__(
        self, appliance: str, memory: float, doubt: float, *, slowest: float = 0.0
    ) -> None:
        """Start without any knowledge."""
        self._consecutive = max(CONSECUTIVE, doubt + 2 * slowest)
        self._appliance = appliance
        self._memory = memory
        self._doubt = doubt
        self._allowed: set[str] = set()
        self._refusals: dict[str, _Refusals] = {}
        self._denied: dict[str, float] = {}
        self._last_denial: dict[str, float] = {}

    def note_answered(self, operation: str, in_session: set[str], *, works: bool) -> None:
        """Note that an operation was not refused, and whether it worked."""
        self._refusals.pop(operation, None)
        if works:
            in_session.add(operation)
            self._allowed.add(operation)
            self._denied.pop(operation, None)

    def denied_lately(self, operation: str) -> bool:
        """Tell whether a refusal needs no explanation by a login."""
        return self._is_recent(self._denied.get(operation))

    def count_refusal(self, operation: str, in_session: set[str], *, age: float = math.inf) -> bool:
        """Tell whether a session's refusal is about the permission, so that no login will help.

        Args:
            operation: what was refused.
            in_session: what has worked in that session before.
            age: seconds for which it has been open.
        """
        now = time.monotonic()
        found = self._refusals.pop(operation, None)
        if found is None or operation in in_session or now - found.last_at > self._consecutive:
            found = _Refusals(now)
        if found.again_at is not None and now - age < found.again_at:
            # Somebody else opened it while this one waited: it may be over like those before it.
            self._refusals[operation] = found
            return False
        # One session may have been over. What has worked in an earlier one is given the benefit of
        # the doubt once more, but not where it is denied now and then: each doubt costs a login.
        doubt = operation in self._allowed and not self._is_recent(self._last_denial.get(operation))
        # A restart ends the sessions that are opened meanwhile as well.
        too_soon = age < self._doubt and found.again_at is None
        if found.count < 1 + doubt or too_soon:
            found.count, found.last_at = found.count + 1, now
            if too_soon:
                found.again_at = now + self._doubt
            self._refusals[operation] = found
            return False
        self._denied[operation] = self._last_denial[operation] = now
        self._allowed.discard(operation)
        log.warning("permission-denied", appliance=self._appliance, operation=operation)
        return True

    def pause(self, operation: str) -> float:
        """Give the seconds for which no session is worth being tried; 0 most often."""
        found = self._refusals.get(operation)
        if found is None or found.again_at is None:
            return 0.0
        return max(0.0, found.again_at - time.monotonic())

    async def wait(self, operation: str) -> None:
        """Wait for as long."""
        if pause := self.pause(operation):
            await asyncio.sleep(pause)

    def _is_recent(self, instant: float | None) -> bool:
        return instant is not None and time.monotonic() - instant < self._memory
