"""What an account may do on an appliance: learnt from answers, since no document says it."""

from __future__ import annotations

import time

from service.telemetry import log


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
        self._refusals: dict[str, int] = {}
        self._denied: dict[str, float] = {}

    def note(self, operation: str, in_session: set[str]) -> None:
        """Note that an operation worked."""
        in_session.add(operation)
        self._allowed.add(operation)
        self._refusals.pop(operation, None)
        self._denied.pop(operation, None)

    def denied_lately(self, operation: str) -> bool:
        """Tell whether a refusal needs no explanation by a login."""
        since = self._denied.get(operation)
        return since is not None and time.monotonic() - since < self._memory

    def lacks(self, operation: str, in_session: set[str]) -> bool:
        """Tell whether a session's refusal is about the permission, so that no login will help.

        Args:
            operation: what was refused.
            in_session: what has worked in that session before.
        """
        before = 0 if operation in in_session else self._refusals.get(operation, 0)
        self._refusals[operation] = before + 1
        # One session may have been over. What has worked in an earlier one is given the benefit of
        # the doubt once more.
        if self._refusals[operation] <= 1 + (operation in self._allowed):
            return False
        del self._refusals[operation]
        self._denied[operation] = time.monotonic()
        self._allowed.discard(operation)
        log.warning("permission-denied", appliance=self._appliance, operation=operation)
        return True
