"""`courier serve` that says what it passes on a command's way, and dies there when it is told to.

    python -m tests.campaign.mortal --journal FILE [--die-at POINT[#N]] [--whenever POINT:ID]

It is built by `service.app.serve` from parts that say their points: each passing is a line of the
journal (`POINT COMMAND_ID`, with `-` for what belongs to no command), written before anything
else happens. The process kills itself with SIGKILL at the N-th passing of one point (the first,
unless said otherwise), or each time that a command passes one.

The points follow from the seams, so that none is forgotten when a method or a request is added:

- `<step>.before`, `.after`    around each method of the `Ledger`; `STEPS` has their names
- `<message>.before`, `.sent`, `.confirmed`    around each publish: `result`, `rejection`, `page`,
  `settled` (what happened, by the event's type), `reply`, `retry-copy`, `parked-copy`. Sent is a
  message whose bytes were handed to the operating system, while its confirm has not been read.
- `<operation>.before`, `.sent`, `.answered`    around each request to an appliance: `balance`,
  `activate`, `login`, `token`, `upload`, `apply`, `devices`, `logout`. Sent is a request whose last
  byte was, while nothing of the answer has been read; answered is one whose answer was read whole.
- `delivery.received`, `.settled`, `.acked`    before a message is looked at; when it may be acked;
  shortly after it was.
"""

import argparse
import asyncio
import inspect
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, cast

import aio_pika
import uvloop
from aio_pika.abc import AbstractRobustChannel

from service import telemetry
from service.app import Parts, serve
from service.appliances.answers import Answer, Operation, Request
from service.appliances.http import Http
from service.consumers.settling import Delivery, Settling
from service.errors import ConfigurationError
from service.ledger import Ledger
from service.ledger.opening import open_ledger
from service.messages.commands import identify
from service.settings import Postgres, Settings
from service.topology import EVENTS_EXCHANGE, OWN_PREFIX, PARKED
from service.topology.publisher import NOWHERE, Publisher

if TYPE_CHECKING:
    import aiormq

    from service.appliances.transport import Leaving

STEPS: Final = {
    "find": "command-claimed",
    "intend": "intent-recorded",
    "keep_answer": "answer-kept",
    "withdraw": "intent-withdrawn",
    "open_intents": "open-intent-looked-for",
    "conclude": "outcome-stored",
    "check_owner": "broker-checked",
    "belong_to": "broker-bound",
    "close": "ledger-closed",
}
"""What a method of the ledger is on a command's way; another one is `ledger-<method>`."""
EVENTS: Final = {"finished": "result", "rejected": "rejection"}
"""What an event's type says of it; another one is what it is called there."""
NOBODY: Final = "-"
"""The command id of what belongs to no command, or to one whose id cannot be read."""
_PATIENCE: Final = 1.0
"""Seconds after which an ack that was not sent is not waited for any more."""

_whose: ContextVar[str] = ContextVar("whose", default=NOBODY)
"""The id of the command at hand."""


def step(method: str) -> str:
    """Name what a method of the ledger does."""
    return STEPS.get(method, f"ledger-{method.replace('_', '-')}")


def ledger_methods() -> list[str]:
    """The methods of the ledger that take their time, whatever they may be."""
    return [name for name, each in vars(Ledger).items() if inspect.iscoroutinefunction(each)]


def message(exchange: str, routing_key: str, event_type: str | None) -> str:
    """Name what is published."""
    if exchange == EVENTS_EXCHANGE:
        happened = (event_type or "").split(".")[-2]
        return EVENTS.get(happened, happened)
    if exchange.startswith(f"{OWN_PREFIX}retry."):
        return "retry-copy"
    if routing_key == NOWHERE:
        return "probe"
    return "parked-copy" if (exchange, routing_key) == (PARKED, PARKED) else "reply"


class Way:
    """The way that commands take through this process, and where it ends.

    Args:
        journal: the file that every passing is appended to.
        die_at: the point and the number of the passing, from 1; None never to die there.
        whenever: a point and the id of a command that never gets past it.
        stop_at: the same as `die_at`; the process stops there until it is told to go on (SIGCONT).
    """

    def __init__(
        self,
        journal: Path,
        *,
        die_at: tuple[str, int] | None = None,
        whenever: tuple[str, str] | None = None,
        stop_at: tuple[str, int] | None = None,
    ) -> None:
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._die_at = die_at
        self._whenever = whenever
        self._stop_at = stop_at
        self._passed: Counter[str] = Counter()

    def passes(self, point: str) -> None:
        """Say that the command at hand passes a point, or die there."""
        command_id = _whose.get()
        self._passed[point] += 1
        os.write(self._journal, f"{point} {command_id}\n".encode())
        if (point, self._passed[point]) == self._die_at or (point, command_id) == self._whenever:
            os.kill(os.getpid(), signal.SIGKILL)
        if (point, self._passed[point]) == self._stop_at:
            os.kill(os.getpid(), signal.SIGSTOP)


class Mortal:
    """A part that says what it passes; the process has one way."""

    way: ClassVar[Way]


class MortalSettling(Mortal, Settling):
    """Says when a delivery comes and goes."""

    async def settle(self, delivery: Delivery) -> None:
        # Whatever is begun from here on, in other tasks as well, is on this command's way.
        _whose.set(identify(delivery.raw.body).id or NOBODY)
        self.way.passes("delivery.received")
        await super().settle(delivery)
        self.way.passes("delivery.settled")
        _keep(self._say_when_acked(delivery.raw))

    async def _say_when_acked(self, raw: aio_pika.IncomingMessage) -> None:
        async with asyncio.timeout(_PATIENCE):
            while not raw.processed:  # noqa: ASYNC110  nobody tells of it
                await asyncio.sleep(0)
        self.way.passes("delivery.acked")


class MortalPublisher(Mortal, Publisher):
    """Says when a message is published, on its way and confirmed."""

    async def _confirmed(
        self,
        channel: AbstractRobustChannel,
        message_: aio_pika.Message,
        exchange: str,
        routing_key: str,
        *,
        mandatory: bool,
    ) -> None:
        name = message(exchange, routing_key, message_.type)
        self.way.passes(f"{name}.before")
        saying = asyncio.create_task(self._say_when_sent(channel, name, message_.message_id))
        try:
            await super()._confirmed(channel, message_, exchange, routing_key, mandatory=mandatory)
        finally:
            saying.cancel()
        self.way.passes(f"{name}.confirmed")

    def _say_when_sent(
        self, sending: AbstractRobustChannel, name: str, message_id: str | None
    ) -> Coroutine[None, None, None]:
        # Who is about to publish under the same id goes first; our own turn comes after it.
        other = self._sending.get(message_id or "")

        async def say() -> None:
            if other is not None:
                await asyncio.wait([other])
            channel = cast("aiormq.Channel", await sending.get_underlay_channel())
            async with channel.lock:  # whoever publishes holds it until the bytes are out
                self.way.passes(f"{name}.sent")

        return say()


class MortalHttp(Mortal, Http):
    """Says when a request is sent and when it is answered."""

    async def _exchange(
        self, operation: Operation, headers: dict[str, str], request: Request
    ) -> Answer:
        self.way.passes(f"{operation.name}.before")
        answer = await super()._exchange(operation, headers, request)
        self.way.passes(f"{operation.name}.answered")
        return answer

    def _leaving(self, operation: Operation) -> "Leaving":
        before = super()._leaving(operation)

        def leaving() -> None:
            if before is not None:
                before()
            _keep(self._say_sent(operation.name))

        return leaving

    async def _say_sent(self, name: str) -> None:
        """Say so when what was about to leave has left; no answer can have come by then."""
        await asyncio.sleep(0)
        self.way.passes(f"{name}.sent")


def _said(method: str, kind: type[Ledger]) -> Callable[..., Awaitable[object]]:
    """A method of the ledger that says when it begins and when it is done."""
    name, real = step(method), getattr(kind, method)

    async def told(self: Mortal, *args: object, **kwargs: object) -> object:
        self.way.passes(f"{name}.before")
        result: object = await real(self, *args, **kwargs)
        self.way.passes(f"{name}.after")
        return result

    return told


async def mortal_ledger(place: Path | Postgres) -> Ledger:
    """Open a ledger that says when something is about to be recorded or asked, and when it was."""
    ledger = await open_ledger(place)
    kind = type(ledger)
    said = {each: _said(each, kind) for each in ledger_methods()}
    ledger.__class__ = type(f"Mortal{kind.__name__}", (Mortal, kind), said)
    return ledger


PARTS: Final = Parts(
    ledger=mortal_ledger,
    publisher=MortalPublisher,
    settling=MortalSettling,
    http=MortalHttp,
)

_kept: set[asyncio.Future[None]] = set()


def _keep(work: Awaitable[None]) -> None:
    """Let something happen beside; nobody minds if it does not."""
    task = asyncio.ensure_future(work)
    _kept.add(task)
    task.add_done_callback(_kept.discard)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())


def _point(text: str) -> tuple[str, int]:
    point, _, number = text.partition("#")
    return point, int(number or 1)


def _poison(text: str) -> tuple[str, str]:
    point, _, command_id = text.partition(":")
    return point, command_id


def main() -> None:
    """Run the service; exit codes are those of `courier serve`."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.mortal")
    parser.add_argument("serve", nargs="?", choices=["serve"], help="as `courier` has it")
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--die-at", type=_point, metavar="POINT[#N]")
    parser.add_argument("--whenever", type=_poison, metavar="POINT:COMMAND_ID")
    parser.add_argument("--stop-at", type=_point, metavar="POINT[#N]")
    given = parser.parse_args()
    settings = Settings.load()
    telemetry.configure(log_format=settings.log_format, level=settings.log_level)
    Mortal.way = Way(
        given.journal, die_at=given.die_at, whenever=given.whenever, stop_at=given.stop_at
    )
    try:
        sys.exit(uvloop.run(serve(settings, PARTS)))
    except ConfigurationError as error:
        telemetry.log.error("start-refused", reason=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
