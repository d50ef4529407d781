"""Lock-out: after too many refused credentials in a row, right ones are refused as well."""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.simulator.books import Books


class Lockout:
    """The refusals of one appliance; no document tells limits, so they are switches there."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._in_a_row = 0
        self._began = -inf

    def admits(self, *, right: bool, after: int | None, seconds: float) -> bool:
        """Say whether credentials are accepted, and count them.

        Args:
            right: Whether they are the right ones.
            after: How many refusals in a row lock everyone out; None for no lock-out.
            seconds: How long that lasts; tries meanwhile do not prolong it.
        """
        locked = after is not None and time.monotonic() - self._began < seconds
        if right and not locked:
            self._in_a_row = 0
            return True
        self._books.refused_logins += 1
        if not locked:
            self._in_a_row += 1
            if after is not None and self._in_a_row >= after:
                self._in_a_row, self._began = 0, time.monotonic()
                self._books.locked_out()
        return False
