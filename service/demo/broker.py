"""Find a RabbitMQ to run on, or bring one up, in a fixed order.

1. the one that was given (`COURIER_BROKER_URL`): used as it is, and it must answer;
2. Docker, when its daemon answers and an image is there or can be had;
3. a private node of the RabbitMQ that is installed on this machine;
4. the same after installing Debian's package, where we may.

What was started is stopped at the end, whatever the end is.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from service.demo.container import IMAGE, ContainerNode, ensure_image
from service.demo.debian import install_rabbitmq
from service.demo.node import Node, PrivateNode, installed_server
from service.demo.probe import BrokerUnavailable, reach, shown

__all__ = ["Broker", "BrokerUnavailable", "Machine", "Node", "PrivateNode", "running_broker"]

Say = Callable[[str], None]

_WHAT_TO_DO: Final = """\
No RabbitMQ to run on. Do one of these:
  - set COURIER_BROKER_URL=amqp://user:password@host:5672/vhost to use one that runs;
  - install RabbitMQ here (Debian, Ubuntu: apt-get install rabbitmq-server);
  - start Docker, with the image {image} or a way to get it.
Why not so far:
  - Docker: {docker}
  - installed here: {installed}"""


@dataclass(frozen=True)
class Broker:
    """A RabbitMQ that answers.

    Attributes:
        url: where AMQP is spoken, with credentials.
        how: where it comes from.
        api: the management plugin's HTTP API, with credentials; None for a given broker.
        node: to break it on purpose; None for a given broker, which is not ours to break.
    """

    url: str = field(repr=False)
    how: Literal["given", "docker", "private node"]
    api: str | None = field(default=None, repr=False)
    node: Node | None = None


@asynccontextmanager
async def _in_docker(say: Say) -> AsyncIterator[Broker]:
    """A container of our own, gone at the end."""
    image = os.environ.get("COURIER_TEST_RABBITMQ_IMAGE", IMAGE)
    given_up = threading.Event()
    nodes: list[ContainerNode] = []

    def begin() -> ContainerNode:
        ensure_image(image, say, given_up)
        say(f"RabbitMQ: starting {image} in Docker")
        node = ContainerNode(image, given_up)
        nodes.append(node)
        node.start()
        return node

    beginning = asyncio.ensure_future(asyncio.to_thread(begin))
    try:
        node = await asyncio.shield(beginning)
        yield Broker(node.url, "docker", node.api, node)
    finally:
        # A container that is just being made can be removed only after that.
        given_up.set()
        await asyncio.wait([beginning])
        for node in nodes:
            node.close()


@asynccontextmanager
async def _private(server: Path) -> AsyncIterator[Broker]:
    """A node of our own, gone at the end."""
    node = PrivateNode(server)
    try:
        await asyncio.to_thread(node.start)
        yield Broker(node.url, "private node", node.api, node)
    finally:
        # Takes some milliseconds; here rather than in a thread, where it could be cancelled.
        node.close()


@dataclass(frozen=True)
class Machine:
    """What `running_broker` asks of the machine that it runs on; tests have another one.

    Attributes:
        reach: opens a connection to a given broker.
        in_docker: a broker in a container.
        installed_server: where an installed RabbitMQ is.
        install: installs one.
        private: a private node of an installed RabbitMQ.
    """

    reach: Callable[[str], Awaitable[None]] = reach
    in_docker: Callable[[Say], AbstractAsyncContextManager[Broker]] = _in_docker
    installed_server: Callable[[], Path | None] = installed_server
    install: Callable[[Say], Awaitable[None]] = install_rabbitmq
    private: Callable[[Path], AbstractAsyncContextManager[Broker]] = _private


@asynccontextmanager
async def running_broker(
    *, given: str | None, say: Say, may_install: bool = True, machine: Machine | None = None
) -> AsyncIterator[Broker]:
    """Have a RabbitMQ for as long as the context lasts.

    Args:
        given: the URL of a broker to use instead of all else.
        say: told, in sentences, what is tried and what came of it.
        may_install: whether Debian's package may be installed.
        machine: the machine's abilities; this one's unless given.

    Yields:
        The broker, which has just answered.

    Raises:
        BrokerUnavailable: there is none to be had; the text says what to do.
    """
    machine = machine or Machine()
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        if given:
            broker = await _given(given, machine)
        else:
            broker = await _own(stack, say, machine, may_install=may_install)
        took = time.monotonic() - began
        say(f"RabbitMQ: ready after {took:.1f} s ({broker.how}, {shown(broker.url)})")
        yield broker


async def _given(url: str, machine: Machine) -> Broker:
    """A broker that somebody asked for is that one or none."""
    try:
        await machine.reach(url)
    except BrokerUnavailable as silent:
        raise BrokerUnavailable(
            f"The given broker {shown(url)} cannot be used ({silent}). "
            "Start it, correct COURIER_BROKER_URL, or unset it to have one started."
        ) from None
    return Broker(url, "given")


async def _own(stack: AsyncExitStack, say: Say, machine: Machine, *, may_install: bool) -> Broker:
    """The first of our own that comes up."""
    try:
        return await stack.enter_async_context(machine.in_docker(say))
    except BrokerUnavailable as no_docker:
        say(f"RabbitMQ: not in Docker: {no_docker}")
        docker = str(no_docker)
    try:
        server = await _server(say, machine, may_install=may_install)
        say("RabbitMQ: starting a private node of the installed one")
        return await stack.enter_async_context(machine.private(server))
    except BrokerUnavailable as no_node:
        raise BrokerUnavailable(
            _WHAT_TO_DO.format(image=IMAGE, docker=docker, installed=no_node)
        ) from None


async def _server(say: Say, machine: Machine, *, may_install: bool) -> Path:
    """Where RabbitMQ is installed, after installing it if need be."""
    if server := machine.installed_server():
        return server
    if not may_install:
        raise BrokerUnavailable("there is none, and it may not be installed now")
    await machine.install(say)
    if server := machine.installed_server():
        return server
    raise BrokerUnavailable("there is none, even after installing the package")
