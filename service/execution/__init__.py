"""Around every handler: is the command new, interrupted or finished; what follows from an error.

- `Execution`: one command, from the ledger's answer to a stored result or a retry.
- `received`: what a delivery brings, and what it may be told: the event, or to come back later.
- `ending`: how a command ends, stored before it is told.
- `plans`: which handler, port and result belong to which command.
- `fence`: what must be true until a write's first byte is sent.
- `horizon`: which commands may be older than what the ledger knows.
- `intent`: the ledger as a handler sees it; `pages`: whoever asked, as it sees them.
- `line`: the order of licence writes at each appliance; `delays`: when one comes back.
- `flight`: the work runs in tasks that no delivery owns; a redelivery joins them.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from service.appliances.visit import current_visit, visit
from service.errors import Code, CommandError, Reason, Refused, Rejection, Waiting
from service.execution.delays import Delays, delayed
from service.execution.ending import Endings, internal_error, out_of_time, undetermined
from service.execution.fence import write_fence
from service.execution.horizon import LedgerHorizon
from service.execution.intent import LedgerIntent
from service.execution.line import Lines
from service.execution.pages import EventPages
from service.execution.plans import PLANS
from service.execution.received import Received, Retry
from service.handlers import Outcome
from service.ledger import IntentChanged, IntentOpen
from service.messages.results import Conclusion
from service.messages.wire import now
from service.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from pydantic import BaseModel

    from service.appliances.inventory import Inventory
    from service.appliances.visit import Visit
    from service.execution.fence import VirtualHostHold
    from service.execution.line import Turn
    from service.execution.plans import Plan
    from service.ledger import Entry, Ledger
    from service.messages.commands import Command
    from service.messages.encode import Event

__all__ = ["Execution", "Received", "Retry"]


@dataclass(frozen=True, repr=False)
class _Run:
    """One delivery on its way through a handler.

    Attributes:
        turn: its own in the line at the appliance; None if it writes nothing.
        held: what is given back only when its end is stored.
    """

    received: Received
    plan: Plan
    intent: LedgerIntent
    pages: EventPages
    turn: Turn | None
    held: AsyncExitStack
    visit: Visit = field(default_factory=current_visit)


class Execution:
    """Runs commands.

    Args:
        inventory: the appliances.
        ledger: what was intended and told.
        hold: of that ledger on the virtual host; without it nothing is written.
        source: the `source` of the events.
        tell: tells an event before a command's end; returns when the broker has it.
        retry_delays: seconds, in the order in which they are taken; the last one repeats.
        command_ttl: seconds from first receipt, for commands that say no `expirytime`.
        recovery_ttl: seconds for which an announced write is read back.
    """

    def __init__(  # noqa: PLR0913  each has its name at the call
        self,
        inventory: Inventory,
        ledger: Ledger,
        *,
        hold: VirtualHostHold,
        source: str,
        tell: Callable[[Event], Awaitable[None]],
        retry_delays: Sequence[int],
        command_ttl: float,
        recovery_ttl: float,
    ) -> None:
        """Keep the parts."""
        self._inventory = inventory
        self._ledger = ledger
        self._hold = hold
        self._endings = Endings(ledger, hold, source)
        self._source = source
        self._tell = tell
        self._delays = Delays(tuple(retry_delays))
        self._command_ttl = timedelta(seconds=command_ttl)
        self._recovery_ttl = recovery_ttl
        self._lines = Lines()
        self._horizon = LedgerHorizon(ledger, hold)

    async def settle(self, received: Received) -> Event | Retry:
        """Run a command, or tell again how it ended.

        Returns:
            The event that ends it, stored if it belongs to a licence command; or a retry.

        Raises:
            Rejection: `id-conflict`; the id was used for other content.
        """
        plan = PLANS[type(received.command.data)]
        name = received.command.data.appliance
        writes = plan.writes(received.command.data)
        # Before anything is awaited: the line is in the order of arrival.
        with self._lines.joined(name) if writes else nullcontext() as turn:
            return await self._looked_up(received, lambda: self._settle(received, plan, turn))

    def deadline(self, received: Received) -> datetime:
        """Say until when a command may be begun."""
        return received.command.envelope.expirytime or received.received_at + self._command_ttl

    async def give_up(self, received: Received, *, broken: bool = False) -> Event | Retry:
        """End a command that must not be run again: its deliveries are used up, or a bug ended it.

        Returns:
            The event that ends it; or a retry while another replica may be writing for it.

        Raises:
            Rejection: `delivery-limit`; nothing was written, nothing is known, and it is not
                `broken`.
        """
        return await self._looked_up(received, lambda: self._give_up(received, broken=broken))

    async def _looked_up(
        self, received: Received, step: Callable[[], Awaitable[Event | Retry]]
    ) -> Event | Retry:
        """Take a step that begins with a look into the ledger, again if that is out of date."""
        while True:
            try:
                return await step()
            except IntentChanged:
                continue
            except Waiting as error:
                delay = self._delays.seconds[-1]
                return delayed(received, error, delay, received.attempts, intent=True)

    async def _give_up(self, received: Received, *, broken: bool) -> Event:
        command = received.command
        plan = PLANS[type(command.data)]
        entry, intent = await self._known(command, plan)
        if entry is not None and entry.told is not None:
            return self._endings.tell_again(command, entry.told)
        if intent.open or self._horizon.may_predate(received, plan, entry):
            outcome = undetermined(plan, command, intent)
            return await self._endings.end(received, plan, outcome, intent)
        if broken:
            return await self._endings.end(received, plan, internal_error(plan, command), intent)
        raise Rejection(Reason.DELIVERY_LIMIT, [("", "could not be handled, again and again")])

    async def _settle(self, received: Received, plan: Plan, turn: Turn | None) -> Event | Retry:
        command = received.command
        entry, intent = await self._known(command, plan)
        self._horizon.note(received)
        if entry is not None and entry.told is not None:
            return self._endings.tell_again(command, entry.told)
        if not intent.open:
            if self._horizon.may_predate(received, plan, entry):
                outcome = undetermined(plan, command, intent)
                return await self._endings.end(received, plan, outcome, intent)
            if received.expired or self.deadline(received) <= now():
                return await self._endings.end(received, plan, out_of_time(plan, received), intent)
        # A delivery that did not come to its end has most likely asked, and may have told pages.
        attempts = received.attempts + (plan.streams(command.data) and received.deliveries > 0)
        pages = EventPages(command, self._source, self._tell)
        async with AsyncExitStack() as held:
            return await self._carry_out(_Run(received, plan, intent, pages, turn, held), attempts)

    async def _carry_out(self, run: _Run, attempts: int) -> Event | Retry:
        """Call the handler; store the end, or say when to come back."""
        received, plan, intent, pages = run.received, run.plan, run.intent, run.pages
        reads_back = intent.open
        outcome = await self._run(run)
        await pages.all_told()
        # Waiting costs none, unless a write was sent or a page told before.
        said = (intent.open and not reads_back) or pages.streamed is not None
        waited = isinstance(outcome, Waiting) and not said
        attempts += run.visit.requests > 0 and not waited
        if isinstance(outcome, Outcome):
            streamed = pages.streamed
            return await self._endings.end(received, plan, outcome, intent, attempts, streamed)
        return await self._later(run, outcome, attempts)

    async def _known(self, command: Command, plan: Plan) -> tuple[Entry | None, LedgerIntent]:
        entry = await self._ledger.find(command.key)
        if entry is not None and entry.digest != command.digest:
            raise Rejection(Reason.ID_CONFLICT, [("/id", "was used for another command before")])
        intent = entry.intent if entry is not None else None
        return entry, LedgerIntent(self._ledger, command, plan.before, intent)

    async def _run(self, run: _Run) -> Outcome[BaseModel] | CommandError:
        """Call the handler; say how the command ended, or why it must come back."""
        began = time.perf_counter()
        asked, intent = run.received.command.data, run.intent
        token = visit.set(run.visit)
        try:
            return await self._call(run)
        except Refused as error:
            if intent.open:
                return error
            return Outcome(run.plan.untouched(asked), Conclusion.REFUSED, error)
        except CommandError as error:
            return error
        except Exception:  # noqa: BLE001  the one place where a bug must not end the service
            log.exception("internal-error")
            if intent.open:
                return undetermined(run.plan, run.received.command, intent)
            return internal_error(run.plan, run.received.command)
        finally:
            visit.reset(token)
            if run.visit.requests:
                log.info(
                    "appliance-answered",
                    requests=run.visit.requests,
                    status=run.visit.status,
                    duration_ms=round((time.perf_counter() - began) * 1000, 1),
                )

    async def _call(self, run: _Run) -> Outcome[BaseModel]:
        plan, asked, intent = run.plan, run.received.command.data, run.intent
        streams = plan.streams(asked)
        async with self._inventory.visiting(asked.appliance, plan.port, long=streams) as appliance:
            if not plan.recorded:
                return await plan.handler(asked, appliance, run.pages)
            if run.turn is None:
                return await plan.handler(asked, appliance, intent)
            await run.turn.comes()
            async with appliance.writing():
                await self._take_right(run, appliance.origin)
                if not intent.is_for(appliance.origin):
                    return undetermined(plan, run.received.command, intent)
                return await plan.handler(asked, appliance, intent)

    async def _take_right(self, run: _Run, origin: str) -> None:
        """Get the right to write among all replicas, until the end is stored.

        Raises:
            Waiting: another command's write, or another replica, has to be waited for; or the
                virtual host is not held for this ledger.
        """
        command, intent = run.received.command, run.intent
        name = command.data.appliance
        right = await run.held.enter_async_context(self._ledger.writing(name, origin))
        # What was looked up before may be past: a replica that had the right may have gone on.
        open_intents = await self._ledger.open_intents(name, origin)
        if open_intents != ({command.key} if intent.open else set()):
            if command.key not in open_intents:
                intent.lapse()
            raise IntentOpen(name)
        run.visit.write_age = write_fence(intent, right, self._hold)
        intent.own(right)

    async def _later(self, run: _Run, error: CommandError, attempts: int) -> Event | Retry:
        """Bring the command back after a while, or end it when its time will be over by then."""
        received, plan, intent = run.received, run.plan, run.intent
        if intent.open:
            left = self._recovery_ttl - intent.age
            has_looked = not isinstance(error, Waiting)
            delay = self._delays.reading_back(error.retry_after, has_looked=has_looked)
        else:
            left = (self.deadline(received) - now()).total_seconds()
            if isinstance(error, Waiting):
                delay = self._delays.pause(received, error, left)
            else:
                delay = self._delays.turn(attempts, left, error.retry_after)
        if delay < left:
            return delayed(received, error, delay, attempts, intent=intent.open)
        if intent.open:
            outcome = undetermined(plan, received.command, intent)
        elif error.code is Code.BUSY:
            outcome = out_of_time(plan, received)
        else:
            outcome = Outcome(plan.untouched(received.command.data), Conclusion.FAILED, error)
        return await self._endings.end(
            received, plan, outcome, intent, attempts, run.pages.streamed
        )
