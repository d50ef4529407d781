"""What an account may do on an appliance: learnt from answers, since no document says it."""

from __future__ import annotations

import time

from service.telemetry import log

_CONSECUTIVE = 60.0
"""Seconds after which a session's refusal has nothing to do with that of the one before."""


class Permissions:
    """What the account may do, as far as answers have shown.

    Args:
        appliance: whose account it is.
        memory: seconds for which a denial is believed without another login.
    """

    def __init__(self, appliance: str, memory: float) -> None:
        """Start without any knowledge."""
        self._appliance = appliance
        self._memory = memory
        self._allowed: set[str] = set()
        self._refusals: dict[str, tuple[int, float]] = {}
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

    def count_refusal(self, operation: str, in_session: set[str]) -> bool:
        """Tell whether a session's refusal is about the permission, so that no login will help.

        Args:
            operation: what was refused.
            in_session: what has worked in that session before.
        """
        now = time.monotonic()
        count, since = self._refusals.pop(operation, (0, now))
        if operation in in_session or now - since > _CONSECUTIVE:
            count = 0
        # One session may have been over. What has worked in an earlier one is given the benefit of
        # the doubt once more, but not where it is denied now and then: each doubt costs a login.
        doubt = operation in self._allowed and not self._is_recent(self._last_denial.get(operation))
        if count < 1 + doubt:
            self._refusals[operation] = (count + 1, now)
            return False
        self._denied[operation] = self._last_denial[operation] = now
        self._allowed.discard(operation)
        log.warning("permission-denied", appliance=self._appliance, operation=operation)
        return True

    def _is_recent(self, instant: float | None) -> bool:
        return instant is not None and time.monotonic() - instant < self._memory
