"""Looks at the broker as the service would meet it, and disturbs nobody who uses it.

Nothing is consumed or taken over. What is missing is declared as by every start. Which permissions
there are is tried on queues of the check's own, which go with its connection.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING
from uuid import uuid4

import aio_pika
from aio_pika.exceptions import AMQPError
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelLockedResource,
    ChannelNotFoundEntity,
)

from service.checks import Finding, State
from service.checks.addresses import reached
from service.errors import ConfigurationError, PublishFailed, TopologyMismatch
from service.topology import (
    EVENTS_EXCHANGE,
    LEDGER_HOLD,
    OWN_PREFIX,
    PARKED,
    SQLITE_OWNER,
    Count,
    declare,
    quarantine_queue,
    queues,
    retry_name,
    work_queues,
)
from service.topology.connection import identity_of, underlay
from service.topology.publisher import NOWHERE, Publisher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_pika.abc import AbstractRobustConnection

    from service.messages.wire import Json
    from service.settings import Settings

PATIENCE = 10.0
"""Seconds; the service itself waits for its broker for ever."""
_ALARM = 2.0
"""Seconds after which a confirm that takes milliseconds is held back by an alarm."""
_LEAST = (3, 10)
"""The first version that dead-letters at least once."""
_DIFFERENCE = re.compile(
    r"(?P<kind>queue|exchange) (?P<name>\S+) .* differs in (?P<argument>[^:]+): "
    r"received (?P<wanted>.*) but current is (?P<found>.*)"
)


async def look(settings: Settings) -> tuple[str | None, list[Finding]]:
    """Look at everything; give the broker's identity, if one answered, and what was found."""
    try:
        addresses = settings.broker_addresses("courier check")
        tls = settings.broker_tls()
    except ConfigurationError as error:
        return None, [_finding("addresses", State.FAILED, str(error))]
    async with reached(addresses, tls) as (connection, finding):
        if connection is None:
            return None, [finding]
        found = [finding, _version(connection), _limits(connection)]
        try:
            async with asyncio.timeout(PATIENCE):
                found += await _stand(connection, settings.retry_delays)
                found.append(await _alarm(connection))
        except TimeoutError:
            found.append(_silent(f"does not answer within {PATIENCE:g} s"))
        except (AMQPError, OSError, RuntimeError) as error:
            found.append(_silent(str(error)))
        return identity_of(connection), found


def _finding(what: str, state: State, detail: str, **facts: Json) -> Finding:
    return Finding("broker", what, state, detail, facts)


def _silent(why: str) -> Finding:
    return _finding("connection", State.FAILED, why)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _version(connection: AbstractRobustConnection) -> Finding:
    told = underlay(connection).server_properties
    product, version = _text(told.get("product")), _text(told.get("version"))
    numbers = tuple(int(each) for each in re.findall(r"\d+", version)[:2])
    facts: dict[str, Json] = {"product": product, "version": version}
    detail = f"{product} {version}, {identity_of(connection)}"
    facts["identity"] = identity_of(connection)
    if product != "RabbitMQ" or numbers < _LEAST:
        least = ".".join(str(each) for each in _LEAST)
        return _finding(
            "version", State.WARNING, f"{detail}; needs RabbitMQ {least} or newer", **facts
        )
    return _finding("version", State.OK, detail, **facts)


def _limits(connection: AbstractRobustConnection) -> Finding:
    tune = underlay(connection).connection_tune
    state, hint = State.OK, ""
    if not tune.heartbeat:
        state, hint = State.WARNING, "; a broker that freezes is never noticed"
    detail = (
        f"heartbeat {tune.heartbeat} s, frames of {tune.frame_max} bytes, {tune.channel_max}"
        f" channels; the largest message is not told over AMQP{hint}"
    )
    return _finding(
        "limits",
        state,
        detail,
        heartbeat=tune.heartbeat,
        frame_max=tune.frame_max,
        channel_max=tune.channel_max,
        max_message_size=None,
    )


async def _stand(connection: AbstractRobustConnection, delays: Sequence[int]) -> list[Finding]:
    """Look at what stands there, then declare it as every start does."""
    names = [queue.name for queue in queues(sorted(set(delays)))]
    counts = {name: await _count(connection, name) for name in names}
    running = await _is_held(connection)
    refusal, topology = await _topology(connection, delays, counts)
    retries = [retry_name(delay) for delay in sorted(set(delays))]
    refusal = refusal or await _refusal(connection, PARKED, EVENTS_EXCHANGE, *retries)
    if refusal:
        permissions = _finding("permissions", State.FAILED, refusal)
    elif refusal := await _refusal(connection, ""):
        permissions = _finding(
            "permissions", State.WARNING, f"no `reply_to` is answered: {refusal}"
        )
    else:
        detail = "configure, write and read, as far as AMQP tells"
        permissions = _finding("permissions", State.OK, detail)
    found = {name: count for name, count in counts.items() if count is not None}
    return [permissions, topology, _courier(running, found), _waiting(found)]


async def _count(connection: AbstractRobustConnection, queue: str) -> Count | None:
    channel = await underlay(connection).channel(publisher_confirms=False)
    try:
        found = await channel.queue_declare(queue, passive=True)
    except ChannelNotFoundEntity:
        return None
    await channel.close()
    return Count(found.message_count or 0, found.consumer_count or 0)


async def _is_held(connection: AbstractRobustConnection) -> bool:
    """Tell whether a courier holds the virtual host for its ledger, without taking the hold.

    Couriers of older releases hold only `courier.sqlite-owner`, and only with a SQLite ledger.
    """
    try:
        if await _count(connection, SQLITE_OWNER) is not None:
            return True
    except ChannelLockedResource:
        return True
    hold = await _count(connection, LEDGER_HOLD)
    return hold is not None and hold.consumers > 0


async def _topology(
    connection: AbstractRobustConnection, delays: Sequence[int], before: dict[str, Count | None]
) -> tuple[str, Finding]:
    """Declare everything; give the refusal that kept us from it, if one did."""
    try:
        await declare(connection, delays)
    except TopologyMismatch as error:
        lines = str(error).splitlines()
        differences: list[Json] = [_difference(line) for line in lines]
        why = "\n".join(lines)
        return "", _finding("topology", State.FAILED, why, differences=differences)
    except ConfigurationError as error:
        why = "could not be looked at: see permissions"
        return str(error), _finding("topology", State.FAILED, why, differences=[])
    made: list[Json] = [name for name, count in before.items() if count is None]
    detail = "as the contract says"
    if made:
        detail += f"; declared now: {', '.join(str(name) for name in made)}"
    return "", _finding("topology", State.OK, detail, differences=[], declared=made)


def _difference(line: str) -> Json:
    found = _DIFFERENCE.fullmatch(line)
    return {**found.groupdict()} if found else {"told": line}


async def _refusal(connection: AbstractRobustConnection, *names: str) -> str:
    """Try whether we may read, and write to each exchange; say what is refused.

    A queue with a dead-letter exchange may be declared only by who may read it and write there.
    Ours are exclusive: they go with the connection, and nothing ever comes into them.
    """
    transport = underlay(connection)
    for exchange in names:
        channel = await transport.channel(publisher_confirms=False)
        try:
            await channel.queue_declare(
                f"{OWN_PREFIX}check-{uuid4().hex}",
                exclusive=True,
                auto_delete=True,
                arguments={"x-dead-letter-exchange": exchange},
            )
        except ChannelAccessRefused as error:
            return f"COURIER_BROKER_URL: {error}"
        await channel.close()
    return ""


def _courier(running: bool, found: dict[str, Count]) -> Finding:
    consumed = [queue.name for queue in (*work_queues(), quarantine_queue())]
    idle = [name for name in consumed if name in found and not found[name].consumers]
    facts: dict[str, Json] = {"running": running, "without_consumer": [*idle]}
    if not running:
        return _finding("courier", State.OK, "none runs on this virtual host", **facts)
    if idle:
        why = f"one runs on this virtual host, but nobody consumes {', '.join(idle)}"
        return _finding("courier", State.WARNING, why, **facts)
    return _finding("courier", State.OK, "one runs on this virtual host", **facts)


def _waiting(found: dict[str, Count]) -> Finding:
    messages: dict[str, Json] = {name: each.messages for name, each in found.items()}
    full = [f"{name} {count}" for name, count in messages.items() if count]
    detail = ", ".join(full) or "nothing"
    parked = PARKED in found and found[PARKED].messages
    if parked:
        detail += "; see `courier parked list`"
    state = State.WARNING if parked else State.OK
    return _finding("waiting", state, detail, messages=messages)


async def _alarm(connection: AbstractRobustConnection) -> Finding:
    """Publish what goes nowhere: under an alarm the broker confirms nothing.

    It takes the first message even then, and blocks the connection.
    """
    publisher = await Publisher.open(connection)
    probe = aio_pika.Message(b"", message_id="courier-probe")
    try:
        async with asyncio.timeout(_ALARM):
            for _ in range(2):
                await publisher.publish(
                    probe, exchange=PARKED, routing_key=NOWHERE, mandatory=False
                )
    except TimeoutError:
        why = "a memory or disk alarm: the broker takes no messages"
        return _finding("alarms", State.FAILED, why, blocked=True)
    except PublishFailed as error:
        return _finding("alarms", State.FAILED, f"nothing can be published: {error}", blocked=None)
    return _finding("alarms", State.OK, "none", blocked=False)
