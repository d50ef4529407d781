"""Ends a service that has been unable to do its work for too long, so that a supervisor starts it.

A lost connection to the broker is no such case: it is restored by itself, and a new process would
only wait for the same broker. But one that stays lost while another one stands is.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from service.telemetry import log
from service.topology.connection import DISCONNECTED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

EXIT_CODE = 75
"""What the service ends with: EX_TEMPFAIL of sysexits.h, "try again later"."""
STUCK_AFTER = 60.0
"""Seconds after which a connection is not waited for any more while another one stands."""


class Halves:
    """Notices when a connection stays lost though another one to the same broker stands.

    The broker is there, then, so the lost one will not come back: seen once with aio-pika 10.2.1,
    which waited for itself (`topology.connection.Channel`). Whatever else there may be ends here.

    Args:
        connected: where each connection leads to, by its name; empty while it is lost.
        patience: seconds for which one may be restored later than another.
    """

    def __init__(
        self, connected: Callable[[], Mapping[str, object]], patience: float = STUCK_AFTER
    ) -> None:
        """Begin to look."""
        self._connected = connected
        self._patience = patience
        self._since: float | None = None

    @property
    def idle_reason(self) -> str | None:
        """Say so when it has lasted too long; to be asked every now and then."""
        up = self._connected().values()
        if all(up) or not any(up):
            self._since = None
            return None
        at = time.monotonic()
        self._since = self._since or at
        return "connection-stuck" if at - self._since >= self._patience else None


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
