"""How a command ends: stored first if it is a licence command, then told by an event."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from service.appliances.answers import known_status
from service.errors import Code, CommandError, Failed
from service.handlers import Outcome
from service.ledger import Told
from service.messages.encode import FINISHED, Event, finished_event, finished_type
from service.messages.events import CommandRef, Failure
from service.messages.results import Conclusion
from service.messages.wire import MAX_RESULT, now
from service.telemetry import log, redact

if TYPE_CHECKING:
    from pydantic import BaseModel

    from service.execution.fence import VirtualHostHold
    from service.execution.intent import LedgerIntent
    from service.execution.plans import Plan
    from service.execution.received import Received
    from service.ledger import Ledger
    from service.messages.commands import Command
    from service.messages.results import Streamed

_LEVELS = {
    Conclusion.SUCCEEDED: logging.INFO,
    Conclusion.REFUSED: logging.WARNING,
    Conclusion.FAILED: logging.WARNING,
    Conclusion.UNKNOWN: logging.ERROR,
}


_TOO_LONG = Failed(
    Code.UNEXPECTED_ANSWER,
    f"the appliance's answer makes a result of more than {MAX_RESULT} bytes; ask for less at once",
)


class Endings:
    """Ends commands.

    Args:
        ledger: where the ends of licence commands are stored.
        hold: of the ledger on its virtual host.
        source: the `source` of the events.
    """

    def __init__(self, ledger: Ledger, hold: VirtualHostHold, source: str) -> None:
        """Keep the parts."""
        self._ledger = ledger
        self._hold = hold
        self._source = source

    async def end(
        self,
        received: Received,
        plan: Plan,
        outcome: Outcome[BaseModel],
        intent: LedgerIntent,
        attempts: int | None = None,
        streamed: Streamed | None = None,
    ) -> Event:
        """Store how a licence command ended, and make the event that says how it ended.

        Args:
            received: the command.
            plan: how it is carried out.
            outcome: how it ended.
            intent: what its author knows of an intent: the result closes that one, or none.
            attempts: how many were made; those of earlier deliveries only, if not given.
            streamed: how far a list was told in pages.

        Raises:
            IntentChanged: the ledger has another intent; the command is to be looked up again.
            Waiting: another replica holds the write lock, and may be writing for this intent.
        """
        command = received.command
        finished_at = max(now(), received.received_at)  # whatever the clock was set to meanwhile
        envelope, why = command.envelope, outcome.why
        body = dict(outcome.body) | ({"stream": streamed} if streamed else {})
        data = FINISHED[finished_type(envelope.type)](
            command=CommandRef(id=envelope.id, source=envelope.source, type=envelope.type),
            appliance=command.data.appliance,
            conclusion=outcome.conclusion,
            attempts=received.attempts if attempts is None else attempts,
            started_at=received.received_at,
            finished_at=finished_at,
            error=_told(why),
            **body,
        )
        end = Told(outcome.conclusion.value, data.model_dump_json().encode(), finished_at)
        if len(end.data) > MAX_RESULT and why is None and not plan.recorded:
            untold = Outcome(plan.untouched(command.data), Conclusion.FAILED, _TOO_LONG)
            return await self.end(received, plan, untold, intent, attempts, streamed)
        # The first end stays, and only what is stored is told.
        stored = end
        if plan.recorded:
            if intent.known is None and plan.writes(command.data):
                # Another ledger may run the command by now: one event must not have two bodies.
                await self._hold.wait_until_held()
            stored = await self._stored(command, end, intent)
        if stored != end:
            return self.tell_again(command, stored)
        log.log(
            _LEVELS[outcome.conclusion],
            "command-finished",
            conclusion=stored.conclusion,
            error_code=why.code.value if why else None,
            attempt=data.attempts,
            duration_ms=round((finished_at - received.received_at).total_seconds() * 1000),
        )
        return self._event(command, stored)

    async def _stored(self, command: Command, end: Told, intent: LedgerIntent) -> Told:
        """Store a result; an intent that another run may still write for is not closed."""
        known = intent.known
        if known is None or intent.is_owned:
            return await self._ledger.conclude(command, end, known)
        name = command.data.appliance
        async with self._ledger.writing(name, known.origin or name):
            return await self._ledger.conclude(command, end, known)

    def tell_again(self, command: Command, told: Told) -> Event:
        """Make the event from what was stored: the same id and the same data."""
        log.info("command-repeated", conclusion=told.conclusion)
        return self._event(command, told)

    def _event(self, command: Command, told: Told) -> Event:
        return finished_event(
            command,
            source=self._source,
            conclusion=told.conclusion,
            data=told.data,
            time=told.at,
        )


def undetermined(plan: Plan, command: Command, intent: LedgerIntent) -> Outcome[BaseModel]:
    """Tell a write whose outcome nobody can establish."""
    why = CommandError(
        Code.OUTCOME_UNKNOWN,
        f"a write was sent, or may have been, and what it did could not be established;"
        f" look at {command.data.appliance}",
    )
    if plan.undetermined is None:
        raise TypeError("a query is never undetermined")
    body = plan.undetermined(command.data, intent.before)
    return Outcome(body, Conclusion.UNKNOWN, why)


def _told(why: CommandError | None) -> Failure | None:
    if why is None:
        return None
    status = known_status(why.status)
    return Failure(code=why.code.value, message=redact(why.message)[:1000], status=status)


def out_of_time(plan: Plan, received: Received) -> Outcome[BaseModel]:
    """Tell the last failure; `expired` only if there was none."""
    code = received.last_error or Code.EXPIRED
    why = Failed(code, "the command's time ended before it could be carried out")
    return Outcome(plan.untouched(received.command.data), Conclusion.FAILED, why)


def internal_error(plan: Plan, command: Command) -> Outcome[BaseModel]:
    """Make the outcome of a command that a bug ended before anything was written."""
    why = Failed(Code.INTERNAL_ERROR, "the courier itself failed; see its event log")
    return Outcome(plan.untouched(command.data), Conclusion.FAILED, why)
