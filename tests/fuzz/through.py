"""Mutated messages through the running service on a real broker, judged from outside.

Whoever sends here knows the contracts and nothing of the service: every message must be answered,
by a finished event with its id or by a rejection with the digest of its body.
"""

import asyncio
import base64
import hashlib
import json
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustChannel
from aiormq.abc import AbstractChannel
from pamqp import commands as spec

from service.demo.node import PrivateNode, installed_server
from tests.fuzz import corpus
from tests.fuzz.mutation import mutated
from tests.fuzz.properties import sound
from tests.support import eventlog, http
from tests.support.rabbit import Rabbit
from tests.support.stand import Appliances, Service, Stand, standing
from tests.support.wait import until
from tests.support.workflow import command, schema_of

Json = dict[str, Any]

GROWTH: Final = 64.0
"""MiB by which the service may have grown since a quarter of the messages was answered."""
_TYPES: Final = tuple(
    f"courier.{each.name}.v1" for each in corpus.CONTRACTS.iterdir() if each.is_dir()
)
_KEYS: Final = (*_TYPES * 3, "courier.reboot.v1", "courier.query-devices.v2", "odd", "")
_BATCH: Final = 100
_AHEAD: Final = 2000
"""Messages that are sent and not answered at most."""
_PATIENCE: Final = 60.0
_SAMPLE: Final = 10
"""One in so many events is held against its contract."""


class Wire(spec.Basic.Properties):
    """Properties as they stand on the wire."""

    raw = b""

    def marshal(self) -> bytes:
        return self.raw


@dataclass
class Heard:
    """What was told.

    Attributes:
        rejected: how often each body was rejected, by its SHA-256.
        finished: how commands ended, by source and id.
        leaks: where a canary was told.
    """

    events: int = 0
    replies: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    finished: dict[tuple[str, str], str] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)

    async def on_event(self, message: AbstractIncomingMessage) -> None:
        event = json.loads(message.body)
        self.events += 1
        data = event["data"]
        if event["type"] == "courier.command.rejected.v1":
            self.rejected[data["body_sha256"]] += 1
            self.outcomes[f"rejected: {data['reason']}"] += 1
        elif ".finished." in event["type"]:
            self.finished[data["command"]["source"], data["command"]["id"]] = data["conclusion"]
            self.outcomes[f"finished: {data['conclusion']}"] += 1
        if self.events % _SAMPLE == 0:
            schema_of(event["type"]).validate(event)
        self._look(f"the event {message.routing_key}", message)

    async def on_reply(self, message: AbstractIncomingMessage) -> None:
        self.replies += 1
        self._look("a reply", message)

    def _look(self, where: str, message: AbstractIncomingMessage) -> None:
        if corpus.tells(message.body.decode()) or corpus.tells(str(message.headers)):
            self.leaks.append(f"{where} tells a canary")


@dataclass(frozen=True)
class Sent:
    """A message.

    Attributes:
        digest: of its body.
        key: source and id, if they can be read.
        writes: the licence, or the SHA-256 of the file, that it may have written.
        forged: it has headers that only the courier or the broker should set.
    """

    digest: str
    key: tuple[str, str] | None
    writes: str | None = None
    forged: bool = False

    @classmethod
    def of(cls, body: bytes, raw: bytes = b"") -> "Sent":
        key, writes = None, None
        with suppress(ValueError, RecursionError, TypeError, KeyError, AttributeError):
            document = json.loads(body)
            key = str(document["source"]), str(document["id"])
            data = document["data"]
            file = data.get("file", {}).get("content", "")
            content = hashlib.sha256(base64.b64decode(file)).hexdigest() if file else None
            writes = content or str(data.get("license"))
        forged = b"courier-" in raw or b"\x07x-death" in raw or b"x-delivery-count" in raw
        return cls(hashlib.sha256(body).hexdigest(), key, writes, forged)

    def is_answered(self, heard: Heard) -> bool:
        return self.digest in heard.rejected or self.key in heard.finished


async def storm(stand: Stand, rabbit: Rabbit, count: int, seed: int) -> Json:
    """Send so many messages through a service on a stand; tell figures and findings."""
    pairs = str(corpus.PAIRS)
    appliances = await stand.appliances("--fortiauthenticators", pairs, "--fortivoices", pairs)
    service = await stand.service(LOG_LEVEL="INFO", LOGIN_BUDGET="1000")
    heard, sizes, began = Heard(), [], time.monotonic()
    async with _listening(stand.url, heard) as (channel, reply_to):
        waiting: list[Sent] = []
        everything: list[Sent] = []
        for first in range(0, count, _BATCH):
            batch = _batch(seed, range(first, min(first + _BATCH, count)), reply_to)
            await asyncio.gather(*(_publish(channel, *each) for each in batch))
            everything += (sent := [Sent.of(body, raw) for body, raw, _ in batch])
            waiting += sent
            waiting = await _answered(waiting, heard, but=_AHEAD)
            sizes.append(_memory(service))
        waiting = await _answered(waiting, heard)
        took = time.monotonic() - began
        sizes.append(_memory(service))
        findings = [f"never answered: {each.digest[:12]} {each.key}" for each in waiting[:20]]
        findings += [*heard.leaks[:20], *await _well(service, channel, heard)]
        findings += await _parked(rabbit, stand.url, heard)
    growth = max(sizes[-(len(sizes) // 4 or 1) :]) - sizes[len(sizes) // 4]
    findings += [f"the service grew by {growth:.0f} MiB"] if growth > GROWTH else []
    findings += [*_log(service), *await _books(appliances, everything)]
    findings += _unknown(everything, heard)
    return {
        "messages": count,
        "seed": seed,
        "answered": sum(each.is_answered(heard) for each in everything),
        "seconds": round(took),
        "messages_per_second": round(count / took),
        "events": heard.events,
        "replies": heard.replies,
        "mebibytes_of_the_service_at_a_quarter": round(sizes[len(sizes) // 4]),
        "mebibytes_of_the_service_at_the_end": round(sizes[-1]),
        "lines_of_the_event_log": len(service.lines),
        "outcomes": dict(heard.outcomes.most_common()),
        "findings": findings,
    }


async def through_a_service(count: int, seed: int) -> Json:
    """Do it on a broker of its own."""
    server = installed_server()
    assert server is not None, "RabbitMQ is not installed: apt-get install rabbitmq-server"
    node = PrivateNode(server)
    try:
        await asyncio.to_thread(node.start)
        rabbit = Rabbit(node.url, node.api, node)
        vhost = f"fuzz-{uuid4().hex[:8]}"
        rabbit.create_vhost(vhost)
        with tempfile.TemporaryDirectory(prefix="courier-fuzz-") as directory:
            async with standing(rabbit.url_of(vhost), Path(directory)) as stand:
                figures = await storm(stand, rabbit, count, seed)
        rabbit.close()
    finally:
        node.close()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    return figures | {"mebibytes_of_the_largest_process": peak}


@asynccontextmanager
async def _listening(url: str, heard: Heard) -> AsyncIterator[tuple[AbstractChannel, str]]:
    connection = await aio_pika.connect_robust(url)
    async with connection:
        hearing = await connection.channel()
        await hearing.set_qos(1000)
        events = await hearing.declare_queue(exclusive=True)
        await events.bind("courier.events", "#")
        await events.consume(heard.on_event, no_ack=True)
        replies = await hearing.declare_queue(exclusive=True)
        await replies.consume(heard.on_reply, no_ack=True)
        sending: AbstractRobustChannel = await connection.channel()
        yield await sending.get_underlay_channel(), replies.name


def _batch(seed: int, numbers: range, reply_to: str) -> list[tuple[bytes, bytes, str]]:
    """Make messages: body, properties, routing key."""
    made = []
    documents = corpus.documents({"fac": "fac-1", "fvc": "fvc-1"})
    for number in numbers:
        dice = random.Random(f"{seed}/{number}")  # noqa: S311 - dice, no secret
        body = corpus.told_apart(mutated(dice, documents), number)
        while corpus.says_it_himself(body):
            body = corpus.told_apart(mutated(dice, documents), number)
        made.append((body, sound(dice, reply_to), dice.choice(_KEYS)))
    return made


async def _publish(channel: AbstractChannel, body: bytes, raw: bytes, key: str) -> None:
    properties = Wire(message_id=uuid4().hex)
    properties.raw = raw
    confirmed = await channel.basic_publish(
        body, exchange="courier.commands", routing_key=key, properties=properties
    )
    assert isinstance(confirmed, spec.Basic.Ack), confirmed


def _unanswered(sent: list[Sent], heard: Heard) -> list[Sent]:
    return [each for each in sent if not each.is_answered(heard)]


async def _answered(waiting: list[Sent], heard: Heard, *, but: int = 0) -> list[Sent]:
    """Wait until all but so many are answered, or none more is for a while; give the rest."""
    left = _unanswered(waiting, heard)
    while len(left) > but:
        before = len(left)

        def fewer(most: int = before) -> bool:
            nonlocal left
            left = _unanswered(left, heard)
            return len(left) < most

        try:
            await until(fewer, patience=_PATIENCE)
        except AssertionError:
            break
    return left


def _memory(service: Service) -> float:
    """Resident MiB of the process."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    (line,) = [each for each in status.splitlines() if each.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


async def _well(service: Service, channel: AbstractChannel, heard: Heard) -> list[str]:
    """Look whether it is alive and ready, and does what comes next."""
    if service.process.returncode is not None:
        return [f"the service ended with {service.process.returncode}"]
    async with http.visit(service.http) as client:
        ready = (await client.get("/health/ready")).json()
    last = command("query-sms-balance", {"appliance": "fac-1"})
    await channel.basic_publish(
        json.dumps(last).encode(), exchange="courier.commands", routing_key=last["type"]
    )
    await until(lambda: (last["source"], last["id"]) in heard.finished)
    return [f"not ready: {ready}"] if ready["reasons"] else []


async def _parked(rabbit: Rabbit, url: str, heard: Heard) -> list[str]:
    """Compare what is parked with what was rejected, and look that nothing else is left."""
    vhost = urlsplit(url).path[1:]
    total = sum(heard.rejected.values())
    queues = await until(lambda: _still(rabbit, vhost, total) or None, patience=_PATIENCE)
    left = {
        name: queue.ready + queue.unacked
        for name, queue in queues.items()
        if name.startswith("courier.") and name != "courier.parked"
    }
    parked = queues["courier.parked"].ready
    found = [f"{parked} are parked and {total} were rejected"] if parked != total else []
    return found + [f"{number} are left in {name}" for name, number in left.items() if number]


def _still(rabbit: Rabbit, vhost: str, parked: int) -> dict[str, Any]:
    """The queues, when the counts have come to rest."""
    queues = rabbit.queues(vhost)
    busy = any(queue.unacked for queue in queues.values())
    return {} if busy or queues["courier.parked"].ready < parked else queues


def _log(service: Service) -> list[str]:
    """Look through the event log: its contract, mistakes of ours, canaries."""
    noticed, eventlog.noticed[:] = list(dict.fromkeys(eventlog.noticed)), []
    mistakes = [f"the log: {each}" for each in service.events("internal-error")[:5]]
    told = [line[:80] for line in service.written if corpus.tells(line)]
    return [*noticed[:20], *mistakes, *(f"a line tells a canary: {each}" for each in told[:5])]


def orders(sent: Iterable[Sent]) -> Counter[str | None]:
    """Count who ordered what: the same key with the same content is one order."""
    return Counter(writes for _, writes in {(each.key, each.writes) for each in sent})


async def _books(appliances: Appliances, sent: list[Sent]) -> list[str]:
    """Look whether anything was written more often than it was ordered."""
    ordered = orders(sent)
    found = []
    for number in range(1, corpus.PAIRS + 1):
        for name, kind in ((f"fac-{number}", "posts"), (f"fvc-{number}", "applied")):
            often = (await appliances.books(name))[kind].items()
            found += [
                f"{name}: {each} was written {n} times" for each, n in often if n > ordered[each]
            ]
    return found


def _unknown(sent: list[Sent], heard: Heard) -> list[str]:
    """Name what ended unknown, though nothing went wrong and nobody claimed that it had been run.

    A header that says so is believed: a lost ledger must not make a licence be written twice.
    """
    forged = {each.key for each in sent if each.forged}
    ended = [key for key, conclusion in heard.finished.items() if conclusion == "unknown"]
    return [f"ended unknown: {key}" for key in ended if key not in forged]
