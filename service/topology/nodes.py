"""Finds a node of the broker that answers, and looks at the others.

A broker may be a cluster of nodes, each with an address. All connections of a process begin at the
same node, one that is drawn: work needs all of them, so a second node would only be a second way
to be interrupted. It is the replicas that spread.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING

import aio_pika
from aio_pika.exceptions import AMQPError

from service.errors import ConfigurationError
from service.telemetry import log
from service.topology.connection import RETRY_PAUSE, closed, identity_of, opened, shown, why
from service.topology.refusal import is_of_virtual_host, refusal

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from yarl import URL

    from service.topology.connection import Roaming

GLANCE = 1.0
"""Seconds for a look at the nodes that are not needed yet."""
LONGEST_PAUSE = 5.0
"""Seconds between two tries, at most."""


async def connect(addresses: Sequence[URL], tls: ssl.SSLContext | None) -> Roaming:
    """Connect to a node that answers, whichever comes first; wait until one does.

    Args:
        addresses: of the broker's nodes; their order says nothing.
        tls: for `amqps://`.

    Raises:
        ConfigurationError: a node refuses us, or all of them the virtual host, or we do not trust
            one: see `refusal`.
    """
    order = deque(random.sample(addresses, len(addresses)))
    pause, told = RETRY_PAUSE, False
    while True:
        refusals = 0
        for _ in addresses:
            try:
                return await opened(list(order), tls)
            except (AMQPError, OSError, TimeoutError) as error:
                if refused := await asyncio.to_thread(refusal, order[0], error, tls):
                    # A node that has only just begun may not have its virtual hosts: others have.
                    refusals += 1
                    if refusals == len(addresses) or not is_of_virtual_host(error):
                        raise ConfigurationError(refused) from None
                if not told:
                    log.warning("broker-unreachable", broker=shown(order[0]), reason=why(error))
                order.rotate(-1)
        told = True
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


async def look_at_others(connection: Roaming, tls: ssl.SSLContext | None) -> None:
    """Knock at the nodes that are not needed yet: in an outage is no time to find them wrong.

    Raises:
        ConfigurationError: one refuses the login, or is no node of the same broker.
    """
    others = connection.addresses[1:]
    for address, found in zip(
        others, await asyncio.gather(*(_glance(each, tls) for each in others)), strict=True
    ):
        if isinstance(found, BaseException):
            refused = await asyncio.to_thread(refusal, address, found, tls)
            if refused and not is_of_virtual_host(found):
                raise ConfigurationError(refused)
            log.warning("broker-unreachable", broker=shown(address), reason=why(found))
        elif found != connection.identity:
            raise ConfigurationError(
                f"COURIER_BROKER_URL: {shown(address)} is {found}, and {shown(connection.url)} is"
                f" {connection.identity}; the nodes of one cluster have one name: see"
                " `rabbitmqctl set_cluster_name`"
            )


async def _glance(address: URL, tls: ssl.SSLContext | None) -> str | BaseException:
    """Name the broker behind an address, or say why it cannot be had."""
    connection = aio_pika.Connection(address, ssl_context=tls)
    try:
        await connection.connect(GLANCE)
        return identity_of(connection)
    except (AMQPError, OSError, TimeoutError) as error:
        return error
    finally:
        await closed(connection.close())
