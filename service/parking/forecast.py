"""What would become of a parked message if it were replayed, as far as it can be known before."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from service.consumers.telling import INTENT
from service.errors import Reason, Rejection
from service.execution.plans import PLANS
from service.messages.commands import decode
from service.messages.wire import format_instant, now
from service.parking.message import UNREADABLE
from service.parking.words import wrong
from service.topology import COMMANDS_EXCHANGE, QUARANTINE, work_queues

if TYPE_CHECKING:
    from service.ledger import Care, Record, Told
    from service.messages.commands import Command
    from service.parking.message import Held, Message

_WORK = work_queues()
_OURS = frozenset({QUARANTINE, *(queue.name for queue in _WORK)})
_BOUND = frozenset(queue.routing_key for queue in _WORK if queue.bound_to == COMMANDS_EXCHANGE)


@dataclass(frozen=True)
class Route:
    """Where a replayed message is published."""

    exchange: str
    routing_key: str


@dataclass(frozen=True)
class Forecast:
    """What a replay will do.

    Attributes:
        route: where the copy goes; None when the message cannot be replayed.
        text: what will come of it, in one sentence for a person.
    """

    route: Route | None
    text: str


def forecast(held: Held, care: Care | None) -> Forecast:
    """Say what would become of a message, by what the ledger knows; None where there is none."""
    message = held.message
    route = route_of(message)
    if message.unreadable:
        return Forecast(
            None,
            f"cannot be replayed ({UNREADABLE}): the service cannot read its AMQP properties and"
            " would lose its connection over it again; have its producer send it anew",
        )
    if route is None:
        return Forecast(
            None,
            "cannot be replayed: neither a type in its body nor the queue that it came by says"
            " where it belongs",
        )
    encoding = held.properties.get("content_encoding")
    try:
        command = decode(held.taken.body, content_encoding=str(encoding) if encoding else None)
    except Rejection as rejection:
        return Forecast(
            route,
            f"is still not valid: {rejection.reason} ({wrong(rejection)}); would be parked again",
        )
    return Forecast(route, _of_command(command, held, care))


def route_of(message: Message) -> Route | None:
    """Find where a message belongs: by its type, else by the queue that it came by."""
    wanted = message.identity.type
    if wanted and f"{wanted.rpartition('.')[0]}.*" in _BOUND:
        return Route(COMMANDS_EXCHANGE, wanted)
    return Route("", message.queue) if message.queue in _OURS else None


def _of_known(command: Command, known: Record) -> str | None:
    """Predict by what the ledger knows of a command; None if it only knows a withdrawn intent."""
    if known.digest != command.digest:
        return "other content is known under this id: will be rejected again as id-conflict"
    if known.told is not None:
        return f"already {_end(known.told)}: the replay will tell the stored result"
    if known.intent is not None:
        return "its write was announced and not settled: will be read back, not written again"
    return None


def _of_command(command: Command, held: Held, care: Care | None) -> str:
    plan = PLANS[type(command.data)]
    known = care.find(command.key) if care and plan.recorded else None
    if known is not None and (text := _of_known(command, known)):
        return text
    if known is not None:
        seen = "its write was withdrawn before it was sent"
    elif not plan.recorded:
        seen = "is a query"
    elif care is None:
        seen = "there is no ledger here, so what was done before is not known"
    else:
        seen = "the ledger has never seen it"
    if known is None and plan.writes(command.data) and _may_be_lost(command, held, care):
        return f"{seen}, but it may have run before: will end unknown, without being run"
    if command.envelope.expirytime is not None and command.envelope.expirytime <= now():
        return f"{seen}; its expirytime has passed: will end failed (expired), without being run"
    return f"{seen}: will be run"


def _end(told: Told) -> str:
    effect = json.loads(told.data).get("effect")
    how = f"{told.conclusion} ({effect})" if effect else told.conclusion
    return f"{how} at {format_instant(told.at)}"


def _may_be_lost(command: Command, held: Held, care: Care | None) -> bool:
    """Judge as the execution will: a write that an earlier ledger may have known is not run."""
    if held.properties.header(INTENT) is True:
        return True
    if held.message.reason != Reason.DELIVERY_LIMIT:
        return False
    stamp = held.properties.get("timestamp")
    # As the execution does: what is told of the future is not told.
    sent_at = None
    if isinstance(stamp, datetime) and stamp <= now():
        sent_at = stamp + timedelta(seconds=1)
    ages = (held.message.parked_at, command.envelope.time, sent_at)
    known_since = min((age for age in ages if age is not None), default=now())
    if care is None or care.created_at is None:
        return True
    return known_since < max(care.created_at, care.pruned_before or care.created_at)
