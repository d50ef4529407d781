"""Looks every few seconds at what in the ledger waits for somebody; nobody waits for the look.

For the metrics and the page: they must answer while the file is locked, gone or on a disk that
hangs, and then tell the last figures, and from when they are.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING

from service.ledger import Wanted
from service.ledger.opening import opened
from service.messages.wire import now

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from service.ledger import Record
    from service.settings import Postgres

INTERVAL = 5.0
"""Seconds between two looks."""
MOST = 50
"""Entries that are listed."""


@dataclass(frozen=True)
class _Found:
    open_intents: int
    unresolved: int
    oldest_unresolved: datetime | None
    unsettled: list[Record]


class Survey:
    """What is open in a ledger, as it was at the last look.

    Args:
        place: where the ledger is.
        interval: seconds between two looks.

    Attributes:
        open_intents: writes that were announced and whose outcome is not established yet.
        unresolved: commands that ended unknown and that nobody has settled.
        oldest_unresolved: when the oldest of these ended; None if there is none.
        unsettled: both kinds, oldest first, no more than `MOST`.
        surveyed_at: when all this was so; None before the first look.
    """

    def __init__(self, place: Path | Postgres, *, interval: float = INTERVAL) -> None:
        """Know nothing yet; `run` looks."""
        self._place = place
        self._interval = interval
        self.open_intents = 0
        self.unresolved = 0
        self.oldest_unresolved: datetime | None = None
        self.unsettled: list[Record] = []
        self.surveyed_at: datetime | None = None

    async def run(self) -> None:
        """Look again and again. Never returns.

        A look that hangs is waited for: there is never a second one beside it. One that fails
        changes nothing; the ledger's own trouble is told by those who write to it.
        """
        while True:
            began = now()
            with suppress(Exception):  # whatever it is, the next look may be better
                self._take(await _in_a_thread(self._place), began)
            await asyncio.sleep(self._interval)

    def _take(self, found: _Found, at: datetime) -> None:
        self.open_intents = found.open_intents
        self.unresolved = found.unresolved
        self.oldest_unresolved = found.oldest_unresolved
        self.unsettled = found.unsettled
        self.surveyed_at = at


async def _in_a_thread(place: Path | Postgres) -> _Found:
    """Look in a thread that nobody waits for: asyncio's own would keep a process from ending."""
    looked: Future[_Found] = Future()
    Thread(target=_fill, args=(looked, place), name="ledger-survey", daemon=True).start()
    return await asyncio.wrap_future(looked)


def _fill(looked: Future[_Found], place: Path | Postgres) -> None:
    if not looked.set_running_or_notify_cancel():
        return
    try:
        looked.set_result(_look(place))
    except Exception as error:  # noqa: BLE001  whoever waits for it is told
        looked.set_exception(error)


def _look(place: Path | Postgres) -> _Found:
    with opened(place) as care:
        open_intents, unresolved, oldest = care.open_figures()
        entries = care.entries(Wanted(limit=MOST))
        # Open intents come first there, and must not keep the unknown ones away.
        entries += care.entries(Wanted(conclusion="unknown", limit=MOST))
    unsettled = sorted({each.key: each for each in entries}.values(), key=_since)
    return _Found(open_intents, unresolved, oldest, unsettled[:MOST])


def _since(record: Record) -> datetime:
    """Say since when an entry is open."""
    if record.told is not None:
        return record.told.at
    return record.intent.recorded.at if record.intent is not None else now()
