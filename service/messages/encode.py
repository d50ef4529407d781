"""Events on their way out: identity, CloudEvents envelope, bytes; and the way back for readers."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic_core import to_json

from service.messages.events import (
    ActivateSmsLicenseFinished,
    ApplyVoiceLicenseFinished,
    CommandRef,
    Finished,
    QueryApplianceStatusFinished,
    QueryDevicesFinished,
    QueryDevicesPage,
    QuerySmsBalanceFinished,
    Rejected,
)
from service.messages.settled import ActivateSmsLicenseSettled, ApplyVoiceLicenseSettled, Settled
from service.messages.wire import format_instant, now, parse_json

if TYPE_CHECKING:
    from datetime import datetime

    from service.errors import Rejection
    from service.messages.commands import Command
    from service.messages.wire import Identity
    from service.telemetry.traces import Place

NAMESPACE = uuid.UUID("f3cd522e-1948-43b0-b490-493a9659023b")
REJECTED = "courier.command.rejected.v1"
FINISHED: dict[str, type[Finished]] = {
    "courier.activate-sms-license.finished.v1": ActivateSmsLicenseFinished,
    "courier.query-sms-balance.finished.v1": QuerySmsBalanceFinished,
    "courier.apply-voice-license.finished.v1": ApplyVoiceLicenseFinished,
    "courier.query-devices.finished.v1": QueryDevicesFinished,
    "courier.query-appliance-status.finished.v1": QueryApplianceStatusFinished,
}
"""Every finished event, by its CloudEvents type."""
PAGES: dict[str, type[QueryDevicesPage]] = {"courier.query-devices.page.v1": QueryDevicesPage}
"""Every page event, by its CloudEvents type."""
SETTLED: dict[str, type[Settled]] = {
    "courier.activate-sms-license.settled.v1": ActivateSmsLicenseSettled,
    "courier.apply-voice-license.settled.v1": ApplyVoiceLicenseSettled,
}
"""Every settled event, by its CloudEvents type."""


@dataclass(frozen=True)
class Event:
    """An event, ready to be told.

    Attributes:
        outcome: the fifth word of the routing key: conclusion or verdict; the reason, if rejected.
        data: the event's data as JSON; kept as bytes, so that a second telling is the same.
    """

    id: str
    source: str
    type: str
    time: datetime
    outcome: str
    data: bytes
    appliance: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None

    @property
    def routing_key(self) -> str:
        """Six words, of which the last two are what subscribers choose by."""
        last = f"rejected.{self.outcome}" if self.type == REJECTED else self._who()
        return f"{self.type}.{last}"

    def _who(self) -> str:
        return f"{self.outcome}.{self.appliance}"

    def below(self, span: Place | None) -> Event:
        """Let it continue its trace from there, and not from the one who sent the command."""
        if span is None:
            return self
        return replace(self, traceparent=span.traceparent, tracestate=span.tracestate)

    def body(self) -> bytes:
        """Write the CloudEvent in structured JSON."""
        name, major = self.type.removeprefix("courier.").rsplit(".", 1)
        attributes = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.appliance,
            "time": format_instant(self.time),
            "correlationid": self.correlation_id,
            "causationid": self.causation_id,
            "traceparent": self.traceparent,
            "tracestate": self.tracestate,
            "datacontenttype": "application/json",
            "dataschema": f"urn:courier:contract:events:{name}:{major}",
        }
        present = {name: value for name, value in attributes.items() if value is not None}
        return to_json(present)[:-1] + b',"data":' + self.data + b"}"


def finished_type(command_type: str) -> str:
    """Give the type of the event that ends a command of this type."""
    return _type_beside(command_type, "finished")


def page_type(command_type: str) -> str:
    """Give the type of the event that tells a page of what a command of this type found."""
    return _type_beside(command_type, "page")


def settled_type(command_type: str) -> str:
    """Give the type of the event that settles a command of this type."""
    return _type_beside(command_type, "settled")


def _type_beside(command_type: str, word: str) -> str:
    name, major = command_type.rsplit(".", 1)
    return f"{name}.{word}.{major}"


def event_id(*parts: str) -> str:
    """Derive an event's id, so that a second telling is recognised as the same event."""
    return str(uuid.uuid5(NAMESPACE, "\n".join(parts)))


def finished_event(
    command: Command, *, source: str, conclusion: str, data: bytes, time: datetime
) -> Event:
    """Answer a command.

    Args:
        command: what was asked; its correlation and trace are continued.
        source: the courier's own `source` attribute.
        conclusion: how it ended.
        data: the JSON of the `Finished` data, fresh or as it was stored.
        time: when it ended.
    """
    envelope = command.envelope
    event_type = finished_type(envelope.type)
    return Event(
        id=event_id(envelope.source, envelope.id, event_type),
        source=source,
        type=event_type,
        time=time,
        outcome=conclusion,
        data=data,
        appliance=command.data.appliance,
        correlation_id=command.correlation_id,
        causation_id=envelope.id,
        traceparent=envelope.traceparent,
        tracestate=envelope.tracestate,
    )


def page_event(command: Command, page: QueryDevicesPage, *, source: str) -> Event:
    """Tell a page of what a query has found so far.

    Args:
        command: what was asked.
        page: the page, with the attempt and sequence that its id is made of.
        source: the courier's own `source` attribute.
    """
    told = page.model_dump_json().encode()
    event = finished_event(command, source=source, conclusion="page", data=told, time=now())
    event_type = page_type(command.envelope.type)
    numbers = (str(page.attempt), str(page.sequence))
    return replace(event, type=event_type, id=event_id(*command.key, event_type, *numbers))


def settled_event(
    key: tuple[str, str],
    told: Settled,
    *,
    source: str,
    time: datetime,
    correlation_id: str,
    traceparent: str | None = None,
) -> Event:
    """Tell what a person found about a command that ended unknown.

    Args:
        key: the command's source and id.
        told: what was found.
        source: the courier's own `source` attribute.
        time: when it was settled.
        correlation_id: what the finished event was correlated by.
        traceparent: the trace that the command belonged to.
    """
    event_type = settled_type(told.answers)
    return Event(
        id=event_id(*key, event_type),
        source=source,
        type=event_type,
        time=time,
        outcome=told.verdict,
        data=told.model_dump_json().encode(),
        appliance=told.appliance,
        correlation_id=correlation_id,
        causation_id=key[1],
        traceparent=traceparent,
    )


def rejected_event(rejection: Rejection, identity: Identity, body: bytes, source: str) -> Event:
    """Answer a message that is no valid command, as far as it could be read."""
    digest = hashlib.sha256(body).hexdigest()
    data = Rejected(
        reason=rejection.reason.value,
        errors=tuple(Rejected.Error(path=p, message=m) for p, m in rejection.errors),
        command=CommandRef(id=identity.id, source=identity.source, type=identity.type),
        body_sha256=digest,
    )
    return Event(
        id=event_id(digest, REJECTED),
        source=source,
        type=REJECTED,
        time=now(),
        outcome=rejection.reason.value,
        data=data.model_dump_json().encode(),
        correlation_id=identity.correlationid or identity.id,
        causation_id=identity.id,
    )


def read_finished(body: bytes) -> Finished | Rejected:
    """Read an answer, as those do who wait for it; unknown fields are ignored.

    Raises:
        ValueError: it is no event that answers a command, or contradicts itself.
    """
    document = parse_json(body)
    if not isinstance(document, dict):
        raise ValueError("is no event that answers a command")  # noqa: TRY004  one error for all
    event_type = str(document.get("type"))
    model = Rejected if event_type == REJECTED else FINISHED.get(event_type)
    if model is None:
        raise ValueError("is no event that answers a command")
    return model.model_validate(document.get("data"))
