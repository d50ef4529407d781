"""Holds the ledger's identity on the virtual host, so that no other ledger serves it meanwhile.

The hold is the quorum queue `courier.ledger`, whose `x-max-length` is a number derived from the
identity. RabbitMQ compares that argument when the queue is declared (3.10 to 4.3:
`rabbit_quorum_queue:capabilities/0`, `queue_arguments`), so `queue.declare` is an atomic
compare-and-set: a courier with another ledger gets 406 PRECONDITION_FAILED.

Every courier has a consumer there. While one has, neither `x-expires` nor a policy with `expires`
deletes the queue; when an operator deletes it, the broker cancels the consumers before the queue's
name is free. When the last consumer is gone, the queue expires and another ledger may take the
virtual host: a lost ledger is replaced without an operator's step.

Rejected: an auto-delete queue (it is gone as soon as the broker loses the last connection, before
the courier at the other end can know); a lease in a message (nothing compares and sets it).
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelLockedResource,
    ChannelPreconditionFailed,
)

from service.errors import ConfigurationError
from service.messages.wire import now
from service.telemetry import log
from service.topology.claims import (
    DELETION_PAUSE,
    OTHER_LEDGER,
    OTHER_OWNER,
    SQLITE_CLAIM,
    is_owned,
    ledger_claim,
    wait_for_lapse,
)
from service.topology.connection import is_connection_trouble, told_to_stop, underlay
from service.topology.upkeep import NO_CONSUMER

if TYPE_CHECKING:
    from datetime import datetime

    from aio_pika.abc import AbstractRobustConnection
    from aiormq.abc import AbstractChannel
    from pamqp.commands import Basic

CONFLICT = "ledger-conflict"
"""The readiness reason while the virtual host is held for another ledger."""
LEASE: Final = 4.0
"""Seconds for which an answer of the broker proves the hold, counted from the question. Shorter
than `claims.EXPIRES`: a process that was suspended, or whose connection only the broker has given
up, stops writing before another ledger can take the virtual host."""
CONFIRM_INTERVAL: Final = 1.0
"""Seconds between two confirmations."""
ANSWER_TIMEOUT: Final = 10.0
"""Seconds that a confirmation may take; it is too late after LEASE, but no reason to give up."""
LAPSE_TIMEOUT: Final = 15.0
"""Seconds that a start waits for an earlier hold to lapse."""


class LedgerHold:
    """Holds the virtual host for one ledger.

    A courier with a SQLite ledger holds the exclusive queue `courier.sqlite-owner` as well: copies
    of one file have one identity.

    Args:
        identity: the ledger's; see `Ledger.identity`.
        is_sqlite: the ledger serves one courier only.

    Attributes:
        taken_over_at: when this hold followed one of another ledger; None if none was seen.
    """

    def __init__(self, identity: str, *, is_sqlite: bool) -> None:
        """Build the claims; `acquire` makes them."""
        self._claims = [ledger_claim(identity)]
        if is_sqlite:
            # After the ledger's: a courier that waits for that must not lock out the rightful one.
            self._claims.append(SQLITE_CLAIM)
        self._is_sqlite = is_sqlite
        self._acquired: asyncio.Future[AbstractRobustConnection]
        self._acquired = asyncio.get_running_loop().create_future()
        self._channel: AbstractChannel | None = None
        self._is_consuming = False
        self._held_until = -math.inf
        self._confirmed, self._due = asyncio.Event(), asyncio.Event()
        self._conflict = ""
        self.taken_over_at: datetime | None = None

    @property
    def is_held(self) -> bool:
        """Tell whether no other ledger can have the virtual host at this moment."""
        channel = self._channel
        return channel is not None and not channel.is_closed and _uptime() < self._held_until

    @property
    def idle_reason(self) -> str | None:
        """Return the readiness reason while the virtual host is not held; None while it is."""
        if self._conflict:
            return CONFLICT
        return None if self.is_held else NO_CONSUMER

    async def wait_until_held(self) -> None:
        """Return when the hold is confirmed, at once if it is."""
        while not self.is_held:
            self._confirmed.clear()
            await self._confirmed.wait()

    async def acquire(self, connection: AbstractRobustConnection) -> None:
        """Take the hold for the first time; wait up to LAPSE_TIMEOUT for another one to lapse.

        Args:
            connection: one that publishes nothing: no alarm keeps the broker from answering there.

        Raises:
            ConfigurationError: the virtual host stays held for another ledger, or the broker's user
                may not declare or consume the queue.
        """
        connection.close_callbacks.add(self._on_connection_closed)
        connection.reconnect_callbacks.add(self._on_reconnected)
        try:
            async with asyncio.timeout(LAPSE_TIMEOUT):
                await self._take_after_lapse(connection)
            # Couriers of older releases have only `courier.sqlite-owner`.
            if not self._is_sqlite and await is_owned(connection):
                raise ConfigurationError(OTHER_OWNER)
        except TimeoutError:
            if not self._conflict:
                raise  # the broker does not answer
            raise ConfigurationError(OTHER_LEDGER) from None
        except ChannelLockedResource:
            raise ConfigurationError(OTHER_OWNER) from None
        except ChannelAccessRefused as error:
            names = ", ".join(claim.name for claim in self._claims)
            why = f"its user may not declare or consume {names}: {error}"
            raise ConfigurationError(f"COURIER_BROKER_URL: {why}") from None
        self._acquired.set_result(connection)

    async def maintain(self) -> None:
        """Confirm the hold every second, and regain it once it is lost. Never returns."""
        connection = await self._acquired
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(CONFIRM_INTERVAL):
                    await self._due.wait()
            self._due.clear()
            await self._confirm_or_take(connection)

    async def _take_after_lapse(self, connection: AbstractRobustConnection) -> None:
        while not self.is_held:
            try:
                await self._take(connection)
            except ChannelPreconditionFailed:
                if await is_owned(connection):
                    raise ConfigurationError(OTHER_OWNER) from None  # alive: nothing will lapse
                self._note_conflict(OTHER_LEDGER)
                await wait_for_lapse(connection)

    async def _confirm_or_take(self, connection: AbstractRobustConnection) -> None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                if self._is_consuming and self._channel and not self._channel.is_closed:
                    await self._confirm(self._channel)
                else:
                    await self._take(connection)
        except ChannelPreconditionFailed:
            self._lose()
            self._note_conflict(OTHER_LEDGER)
        except ChannelLockedResource:
            self._lose()
            self._note_conflict(OTHER_OWNER)
        except asyncio.CancelledError:
            if told_to_stop():
                raise
            self._lose()
        except Exception as error:
            if not is_connection_trouble(error):
                raise
            self._lose()  # the connection is lost, or the queue has no leader at the moment

    async def _take(self, connection: AbstractRobustConnection) -> None:
        """Declare and consume on a new channel, then confirm."""
        self._lose()
        if self._channel is not None:
            await self._channel.close()
        self._channel = channel = await underlay(connection).channel(publisher_confirms=False)
        channel.on_consumer_cancel_callbacks.add(self._on_consumer_cancelled)
        self._is_consuming = True
        for claim in self._claims:
            await claim.declare(channel)
            await claim.consume(channel)
        await self._confirm(channel)

    async def _confirm(self, channel: AbstractChannel) -> None:
        """Declare again: that changes nothing, and the answer proves the hold for a while."""
        asked_at = _uptime()
        consumers = [await claim.declare(channel) for claim in self._claims]
        if all(consumers):
            if self._conflict == OTHER_LEDGER:
                self.taken_over_at = now()
            self._conflict = ""
            self._held_until = asked_at + LEASE
            self._confirmed.set()
        elif not self.is_held:
            # RabbitMQ says 0 as well while a quorum queue's leader does not answer in 250 ms.
            self._is_consuming = False

    def _lose(self) -> None:
        self._held_until = -math.inf
        self._is_consuming = False

    def _note_conflict(self, reason: str) -> None:
        if not self._conflict:
            log.error("ledger-conflict", reason=reason)
        self._conflict = reason

    def _on_consumer_cancelled(self, frame: Basic.Cancel) -> None:
        """Stop at once: the queue was deleted, or its node is gone."""
        self._lose()
        asyncio.get_running_loop().call_later(DELETION_PAUSE, self._due.set)
        log.warning("consumer-missing", queues=[frame.consumer_tag])

    def _on_connection_closed(self, *_: object) -> None:
        self._lose()

    def _on_reconnected(self, *_: object) -> None:
        self._due.set()


def _uptime() -> float:
    """Return seconds of a clock that goes on while the system is suspended, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
