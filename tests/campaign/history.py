"""What a campaign knows of its messages: what was sent, how it ended, and what does not fit."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Final

from tests.support.workflow import Heard

Json = dict[str, Any]

UNEXPLAINED: Final = "unexplained"


@dataclass(frozen=True)
class Wish:
    """A message that was sent as a command.

    Attributes:
        document: the command; for a malformed one what the judge is to know of it.
        key: what the books know its licence by, the licence itself or the file's SHA-256; None
            for a query.
        raw: the bytes that were sent, where that is not the document as it is.
        malformed: the reason for which it is no valid command, if it is none.
    """

    document: Json
    key: str | None = None
    raw: bytes | None = None
    malformed: str | None = None

    @property
    def id(self) -> str:
        return str(self.document["id"])

    @property
    def type(self) -> str:
        return str(self.document["type"])

    @property
    def appliance(self) -> str:
        return str(self.document["data"]["appliance"])

    @property
    def writes(self) -> bool:
        """Whether it would spend a licence."""
        dry = self.document["data"].get("dry_run", False)
        return self.key is not None and not dry and not self.malformed

    @property
    def body(self) -> bytes:
        return json.dumps(self.document).encode() if self.raw is None else self.raw

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


Undecidable = Callable[[Wish], str | None]
"""Says why nobody can know what became of a licence command; None when it can be known."""


def decidable(_wish: Wish) -> None:
    """Nothing that went wrong hides an outcome."""


def voice_applies(why: str) -> Undecidable:
    """What is lost between the courier and a FortiVoice cannot be read back there.

    Args:
        why: the fault that loses it.
    """
    return lambda wish: why if wish.type.startswith("courier.apply-voice-license.") else None


@dataclass(frozen=True)
class Verdict:
    """What does not fit, a sentence each.

    Attributes:
        lost: commands without an end.
        doubled: ended in more than one way, or a licence written more than once.
        false: a result that the books contradict, or two results under one id.
        unknown: ended `unknown`, with the reason, which is no fault if there is one.
        needless: those of `unknown` whose write never reached an appliance, while no ledger was
            lost: a courier that knew more would have reported `failed`.
        left: what the queues hold and should not, or should and do not.
    """

    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    false: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    needless: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def unexplained(self) -> tuple[str, ...]:
        return tuple(each for each in self.unknown if each.endswith(UNEXPLAINED))

    @property
    def contradictions(self) -> tuple[str, ...]:
        """Everything that must not be."""
        return self.lost + self.doubled + self.false + self.unexplained + self.left

    @property
    def ok(self) -> bool:
        return not self.contradictions

    def __add__(self, other: "Verdict") -> "Verdict":
        names = [each.name for each in fields(self)]
        return Verdict(*(getattr(self, name) + getattr(other, name) for name in names))


@dataclass
class Ends:
    """The terminal events of one message, in order."""

    finished: list[Heard] = field(default_factory=list)
    rejected: list[Heard] = field(default_factory=list)

    @property
    def ends(self) -> list[Heard]:
        return [*self.finished, *self.rejected]

    @property
    def conclusion(self) -> str:
        """How it ended; `rejected` for what was no command."""
        return str(self.finished[0].data["conclusion"]) if self.finished else "rejected"
