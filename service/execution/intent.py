"""The ledger as a handler sees it: the intent of one command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.messages.wire import now
from service.telemetry import log

if TYPE_CHECKING:
    from datetime import datetime

    from pydantic import BaseModel

    from service.ledger import Intent, Ledger
    from service.messages.commands import Command


class LedgerIntent:
    """A `WriteIntent` that is durable.

    Args:
        ledger: where it is recorded.
        command: whose intent it is.
        model: what was read before the write, as a type; None for commands that write nothing.
        found: an intent that an earlier run left open.
    """

    def __init__(
        self, ledger: Ledger, command: Command, model: type[BaseModel] | None, found: Intent | None
    ) -> None:
        """Take up what is known."""
        self._ledger = ledger
        self._command = command
        self._found = found
        self.before = model.model_validate_json(found.before) if model and found else None

    @property
    def open(self) -> bool:
        """Tell whether a write is announced and not settled."""
        return self._found is not None

    @property
    def recorded_at(self) -> datetime:
        """When it was recorded; now, if it was not."""
        return self._found.at if self._found else now()

    @property
    def age(self) -> float:
        """Seconds since it was recorded."""
        return (now() - self.recorded_at).total_seconds()

    async def record(self, before: BaseModel) -> None:
        """Announce the write, durably. See `WriteIntent`."""
        self._found = await self._ledger.intend(self._command, before.model_dump_json().encode())
        self.before = before
        log.info("intent-recorded")

    async def withdraw(self) -> None:
        """Take it back. See `WriteIntent`."""
        await self._ledger.withdraw(self._command)
        self._found = self.before = None
        log.info("intent-withdrawn")
