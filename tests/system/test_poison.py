"""Poison: what kills the service, or its connection, whenever it is delivered. The others go on."""

import asyncio
import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from itertools import chain, repeat
from pathlib import Path

import pytest
from pamqp.commands import Basic
from pamqp.common import FieldValue

from tests.campaign.checker import Wish, judge, judge_queues
from tests.campaign.crashes import SETTINGS, declare_all, emptied, mortal, parked, waiting
from tests.campaign.scenarios import activation, application, balance, devices
from tests.support.rabbit import Rabbit
from tests.support.stand import COURIER, Appliances, Service, Stand
from tests.support.wait import until
from tests.support.workflow import Workflow, licence

WorkflowOf = Callable[[], AbstractAsyncContextManager[Workflow]]
POISON = activation("poison", licence(9999))
PATIENCE = 60.0


def neighbours() -> list[Wish]:
    """Twenty commands of all kinds; activations share the poison's queue and its appliance."""
    return [
        *(activation(f"activation-{number}", licence(number)) for number in range(5)),
        # What is interrupted between intent and outcome could not be read back: no apply.
        *(application(f"application-{number}", dry_run=True) for number in range(5)),
        *(balance(f"balance-{number}") for number in range(5)),
        *(devices(f"devices-{number}") for number in range(5)),
    ]


class Supervisor:
    """Starts the service again whenever it dies, as systemd or Kubernetes would.

    Args:
        programs: what is started, one after the other.
    """

    def __init__(self, stand: Stand, programs: Iterator[tuple[str, ...]]) -> None:
        self.starts = 0
        self.service: Service | None = None
        self._stand = stand
        self._programs = programs

    async def supervise(self) -> None:
        while True:
            self.starts += 1
            program = next(self._programs)
            self.service = await self._stand.service(ready=False, program=program, **SETTINGS)
            await self.service.ended()


def ends(workflow: Workflow) -> set[str]:
    return {str(each.event.get("causationid")) for each in workflow.heard}


async def all_ended(workflow: Workflow, sent: list[Wish]) -> None:
    """Wait until each has its end and nothing is on its way any more."""
    await until(lambda: ends(workflow) >= {wish.id for wish in sent}, patience=PATIENCE)
    await emptied(workflow)


async def books(appliances: Appliances) -> dict[str, dict[str, object]]:
    return {name: await appliances.books(name) for name in ("fac-1", "fvc-1")}


@pytest.mark.parametrize(
    ("first", "later", "told"),
    [
        ("open-intent-looked-for.before", "open-intent-looked-for.before", "delivery-limit"),
        # What is interrupted with an open intent is read back, and that kills it again.
        ("intent-recorded.after", "balance.before", "unknown"),
    ],
    ids=["when it is run", "when its intent is open"],
)
async def test_a_command_that_kills_the_service_is_parked_and_answered(
    stand: Stand,
    workflow_of: WorkflowOf,
    tmp_path: Path,
    first: str,
    later: str,
    told: str,
) -> None:
    """Whatever was prefetched beside it ends well, and once."""
    appliances = await stand.appliances()
    await declare_all(stand.url)
    journal, sent = tmp_path / "journal", [POISON, *neighbours()]
    dies_first, dies_later = (
        mortal(journal, whenever=f"{point}:{POISON.id}") for point in (first, later)
    )
    async with workflow_of() as workflow:
        await workflow.send(*(wish.document for wish in sent))
        supervisor = Supervisor(stand, chain([dies_first], repeat(dies_later)))
        supervising = asyncio.create_task(supervisor.supervise())
        try:
            await all_ended(workflow, sent)
        finally:
            supervising.cancel()
        assert supervisor.service is not None
        assert 0 == await supervisor.service.end()

        is_unknown = told == "unknown"
        why = "it killed the courier with its intent open"
        verdict = judge(
            sent,
            workflow.heard,
            await books(appliances),
            undecidable=lambda wish: why if wish is POISON and is_unknown else None,
            poison=() if is_unknown else {POISON.id},
        )
        verdict += judge_queues(
            sent,
            workflow.heard,
            await waiting(workflow),
            await parked(workflow),
            also_parked=[POISON.body] if is_unknown else [],
        )
        assert () == verdict.contradictions
        assert ((f"{POISON.id}: {why}",) if is_unknown else ()) == verdict.unknown
        assert {told} == {
            each.data.get("conclusion") or each.data["reason"]
            for each in workflow.answers(POISON.id)
        }
        assert {"succeeded"} == {
            each.data["conclusion"] for wish in sent[1:] for each in workflow.answers(wish.id)
        }
        assert 13 <= supervisor.starts <= 16


class Undecodable(Basic.Properties):
    """Properties of which one is not what AMQP's library can read.

    Args:
        name: the property.
        encoded: what it is on the wire.
    """

    def __init__(self, name: str, encoded: bytes) -> None:
        super().__init__(delivery_mode=2, message_id="poison")
        self._name = name
        self._encoded = encoded
        # Something must stand there, or it would not be written.
        setattr(self, name, dt.datetime.now(dt.UTC) if name == "timestamp" else "x")

    def encode_property(self, name: str, value: FieldValue) -> bytes:
        return self._encoded if name == self._name else super().encode_property(name, value)


NOT_UTF8 = b"\x02\xff\xfe"
UNDECODABLE = {"correlation_id": NOT_UTF8, "timestamp": b"\xff" * 8}
"""Others (`message_id`, `content_type`) end in the same way, for two seconds each."""


async def test_a_message_whose_properties_nobody_can_decode_is_parked_by_the_broker(
    stand: Stand, workflow_of: WorkflowOf, broker: Rabbit
) -> None:
    """Without an answer; the service lives, the neighbours are served, the log has no traceback."""
    appliances = await stand.appliances()
    service = await stand.service(ready=True, program=COURIER, **SETTINGS)
    vhost, sent = stand.url.rsplit("/", 1)[1], neighbours()
    async with workflow_of() as workflow:
        channel = await workflow.channel.get_underlay_channel()
        for (name, encoded), wish in zip(UNDECODABLE.items(), sent[::10], strict=True):
            await channel.basic_publish(
                wish.body.replace(wish.id.encode(), b"never-run"),
                exchange="courier.commands",
                routing_key=wish.type,
                properties=Undecodable(name, encoded),
            )
        await workflow.send(*(wish.document for wish in sent))

        await until(
            lambda: broker.queues(vhost)["courier.parked"].ready == len(UNDECODABLE),
            patience=PATIENCE,
        )
        await all_ended(workflow, sent)
        assert () == judge(sent, workflow.heard, await books(appliances)).contradictions
        assert {"succeeded"} == {each.data["conclusion"] for each in workflow.heard}
        await until(lambda: service.events("broker-connection-restored", connection="quarantine"))
    assert 0 == await service.end()
    assert [] == [line for line in service.lines if "Traceback" in line]
