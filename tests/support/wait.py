"""Waiting for what a test expects, instead of sleeping and hoping."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

_PATIENCE: Final = 90.0
"""Seconds: with room for a machine whose processors are busy with something else."""
_BETWEEN: Final = 0.02


async def until(ask: Callable[[], T | None], *, patience: float = _PATIENCE) -> T:
    """Ask again and again until the answer is true, and return it.

    A question that blocks, such as one to `Rabbit`, is fine: it takes some milliseconds.
    """
    deadline = time.monotonic() + patience
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise AssertionError(f"never came true in {patience:g} s; the last answer: {answer!r}")
        await asyncio.sleep(_BETWEEN)
    return answer
