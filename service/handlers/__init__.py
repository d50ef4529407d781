"""One async function per command: what is asked + a port → an outcome.

A handler knows no broker, no HTTP and no settings. It raises what the port raises, unless it knows
better what that means for its command. A licence command comes with its `WriteIntent`: before a
write it records it; called with one that was recorded earlier, it reads back instead of writing. A
query comes with `Pages`, for what is told before its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from service.messages.results import Conclusion

if TYPE_CHECKING:
    from service.appliances.ports import Part
    from service.errors import CommandError

Body_co = TypeVar("Body_co", covariant=True)
Before = TypeVar("Before")


@dataclass(frozen=True)
class Outcome(Generic[Body_co]):
    """How a command ended.

    Attributes:
        body: the command's own part of the finished event.
        conclusion: succeeded, unless `why` says otherwise.
        why: the error that is told with any other conclusion.
    """

    body: Body_co
    conclusion: Conclusion = Conclusion.SUCCEEDED
    why: CommandError | None = None


@dataclass(frozen=True)
class Heard:
    """What the appliance said to a write: success, unless there is an error."""

    error: CommandError | None


class Pages(Protocol):
    """Whoever asked, as a handler sees it that has something to tell before the end."""

    async def tell(self, part: Part) -> None:
        """Tell a part of a list; when this returns, it is told for good."""
        ...


class WriteIntent(Protocol[Before]):
    """The ledger, as a handler sees it: the intent of this one command.

    Attributes:
        before: what was read before an earlier run sent, or may have sent, the write; else None.
        heard: what an earlier run was told when it sent it; None if nobody knows.
        age: seconds since the intent was recorded.
        may_be_sent: another process may still send the write, for a while after the intent.
    """

    before: Before | None
    heard: Heard | None
    age: float
    may_be_sent: bool

    async def record(self, before: Before) -> None:
        """Make it durable that the write is about to be sent.

        Raises:
            Waiting: another write on this appliance is not settled yet.
        """
        ...

    async def keep(self, heard: Heard) -> None:
        """Make durable what was said to the write, for who reads back later."""
        ...

    async def withdraw(self) -> None:
        """Take it back: the write certainly was not sent."""
        ...
