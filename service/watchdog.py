"""Ends a service that has been unable to do its work for too long, so that a supervisor starts it.

A lost connection to the broker is no such case: it is restored by itself, and a new process would
only wait for the same broker.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from service.telemetry import log
from service.topology.connection import DISCONNECTED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

EXIT_CODE = 75
"""What the service ends with: EX_TEMPFAIL of sysexits.h, "try again later"."""


class Watchdog:
    """Looks at the reasons for not being ready.

    Args:
        not_ready: the reasons of the moment; none when all is well.
        patience: seconds for which one of them may last; 0 for ever.
        interval: seconds between two looks.

    Attributes:
        exit_code: what the service ends with.
    """

    def __init__(
        self, not_ready: Callable[[], Collection[str]], patience: float, *, interval: float = 1.0
    ) -> None:
        """Keep the parts; `watch` looks."""
        self._not_ready = not_ready
        self._patience = patience
        self._interval = interval
        self.exit_code = 0

    async def watch(self, stop: asyncio.Event) -> None:
        """Look until a reason has lasted for too long; then say so and set `stop`."""
        since: dict[str, float] = {}
        was_ready = True
        while True:
            reasons = self._not_ready()
            if was_ready and reasons:
                log.warning("service-not-ready", reasons=sorted(reasons))
            elif not was_ready and not reasons:
                log.info("service-ready-again")
            was_ready = not reasons
            at = time.monotonic()
            since = {each: since.get(each, at) for each in reasons if each != DISCONNECTED}
            late = sorted(each for each, began in since.items() if at - began >= self._patience)
            if late and self._patience:
                log.error("watchdog-expired", reasons=late, seconds=self._patience)
                self.exit_code = EXIT_CODE
                stop.set()
                return
            await asyncio.sleep(self._interval)
