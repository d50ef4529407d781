"""What a fault is: a function that breaks something, waits, mends it and says when it did."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tests.campaign.arena import Arena
from tests.campaign.schedules import Planned

Healed: TypeAlias = Callable[[], None]
"""To be called at the instant from which on everything could work again."""
Fault: TypeAlias = Callable[[Arena, Planned, Healed], Awaitable[None]]


class Missed(Exception):
    """The fault could not be made, or its first effect is not what it must be."""
