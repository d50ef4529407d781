"""A list that an appliance gives page by page: read to its end, some pages ahead, none twice.

The appliance may cap the page size, so the offset advances by the rows that came; its own count
says whether they are all there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from service.appliances.phones import device_of, rows_of, total_of
from service.appliances.ports import Part
from service.errors import Waiting

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from service.messages.results import Device
    from service.messages.wire import Json

    ReadPage: TypeAlias = Callable[[int, int], Coroutine[None, None, dict[str, Json]]]

PAGE_SIZE = 500
MAX_ROWS = 250_000
"""A list that is longer, or never ends, is cut there; `next` says where it goes on."""
_MAX_PAGES = 500
_SMALL_PAGE = 50
"""The page size in the vendor's examples; who caps it lower has very long lists cut sooner."""


async def read(
    read_page: ReadPage,
    *,
    wanted: Callable[[Device], bool],
    start: int,
    limit: int | None,
    ahead: int = 0,
) -> AsyncGenerator[Part]:
    """Read pages until there is nothing left or `limit` rows were read; at least one part comes.

    Args:
        read_page: reads one page, given its offset and size.
        wanted: checks once more what the query asked for, in case a firmware ignores it.
        start: rows to leave out.
        limit: rows to read at most; None for all.
        ahead: pages that are asked for while an earlier one is worked on, at most.
    """
    end = start + (MAX_ROWS if limit is None else limit)
    reading = _Reading(wanted, start, end)
    pages = _Pages(read_page, ahead, end)
    try:
        for _ in range(max(_MAX_PAGES, (end - start) // _SMALL_PAGE)):
            size = min(reading.page_size, end - reading.offset)
            body = await pages.get(reading.offset, size, reading.total or 0)
            yield await reading.take(body)
            if reading.is_over:
                return
    finally:
        await pages.forget()


class _Reading:
    """How far a list was read."""

    def __init__(self, wanted: Callable[[Device], bool], start: int, end: int) -> None:
        self.offset = start
        self.total: int | None = None
        self.page_size = PAGE_SIZE
        self.is_over = False
        self._wanted = wanted
        self._start = start
        self._end = end
        self._seen: set[str] = set()
        self._repeated = False

    async def take(self, body: dict[str, Json]) -> Part:
        """Take a page and return its new devices; yield to the event loop in between."""
        rows = rows_of(body)
        counted = total_of(body)
        self.total = total = self.total if counted is None else counted
        if self.offset == self._start and rows:
            # Who caps the size of a page does so from the first one on.
            self.page_size = min(PAGE_SIZE, len(rows))
        devices = await self._new(rows[: self._end - self.offset])
        self.offset += min(len(rows), self._end - self.offset)
        offset, more = self.offset, body.get("nextPage") is True
        finished = not rows or (total is not None and offset >= total and not more)
        left = not finished and (total is None or offset < total)
        agree = total is None or (offset <= max(total, self._start) and (left or offset >= total))
        self.is_over = finished or offset >= self._end
        return Part(
            devices=devices,
            rows=offset - self._start,
            total=total,
            next=offset if left else None,
            complete=agree and not self._repeated and self.is_over,
        )

    async def _new(self, rows: list[dict[str, Json]]) -> tuple[Device, ...]:
        found = []
        for number, row in enumerate(rows, 1):
            if number % PAGE_SIZE == 0:
                # A page may have 16 MiB, whose rows take more than a second.
                await asyncio.sleep(0)
            key = str(row.get("mkey") or f"row {self.offset}.{len(self._seen)}")
            if key in self._seen:
                self._repeated = True
                continue
            self._seen.add(key)
            device = device_of(row)
            if self._wanted(device):
                found.append(device)
        return tuple(found)


@dataclass
class _Pages:
    """The pages that were asked for and not taken yet, in order."""

    read: ReadPage
    ahead: int
    end: int
    asked: deque[tuple[int, int, asyncio.Task[dict[str, Json]]]] = field(default_factory=deque)

    async def get(self, offset: int, size: int, total: int) -> dict[str, Json]:
        """Read a page, and ask for those behind it that are known to be there."""
        if self.asked and self.asked[0][:2] != (offset, size):
            await self.forget()  # the page before was not as long as it was thought to be
        was_early = bool(self.asked)
        if not was_early:
            self._ask(offset, size)
        while len(self.asked) <= self.ahead:
            last, length, _ = self.asked[-1]
            behind = last + length
            if behind >= min(self.end, total):
                break
            self._ask(behind, min(size, self.end - behind))
        *_, page = self.asked.popleft()
        try:
            return await page
        except Waiting:
            if not was_early:
                raise
            # Too many asked at once, perhaps this list itself: now it is this page's turn.
            return await self.read(offset, size)

    async def forget(self) -> None:
        """Take back what was asked for."""
        tasks = [task for _, _, task in self.asked]
        self.asked.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ask(self, offset: int, size: int) -> None:
        self.asked.append((offset, size, asyncio.create_task(self.read(offset, size))))
