"""Time that a test lets pass, where the rule is about minutes."""

import time

import pytest


class Clock:
    """The monotonic clock, put forward by the test; timers that are due by then run at once.

    What goes wrong when it is put back again, a fixture that is still at work, is avoided by
    naming it first among a test's fixtures: then it goes last.
    """

    def __init__(self) -> None:
        self._real = time.monotonic
        self._ahead = 0.0

    def __call__(self) -> float:
        return self._real() + self._ahead

    def forward(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._ahead += seconds

    @classmethod
    def put_up(cls, monkeypatch: pytest.MonkeyPatch) -> "Clock":
        """Let everybody look at a new one, asyncio included, until the test ends."""
        clock = cls()
        monkeypatch.setattr(time, "monotonic", clock)
        return clock
