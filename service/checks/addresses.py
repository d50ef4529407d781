"""Knocks at every address of the broker, and chooses the one that the service would use."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aio_pika
from aio_pika.exceptions import AMQPError, ProbableAuthenticationError
from aiormq.exceptions import AuthenticationError

from service.checks import Finding, State
from service.checks.settings import bare
from service.topology.connection import closed, identity_of

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
    except (AuthenticationError, ProbableAuthenticationError) as error:
        return _Refused(f"refuses the login: {error}", is_final=True)
    except TimeoutError:
        return _Refused(f"no answer within {_KNOCK:g} s", is_final=False)
    except (AMQPError, OSError) as error:
        says_no = any(word in str(error) for word in ("NOT_ALLOWED", "Connection.Close", "vhost"))
        return _Refused(_reason(error), is_final=says_no)


def _reason(error: BaseException) -> str:
    """Say what the operating system said: asyncio puts the address where the reason belongs."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
            return os.strerror(cause.errno)
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


def _chosen(
    addresses: Sequence[URL], tried: Sequence[AbstractRobustConnection | _Refused]
) -> tuple[AbstractRobustConnection | None, Finding]:
    """Choose one that answers, as the service does; it may begin at any, so none may say no."""
    chosen: AbstractRobustConnection | None = None
    answered: str | None = None
    silent: list[Json] = []
    told: list[str] = []
    is_wrong = False
    for address, result in zip(addresses, tried, strict=True):
        name = bare(str(address))
        if isinstance(result, _Refused):
            silent.append({"address": name, "reason": result.why})
            told.append(f"{name}: {result.why}")
            is_wrong = is_wrong or result.is_final
        elif chosen is None:
            chosen, answered = result, name
            told.append(f"{name} answers")
        elif identity_of(result) == identity_of(chosen):
            told.append(f"{name} answers")
        else:
            is_wrong = True
            told.append(f"{name} is another broker, {identity_of(result)}")
    if is_wrong:
        chosen = answered = None
    state = State.FAILED if chosen is None else State.WARNING if silent else State.OK
    return chosen, Finding(
        "broker", "addresses", state, "; ".join(told), {"answered": answered, "silent": silent}
    )
