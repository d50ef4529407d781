"""Knocks at every address of the broker, and chooses the one that the service would use."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aio_pika
from aio_pika.exceptions import AMQPError

from service.checks import Finding, State
from service.checks.settings import bare
from service.topology.connection import closed
from service.topology.refusal import causes, refusal

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Sequence

    from aio_pika.abc import AbstractRobustConnection
    from yarl import URL

    from service.messages.wire import Json

_KNOCK = 5.0
"""Seconds for one address."""


@dataclass(frozen=True)
class _Refused:
    """An address that answers and says no, or does not answer."""

    why: str
    is_final: bool


@asynccontextmanager
async def reached(
    addresses: Sequence[URL], tls: ssl.SSLContext | None
) -> AsyncIterator[tuple[AbstractRobustConnection | None, Finding]]:
    """Connect for as long as the body lasts; None if no address serves: the finding says why."""
    tried = await asyncio.gather(*(_knock(address, tls) for address in addresses))
    try:
        yield _chosen(addresses, tried)
    finally:
        connections = [each for each in tried if not isinstance(each, _Refused)]
        await asyncio.gather(*(closed(each.close()) for each in connections))


async def _knock(address: URL, tls: ssl.SSLContext | None) -> AbstractRobustConnection | _Refused:
    try:
        return await aio_pika.connect_robust(
            address, ssl_context=tls if address.scheme == "amqps" else None, timeout=_KNOCK
        )
    except TimeoutError:
        return _Refused(f"no answer within {_KNOCK:g} s", is_final=False)
    except (AMQPError, OSError) as error:
        why = await asyncio.to_thread(refusal, address, error, tls)
        return _Refused(why or _reason(error), is_final=why is not None)


def _reason(error: BaseException) -> str:
    """Say what the operating system said: asyncio puts the address where the reason belongs."""
    for cause in causes(error):
        if isinstance(cause, OSError) and isinstance(cause.errno, int) and cause.errno > 0:
            return os.strerror(cause.errno)
    return str(error) or type(error).__name__


def _chosen(
    addresses: Sequence[URL], tried: Sequence[AbstractRobustConnection | _Refused]
) -> tuple[AbstractRobustConnection | None, Finding]:
    """Choose as the service does: the first that answers; it stops at one that says no."""
    chosen: AbstractRobustConnection | None = None
    answered: str | None = None
    silent: list[Json] = []
    told: list[str] = []
    state = State.FAILED
    is_over = False
    for address, result in zip(addresses, tried, strict=True):
        name = bare(str(address))
        if isinstance(result, _Refused):
            silent.append({"address": name, "reason": result.why})
            told.append(f"{name}: {result.why}")
            is_over = is_over or result.is_final
        elif chosen is None and not is_over:
            chosen, answered = result, name
            state = State.OK
            told.append(f"{name} answers")
    if chosen is not None and silent:
        state = State.WARNING
    detail = "; ".join(told)
    return chosen, Finding(
        "broker", "addresses", state, detail, {"answered": answered, "silent": silent}
    )
