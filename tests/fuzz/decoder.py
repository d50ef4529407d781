"""Judges what the decoder makes of a message: a command, or a rejection that repeats nothing.

Whatever else happens is a finding: another exception, too much time, a path or a value that nobody
should be told, an accepted command that its contract refuses.
"""

import hashlib
import json
import random
import re
import struct
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final, cast

from aio_pika import IncomingMessage
from aiormq.abc import AbstractChannel, DeliveredMessage
from jsonschema import Draft202012Validator
from pamqp import commands as spec
from pamqp.header import ContentHeader

from service.consumers.intake import takes_any_delivery_mode
from service.consumers.telling import Story, event_message, parked_copy, retry_copy
from service.errors import Code, Reason, Rejection
from service.execution import Retry
from service.messages.commands import (
    COMMANDS,
    MAX_ERRORS,
    Command,
    Envelope,
    LicenseFile,
    decode,
    identify,
)
from service.messages.encode import rejected_event
from service.messages.wire import Frozen, now
from tests.fuzz.corpus import CONTRACTS, documents, says_it_himself, tells
from tests.fuzz.mutation import mutated
from tests.fuzz.properties import is_read, wire
from tests.support.workflow import schema_of

LIMIT: Final = 1.0
"""Seconds of computing that a message may take; one of 2 MiB that is nested takes a tenth."""
_QUEUE: Final = "courier.query-devices"
_MODELS: Final[tuple[type[Frozen], ...]] = (Envelope, LicenseFile, *COMMANDS.values())
_FIELDS: Final = frozenset(name for model in _MODELS for name in (*model.model_fields, "data"))
REASONS: Final = tuple(Reason)[:5]
"""Those that the decoder itself can find."""
_FIGURES: Final = re.compile(r"\d+")
CHECKED: Final = 20
"""One in so many commands and rejections is held against its contract as well: that takes long."""


@dataclass
class Tally:
    """What was seen.

    Attributes:
        outcomes: how many messages became a command of which type, or were rejected for what.
        messages: of rejections, with the figures in them left out.
        copies: deliveries whose AMQP properties were copied; the others no library could read.
        slowest: seconds of computing that the slowest message took.
        findings: what must not be, with the seed of the message.
    """

    count: int = 0
    bytes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    copies: int = 0
    held_against_contracts: int = 0
    slowest: float = 0.0
    findings: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.count += other.count
        self.bytes += other.bytes
        self.outcomes += other.outcomes
        self.messages += other.messages
        self.copies += other.copies
        self.held_against_contracts += other.held_against_contracts
        self.slowest = max(self.slowest, other.slowest)
        self.findings += other.findings


def fuzz(seed: int, count: int) -> Tally:
    """Judge so many messages, made from one seed."""
    takes_any_delivery_mode()
    corpus = documents()
    tally = Tally()
    for number in range(count):
        name = f"{seed}/{number}"
        dice = random.Random(name)  # noqa: S311 - dice, no secret
        body = mutated(dice, corpus)
        tally.findings += [f"{name}: {each}" for each in judge(tally, dice, body)]
    return tally


def judge(tally: Tally, dice: random.Random, body: bytes) -> Sequence[str]:
    """Say what is wrong with how one message is taken."""
    tally.count += 1
    tally.bytes += len(body)
    properties = wire(dice)
    encoding = dice.choice(("", "", "gzip", "identity")) if dice.random() < 0.02 else None
    began = time.thread_time()
    try:
        found: list[str] = _taken(tally, body, encoding)
        found += _copied(tally, properties, body)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        where = traceback.extract_tb(error.__traceback__)[-1]
        found = [f"{type(error).__name__} at {where.filename.rpartition('/')[2]}:{where.lineno}"]
    took = time.thread_time() - began
    tally.slowest = max(tally.slowest, took)
    return [*found, f"took {took:.1f} s"] if took > LIMIT else found


def _taken(tally: Tally, body: bytes, encoding: str | None) -> list[str]:
    identity = identify(body)
    try:
        command = decode(body, content_encoding=encoding)
    except Rejection as rejection:
        tally.outcomes[str(rejection.reason.value)] += 1
        found = _rejected(tally, rejection, body)
        event = rejected_event(rejection, identity, body, "/courier")
        told = event_message(event).body
        if event.data and not says_it_himself(body) and tells(told.decode()):
            found.append("the event tells a canary")
        if tally.count % CHECKED == 0:
            tally.held_against_contracts += 1
            schema_of(event.type).validate(json.loads(told))
        return found
    tally.outcomes[command.envelope.type] += 1
    return _accepted(tally, command, body)


def _rejected(tally: Tally, rejection: Rejection, body: bytes) -> list[str]:
    found = []
    if rejection.reason not in REASONS:
        found.append(f"the reason is {rejection.reason.value}")
    if not 1 <= len(rejection.errors) <= MAX_ERRORS:
        found.append(f"{len(rejection.errors)} errors")
    for path, message in rejection.errors:
        tally.messages[_FIGURES.sub("#", message)] += 1
        if any(step not in _FIELDS and not step.isdigit() for step in path.split("/")[1:]):
            found.append("a path has a name that is no field's")
    shown = f"{rejection!r} {rejection} {rejection.errors}" + "".join(
        traceback.format_exception_only(rejection)
    )
    if tells(shown):
        found.append("the rejection shows a canary")
    if rejection.__cause__ or (not rejection.__suppress_context__ and rejection.__context__):
        found.append("an error with the value is printed with the rejection")
    if b"\x00" in body and "\x00" in shown:
        found.append("the rejection shows a NUL")
    return found


def _accepted(tally: Tally, command: Command, body: bytes) -> list[str]:
    found = []
    shown = f"{command.data!r} {command.data} {command.data.model_dump_json()}"
    if tells(shown) and not says_it_himself(body):
        found.append("the command shows a canary")
    if len(command.digest) != len(hashlib.sha256().hexdigest()):
        found.append("the digest is none")
    if decode(body).digest != command.digest:
        found.append("the digest is another one the second time")
    if tally.count % CHECKED == 0:
        tally.held_against_contracts += 1
        if not _contract(command.envelope.type).is_valid(json.loads(body)):
            found.append("the contract refuses what was accepted")
    return found


@cache
def _contract(command_type: str) -> Draft202012Validator:
    _, name, version = command_type.split(".")
    path = CONTRACTS / name / f"{version}.schema.json"
    return Draft202012Validator(json.loads(path.read_text("utf-8")))


def delivered(properties: bytes, body: bytes) -> IncomingMessage:
    """Make a delivery as our AMQP library makes it from the wire."""
    header = ContentHeader()
    header.unmarshal(struct.pack(">HHQ", spec.Basic.frame_id, 0, len(body)) + properties)
    message = DeliveredMessage(
        delivery=spec.Basic.Deliver("tag", 1, False, "exchange", "key"),
        header=header,
        body=body,
        channel=cast("AbstractChannel", None),
    )
    return IncomingMessage(message)


def _copied(tally: Tally, properties: bytes, body: bytes) -> list[str]:
    """Read a delivery's properties, and write the copies that are parked and that wait."""
    if not is_read(properties):
        return []  # the connection ends at it, and at last the broker parks it: see test_poison
    raw = delivered(properties, body)
    tally.copies += 1
    story = Story.of(raw, _QUEUE)
    retry = Retry(5, story.attempts, intent=False, error=Code.BUSY)
    waiting, _ = retry_copy(raw, retry, story.received_at)
    found = []
    for copy in (parked_copy(raw, "not-json", _QUEUE), waiting):
        copy.properties.marshal()
        if copy.body != body:
            found.append("a copy has another body")
    if story.received_at > now() and not story.delayed:
        found.append("it was received in the future")
    return found
