"""How things stand this moment, as the page shows it: asked of those who know, never counted here.

With it goes what needs a person, in words, and what to do about it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from service.appliances import breaker, session
from service.appliances.ports import SmsLicensing
from service.messages.wire import now
from service.topology import OWN_PREFIX, PARKED, QUARANTINE, UNHEARD, UNKNOWN_COMMAND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from service.appliances.ports import Appliance
    from service.ledger import Record
    from service.messages.wire import Json
    from service.topology import Count

STALE = timedelta(seconds=30)
"""From when on the figures of the ledger are said to be old."""
_AT_WORK = timedelta(seconds=60)
"""For how long a write may be under way before anybody is told of it."""

REASONS = {
    "broker-disconnected": (
        "There is no connection to RabbitMQ; no command comes in. It is tried again by itself.",
        "See whether the broker runs and can be reached from here.",
        ["courier check"],
    ),
    "consumer-missing": (
        "The broker has no consumer of ours for some queue: the service starts, stops or lost it.",
        "If this lasts for more than a minute, restart the service; nothing is lost by that.",
        [],
    ),
    "topology-differs": (
        "A queue or an exchange stands on the broker with other arguments than the contract's.",
        "See which one: delete it when it is empty, and the service makes it anew.",
        ["courier check"],
    ),
    "publishing-blocked": (
        "The broker does not confirm what is published; results wait here.",
        "Look for a memory or disk alarm of the broker.",
        ["rabbitmqctl status"],
    ),
    "ledger-unavailable": (
        "The ledger cannot be written; no licence command is run meanwhile.",
        "See whether the disk is full, and who else has the file open.",
        ["courier check"],
    ),
    "ledger-conflict": (
        "Another courier with another ledger serves this virtual host; no command is run here.",
        "Decide which ledger is the right one and stop the courier with the other one.",
        ["courier check"],
    ),
    "connection-stuck": (
        "One of the connections to the broker is not restored, though another one stands.",
        "The watchdog ends the service; whoever supervises it starts it again. Nothing is lost.",
        [],
    ),
    "command-overdue": (
        "A command does not come to its end; its licence may have been sent.",
        "See its timeline below, then restart the service: it reads back before it writes again.",
        [],
    ),
}
"""What each reason for not being ready means, what to do about it, and the commands for that."""
_OTHER_REASON: tuple[str, str, list[str]] = (
    "The service is not ready.",
    "See its event log.",
    [],
)
_OPEN = (
    "A licence write was announced and its outcome is not established yet. The courier reads the"
    " appliance back by itself; no other licence write starts there before that is done."
)
_UNKNOWN = (
    "A licence write was sent, or may have been, and nobody knows what it did. Look at the"
    " appliance, then say what you saw. Do not send the licence again before that."
)
_REFUSED = "It refuses the courier's password; its commands wait."
_NEW_PASSWORD = "Put the right one where its inventory says; it is taken up without a restart."  # noqa: S105  a sentence
_RESTS = "It failed several times in a row and is left alone for a while; its commands wait."
_PARKED = "Messages that were no valid commands, or could not be handled, are parked."


class Survey(Protocol):
    """What is open in the ledger; see `service.ledger.survey`."""

    @property
    def open_intents(self) -> int:
        """Count the writes that are announced and not settled."""
        ...

    @property
    def unresolved(self) -> int:
        """Count the unknowns that nobody has settled."""
        ...

    @property
    def unsettled(self) -> Sequence[Record]:
        """List both, oldest first."""
        ...

    @property
    def surveyed_at(self) -> datetime | None:
        """Say when that was so."""
        ...


@dataclass(frozen=True)
class Standing:
    """Who is asked how things stand.

    Attributes:
        not_ready: the reasons why nothing is done at the moment.
        appliances: those that there are whenever it is asked.
        counts: how full each queue is, by name.
        survey: what is open in the ledger.
    """

    not_ready: Callable[[], list[str]]
    appliances: Iterable[Appliance]
    counts: Callable[[], Mapping[str, Count]]
    survey: Survey

    def told(self) -> Json:
        """Ask everybody."""
        reasons = sorted(set(self.not_ready()))
        return _told(reasons, list(self.appliances), self.counts(), self.survey)


def _told(
    reasons: list[str],
    appliances: list[Appliance],
    counts: Mapping[str, Count],
    survey: Survey,
) -> Json:
    looked = survey.surveyed_at
    return {
        "ready": not reasons,
        "attention": [
            *(_attention("error", each, *REASONS.get(each, _OTHER_REASON)) for each in reasons),
            *(each for appliance in appliances for each in _troubles(appliance)),
            *_parked(counts),
        ],
        "appliances": [_appliance(each) for each in appliances],
        "queues": [
            {
                "name": name,
                "is": _kind(name),
                "messages": each.messages,
                "consumers": each.consumers,
            }
            for name, each in counts.items()
        ],
        "ledger": {
            "open": survey.open_intents,
            "unknown": survey.unresolved,
            "entries": [_entry(each) for each in survey.unsettled if not _is_at_work(each)],
            "more": max(0, survey.open_intents + survey.unresolved - len(survey.unsettled)),
            "stale": looked is None or now() - looked > STALE,
        },
    }


def _appliance(appliance: Appliance) -> Json:
    status = appliance.status()
    return {
        "name": appliance.name,
        "kind": "FortiAuthenticator" if isinstance(appliance, SmsLicensing) else "FortiVoice",
        "session": str(status.session),
        "breaker": str(status.breaker),
        "in_flight": status.in_flight,
        "logins": status.logins,
        "refused_logins": status.refused_logins,
    }


def _troubles(appliance: Appliance) -> list[Json]:
    status, check = appliance.status(), ["courier check"]
    found = []
    if status.session == session.State.REFUSED:
        found.append(_attention("error", appliance.name, _REFUSED, _NEW_PASSWORD, check))
    if status.breaker != breaker.State.CLOSED:
        todo = "See whether it is up and can be reached from here."
        found.append(_attention("warning", appliance.name, _RESTS, todo, check))
    return found


def _parked(counts: Mapping[str, Count]) -> list[Json]:
    parked = counts.get(PARKED)
    if parked is None or not parked.messages:
        return []
    todo = "See what they are; then replay or discard them."
    what = f"{parked.messages} in {PARKED}"
    return [_attention("warning", what, _PARKED, todo, ["courier parked list"])]


def _attention(level: str, what: str, means: str, todo: str, commands: list[str]) -> Json:
    return {"level": level, "what": what, "means": means, "todo": todo, "commands": [*commands]}


def _entry(record: Record) -> Json:
    unknown = record.told is not None
    since = record.told.at if record.told else record.intent.recorded.at if record.intent else None
    # The id comes from outside: what is copied into a shell must stay one word there.
    name = shlex.quote(record.id)
    name = f"-- {name}" if record.id.startswith("-") else name
    settle = "courier ledger resolve --note 'WHAT YOU SAW'"
    return {
        "id": record.id,
        "source": record.source,
        "type": record.type,
        "appliance": record.appliance,
        "is": "unknown" if unknown else "open",
        "since": round(since.timestamp() * 1000) if since else None,
        "means": _UNKNOWN if unknown else _OPEN,
        "commands": [
            f"courier ledger show {name}",
            *([f"{settle} --applied {name}", f"{settle} --not-applied {name}"] if unknown else []),
        ],
    }


def _is_at_work(record: Record) -> bool:
    """Tell a write that was announced just now: that is how each of them begins."""
    intent = record.intent
    return not record.told and intent is not None and now() - intent.recorded.at < _AT_WORK


def _kind(queue: str) -> str:
    """Say what a queue is for."""
    special = {
        PARKED: "for a person to look at",
        QUARANTINE: "delivered too often, run alone",
        UNHEARD: "results nobody listened to",
        UNKNOWN_COMMAND: "commands nobody knows",
    }
    if queue.startswith(f"{OWN_PREFIX}retry."):
        return "waiting to be tried again"
    return special.get(queue, "commands to be run")
