"""An appliance's share of the prefetch window: how many commands may be at it at a time.

The deliveries that the broker has sent and not got back are one window for all appliances. One
that is slow, or hangs, would fill it with commands that wait for it, and no other appliance's
would come in any more. So only its share may wait long; the rest goes back to the broker soon.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from service.errors import Code, Waiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_SOON = 1.0
"""Seconds within which a place must be free for one who waits for it."""
_WEIGHT = 0.2
"""Of the last departure, in the pace at which places become free."""


class Places:
    """The places of one appliance.

    Args:
        appliance: its name.
        count: how many there are.
    """

    def __init__(self, appliance: str, count: int) -> None:
        """Start with every place free."""
        self._appliance = appliance
        self._count = count
        self._places = asyncio.Semaphore(count)
        self._inside = 0
        self._moved_at = 0.0
        self._pace = 0.0
        self._empty = asyncio.Event()
        self._empty.set()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Have a place, in order of arrival.

        Raises:
            Waiting: `busy`; none is free, nor will be soon.
        """
        self._inside += 1
        self._empty.clear()
        try:
            await self._wait()
            self._moved_at = time.monotonic()
            try:
                yield
            finally:
                self._left()
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    async def empty(self) -> None:
        """Wait until nobody is there any more."""
        await self._empty.wait()

    async def _wait(self) -> None:
        busy = Waiting(Code.BUSY, f"{self._appliance} is busy")
        if self._places.locked() and not self._is_soon():
            raise busy
        try:
            async with asyncio.timeout(_SOON):
                await self._places.acquire()
        except TimeoutError:
            raise busy from None

    def _is_soon(self) -> bool:
        """Tell whether the one who has just come can expect a place soon."""
        is_stuck = time.monotonic() - self._moved_at > _SOON
        return not is_stuck and (self._inside - self._count) * self._pace < _SOON

    def _left(self) -> None:
        """Free a place, and learn how fast that goes while all of them are wanted."""
        now = time.monotonic()
        if self._places.locked():
            self._pace += _WEIGHT * (now - self._moved_at - self._pace)
        self._moved_at = now
        self._places.release()
