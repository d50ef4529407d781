"""Whether a broker takes connections: found out by opening one, and by nothing less.

An open port is not enough: RabbitMQ listens before its virtual hosts are up.
"""

import asyncio
import random
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import aio_pika
from aio_pika.connection import make_url

# Below the ports that Linux gives to outgoing connections (from 32768 on). A client that keeps
# reconnecting to a dead port out of that range is sooner or later connected to itself, and the
# broker cannot have its port back.
_PORTS: Final = range(20_000, 32_000)
_ONE_TRY: Final = 5.0
_BETWEEN_TRIES: Final = 0.05


class BrokerUnavailable(Exception):
    """There is no broker to be had this way; the text says why, and what to do about it."""


def shown(url: str) -> str:
    """The URL of a broker without its credentials, for people to read."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or 5672}{parts.path}"


async def reach(url: str, *, patience: float = _ONE_TRY) -> None:
    """Open an AMQP connection and close it again.

    Args:
        url: where the broker is, with credentials and virtual host.
        patience: how long that may take, in seconds.

    Raises:
        BrokerUnavailable: it cannot be done now; the text has no credentials in it.
    """
    try:
        async with asyncio.timeout(patience):
            # Closed even if it never opened: the library warns about those that are left behind.
            async with aio_pika.Connection(make_url(url)) as connection:
                await connection.connect()
    except TimeoutError:
        raise BrokerUnavailable(f"no answer within {patience:g} s") from None
    except Exception as error:  # noqa: BLE001 - whatever the client raises, there is no connection
        # Its text may quote the URL, password included.
        text = str(error).replace(url, shown(url))
        raise BrokerUnavailable(f"{type(error).__name__}: {text}") from None


def wait_until_ready(
    url: str, *, patience: float, ended: Callable[[], bool], log: Callable[[], str]
) -> None:
    """Block until a broker that was just started takes connections.

    Args:
        url: where it will be.
        patience: how long to wait, in seconds.
        ended: tells whether it has ended meanwhile, so that waiting is pointless.
        log: its last log lines, for the error.

    Raises:
        BrokerUnavailable: it ended, or the time is over.
    """
    parts = urlsplit(url)
    deadline = time.monotonic() + patience
    reason = "nothing listens yet"
    while time.monotonic() < deadline:
        if ended():
            raise BrokerUnavailable(f"RabbitMQ ended while it started; its last words:\n{log()}")
        # The cheap question first: the port opens only in the last tenth of a start.
        if listens(parts.hostname or "", parts.port or 5672):
            try:
                # A thread has no event loop running, whoever called us.
                with ThreadPoolExecutor(1) as thread:
                    thread.submit(lambda: asyncio.run(reach(url))).result()
            except BrokerUnavailable as not_yet:
                reason = str(not_yet)
            else:
                return
        time.sleep(_BETWEEN_TRIES)
    raise BrokerUnavailable(
        f"RabbitMQ was not ready after {patience:g} s ({reason}); its last words:\n{log()}"
    )


def listens(host: str, port: int) -> bool:
    """Whether anybody listens there; it need not be a broker, nor one that is ready."""
    with suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on at the moment, on the loopback address."""
    found: list[int] = []
    for port in random.sample(_PORTS, k=200):
        with socket.socket() as trial, suppress(OSError):
            # As Erlang does: a port whose last connections are only fading away is free.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise BrokerUnavailable("no free ports on 127.0.0.1")
