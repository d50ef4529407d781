"""A query's pages on their way out: numbered within one reading, published as they come."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from service.errors import Code, Failed
from service.messages.encode import page_event
from service.messages.events import MAX_DEVICES, CommandRef, QueryDevicesPage
from service.messages.results import Streamed
from service.messages.wire import MAX_BYTES, MAX_RESULT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from service.appliances.ports import Part
    from service.messages.commands import Command
    from service.messages.encode import Event
    from service.messages.results import Device

_MAX_DATA = MAX_BYTES // 2
"""Bytes of a page's data: nobody says how long an appliance's texts may be."""
_LABELS = 2**53 - 1
"""How many labels there are: the contract's largest integer, which every JSON reader keeps."""


def _new_label() -> int:
    """Draw the `attempt` of one reading, a number that no other reading has.

    Random, not counted: a message and its retry copy both live when the ack after the copy is lost,
    and so do the copies of either. No header of one tells how far the others have counted.
    """
    return secrets.randbelow(_LABELS) + 1


class EventPages:
    """`Pages` that become events.

    Args:
        command: whose pages they are.
        source: the `source` of the events.
        tell: tells an event; returns when the broker has it. Meanwhile the next page is read, and
            no more than that one: they arrive in order, and memory stays as it is.

    Attributes:
        streamed: how far the list was read and told; None before anything of it was read. The
            last page is on its way until `all_told` returns.
    """

    def __init__(
        self, command: Command, source: str, tell: Callable[[Event], Awaitable[None]]
    ) -> None:
        """Keep the parts; nothing is told yet."""
        self.streamed: Streamed | None = None
        self._command = command
        self._source = source
        self._attempt = _new_label()
        self._tell = tell
        self._pages = self._devices = 0
        self._telling: asyncio.Task[None] | None = None

    async def tell(self, part: Part) -> None:
        """Tell what is new of a list. See `Pages`."""
        # An appliance may give more at once than it was asked for.
        for at in range(0, len(part.devices), MAX_DEVICES):
            await self._tell_page(part.devices[at : at + MAX_DEVICES])
        self.streamed = Streamed(
            attempt=self._attempt, pages=self._pages, devices=self._devices, rows=part.rows
        )

    async def all_told(self) -> None:
        """Wait until the broker has all that was told so far."""
        if self._telling is not None:
            await self._telling

    async def _tell_page(self, devices: tuple[Device, ...]) -> None:
        envelope = self._command.envelope
        page = QueryDevicesPage(
            command=CommandRef(id=envelope.id, source=envelope.source, type=envelope.type),
            appliance=self._command.data.appliance,
            attempt=self._attempt,
            sequence=self._pages + 1,
            devices=devices,
        )
        event = page_event(self._command, page, source=self._source)
        if len(event.data) > _MAX_DATA and len(devices) > 1:
            half = len(devices) // 2
            await self._tell_page(devices[:half])
            await self._tell_page(devices[half:])
            return
        if len(event.data) > MAX_RESULT:
            raise Failed(Code.UNEXPECTED_ANSWER, f"one phone has more than {MAX_RESULT} bytes")
        await self.all_told()
        self._telling = asyncio.create_task(self._on_its_way(event))
        self._pages += 1
        self._devices += len(devices)

    async def _on_its_way(self, event: Event) -> None:
        await self._tell(event)
