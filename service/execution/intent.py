"""The ledger as a handler sees it: the intent of one command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

from service.errors import AnswerLost, Code, CommandError, Failed, Refused
from service.handlers import Heard
from service.ledger.moment import Moment
from service.telemetry import log

if TYPE_CHECKING:
    from service.ledger import Intent, Ledger, Right
    from service.messages.commands import Command


class LedgerIntent:
    """A `WriteIntent` that is durable.

    Args:
        ledger: where it is recorded.
        command: whose intent it is.
        model: what was read before the write, as a type; None for commands that write nothing.
        found: an intent that an earlier run left open.

    Attributes:
        is_owned: this run has recorded the intent, or held the write lock since it was found.
    """

    def __init__(
        self, ledger: Ledger, command: Command, model: type[BaseModel] | None, found: Intent | None
    ) -> None:
        """Take up what is known."""
        self._ledger = ledger
        self._command = command
        self._found = found
        self._origin = ""
        self._right: Right | None = None
        self.is_owned = False
        self.before = model.model_validate_json(found.before) if model and found else None
        answer = found.answer if found else None
        self.heard = _Said.model_validate_json(answer).heard() if answer else None

    @property
    def open(self) -> bool:
        """Tell whether a write is announced and not settled."""
        return self._found is not None

    @property
    def age(self) -> float:
        """Seconds since it was recorded, whatever the wall clock was set to; 0 if it was not."""
        return self._found.recorded.age(Moment.current()) if self._found else 0.0

    @property
    def known(self) -> Intent | None:
        """The open intent, as this command knows it: its result closes no other one."""
        return self._found

    @property
    def may_be_sent(self) -> bool:
        """Tell whether another process may still send the write: one that lost its right unseen."""
        return self._found is not None and self._ledger.is_shared

    def own(self, right: Right) -> None:
        """Take the right to write, in which the intent is recorded or its result stored."""
        self._right = right
        self.is_owned = True

    def is_for(self, origin: str) -> bool:
        """Take the appliance that is asked; tell whether an open intent belongs to it.

        Args:
            origin: its scheme, host and port. A name of the inventory may lead to another appliance
                than when the intent was recorded: figures of two appliances must not be compared.
        """
        self._origin = origin
        return self._found is None or self._found.origin in {None, origin}

    async def record(self, before: BaseModel) -> None:
        """Announce the write, durably. See `WriteIntent`."""
        figures = before.model_dump_json().encode()
        self._found = await self._ledger.intend(self._command, figures, self._origin, self._right)
        self.is_owned = True
        self.before = before
        log.info("intent-recorded")

    async def keep(self, heard: Heard) -> None:
        """Make durable what was said to the write. See `WriteIntent`."""
        if self._found is not None:
            answer = _Said.of(heard).model_dump_json().encode()
            await self._ledger.keep_answer(self._command, self._found, answer)

    def lapse(self) -> None:
        """Note that it is open no more: another replica has settled or withdrawn it."""
        self._found = self.before = self.heard = None

    async def withdraw(self) -> None:
        """Take it back. See `WriteIntent`."""
        if self._found is not None:
            await self._ledger.withdraw(self._command, self._found)
        self.lapse()
        log.info("intent-withdrawn")


class _Said(BaseModel):
    """What was said to a write, as it stands in the ledger; no code means success."""

    kind: Literal["refused", "failed", "lost"] = "lost"
    code: Code | None = None
    message: str = ""
    status: int | None = None

    @classmethod
    def of(cls, heard: Heard) -> _Said:
        error = heard.error
        if error is None:
            return cls()
        kind = next(kind for kind, each in _ERRORS.items() if isinstance(error, each))
        return cls(kind=kind, code=error.code, message=error.message, status=error.status)

    def heard(self) -> Heard:
        if self.code is None:
            return Heard(None)
        return Heard(_ERRORS[self.kind](self.code, self.message, status=self.status))


_ERRORS: dict[Literal["refused", "failed", "lost"], type[CommandError]] = {
    "refused": Refused,
    "failed": Failed,
    "lost": AnswerLost,
}
