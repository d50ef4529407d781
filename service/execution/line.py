"""The order in which licence writes were asked for, kept until each has had its turn.

What a command does before its write, asking the ledger and the like, may take one longer than
another: whoever came first is waited for all the same, unless the appliance has no place for it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from service.appliances.ports import MAX_WAIT
from service.errors import Code, Waiting

if TYPE_CHECKING:
    from collections.abc import Iterator


class Turn:
    """One command's turn in the line at an appliance."""

    def __init__(self, appliance: str) -> None:
        """Begin behind all others."""
        self._appliance = appliance
        self._has_come = asyncio.Event()

    def advance(self) -> None:
        """Note that nobody is ahead any more."""
        self._has_come.set()

    async def comes(self) -> None:
        """Wait until nobody is ahead.

        Raises:
            Waiting: `busy`; that takes longer than a delivery may wait.
        """
        try:
            async with asyncio.timeout(MAX_WAIT):
                await self._has_come.wait()
        except TimeoutError:
            raise Waiting(Code.BUSY, f"{self._appliance} is busy") from None


class Lines:
    """One line at each appliance."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._lines: defaultdict[str, deque[Turn]] = defaultdict(deque)

    @contextmanager
    def joined(self, appliance: str) -> Iterator[Turn]:
        """Stand in line, from now on, for as long as the context lasts."""
        line, mine = self._lines[appliance], Turn(appliance)
        line.append(mine)
        line[0].advance()
        try:
            yield mine
        finally:
            line.remove(mine)
            if line:
                line[0].advance()
            else:
                del self._lines[appliance]
