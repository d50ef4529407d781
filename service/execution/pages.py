"""A query's pages on their way out: numbered within one attempt, told as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.messages.encode import page_event
from service.messages.events import CommandRef, QueryDevicesPage
from service.messages.results import Streamed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from service.appliances.ports import Part
    from service.messages.commands import Command
    from service.messages.encode import Event


class EventPages:
    """`Pages` that become events.

    Args:
        command: whose pages they are.
        source: the `source` of the events.
        attempt: the number of this reading; no other one of the command has it.
        tell: tells an event; returns when the broker has it.

    Attributes:
        told: how far the list was read and told; None before anything of it was read.
    """

    def __init__(
        self,
        command: Command,
        *,
        source: str,
        attempt: int,
        tell: Callable[[Event], Awaitable[None]],
    ) -> None:
        """Keep the parts; nothing is told yet."""
        self.told: Streamed | None = None
        self._command = command
        self._source = source
        self._attempt = attempt
        self._tell = tell

    async def tell(self, part: Part) -> None:
        """Tell what is new of a list. See `Pages`."""
        pages, devices = (self.told.pages, self.told.devices) if self.told else (0, 0)
        if part.devices:
            pages += 1
            devices += len(part.devices)
            envelope = self._command.envelope
            page = QueryDevicesPage(
                command=CommandRef(id=envelope.id, source=envelope.source, type=envelope.type),
                appliance=self._command.data.appliance,
                attempt=self._attempt,
                sequence=pages,
                devices=part.devices,
            )
            await self._tell(page_event(self._command, page, source=self._source))
        self.told = Streamed(attempt=self._attempt, pages=pages, devices=devices, rows=part.rows)
