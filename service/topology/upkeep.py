"""Sees that everything goes on standing on the broker while the service runs.

People delete queues, exchanges and bindings, and a broker may drop a consumer without a word. So
everything is declared again every few seconds, which changes nothing where it stands, puts back
what is gone, and tells how many consumers each queue has.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from service.errors import ConfigurationError
from service.telemetry import log
from service.topology import declare
from service.topology.connection import is_connection_trouble, told_to_stop

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aio_pika.abc import AbstractRobustConnection

    from service.topology import Count

NO_CONSUMER = "consumer-missing"
"""Why nothing comes although the broker is there."""
INTERVAL = 5.0
"""Seconds between two rounds that nobody asks for."""
_SHORTEST = 1.0
"""Seconds between two rounds that somebody asks for."""
_PATIENCE = 10.0


class Upkeep:
    """Declares everything again and again.

    Args:
        connection: the publishing one.
        delays: the retry delays, in whole seconds.
        consumed: the queues that must have a consumer.
        hurry: set by whoever cannot publish: something may be gone.
        interval: seconds between two rounds that nobody asks for.

    Attributes:
        counts: how full each queue was a moment ago, by name; empty when nobody can know.
    """

    def __init__(
        self,
        connection: AbstractRobustConnection,
        delays: Sequence[int],
        *,
        consumed: Collection[str],
        hurry: asyncio.Event,
        interval: float = INTERVAL,
    ) -> None:
        """Keep the parts; `run` looks after everything."""
        self._connection = connection
        self._delays = delays
        self._consumed = consumed
        self._hurry = hurry
        self._interval = interval
        self._differs = ""
        self._unconsumed: frozenset[str] = frozenset()
        self.counts: dict[str, Count] = {}

    @property
    def idle_reason(self) -> str | None:
        """Say what keeps commands from coming or results from going; None when nothing does."""
        if self._differs:
            return "topology-differs"
        return NO_CONSUMER if self._unconsumed else None

    async def run(self) -> None:
        """Go round. Never returns."""
        self._hurry.set()  # the counts are wanted before the first round would be due
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._hurry.wait()
                    await asyncio.sleep(_SHORTEST)
            self._hurry.clear()
            # Old figures would be taken for those of the moment.
            self.counts = await self._round() if self._connection.connected.is_set() else {}

    async def _round(self) -> dict[str, Count]:
        """Declare everything once, and say how full each queue is, if that can be known."""
        try:
            async with asyncio.timeout(_PATIENCE):
                counts = await declare(self._connection, self._delays)
        except ConfigurationError as error:
            if str(error) != self._differs:
                log.error("topology-differs", reason=str(error))
            self._differs = str(error)
            return {}
        except asyncio.CancelledError:
            if told_to_stop():
                raise
            return {}
        except Exception as error:
            if not is_connection_trouble(error):
                raise
            return {}  # the connection's own trouble, which is told elsewhere
        self._differs = ""
        self._note_missing(counts)
        return counts

    def _note_missing(self, counts: dict[str, Count]) -> None:
        missing = frozenset(each for each in self._consumed if not counts[each].consumers)
        if missing and missing != self._unconsumed:
            log.warning("consumer-missing", queues=sorted(missing))
        self._unconsumed = missing
        if missing:
            self._hurry.set()  # it may be over at once, and must not be believed any longer
