"""What the broker gives up on ends too: expired, delivered too often, or run alone."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import aio_pika

from tests.support.rabbit import Rabbit
from tests.support.stand import Stand
from tests.support.wait import until
from tests.support.workflow import Json, Workflow, command, licence

WorkflowOf = Callable[[], AbstractAsyncContextManager[Workflow]]
QUARANTINE = "courier.quarantine"


async def test_what_lands_in_quarantine_is_run_parked_or_told_expired(
    stand: Stand, workflow_of: WorkflowOf, broker: Rabbit
) -> None:
    """First time: run alone. Second redelivery: parked, answered, not run. Expired: answered."""
    appliances = await stand.appliances()
    # The first start declares everything; what follows happens while nobody consumes.
    assert 0 == await (await stand.service()).end()
    vhost = stand.url.rsplit("/", 1)[1]
    late, alone, poison = (
        command("activate-sms-license", {"appliance": "fac-1", "license": licence(number)})
        for number in (1, 2, 3)
    )
    async with workflow_of() as workflow:
        quarantine = await workflow.channel.get_queue(QUARANTINE, ensure=False)
        await _straight_to(workflow, QUARANTINE, poison, message_id="p")
        await _bring_back(quarantine, times=2)
        await _straight_to(workflow, QUARANTINE, alone)
        await workflow.send(late, expiration=0.001)
        await until(lambda: broker.queues(vhost)[QUARANTINE].ready == 3)

        await stand.service()
        assert ("failed", "expired", 0) == await _ended(workflow, late["id"])
        assert ("succeeded", None, 1) == await _ended(workflow, alone["id"])
        rejected = await workflow.answer(poison["id"])
        assert "courier.command.rejected.v1.rejected.delivery-limit" == rejected.routing_key
        parked = await until_parked(workflow)
        assert ("p", "delivery-limit", QUARANTINE) == (
            parked.message_id,
            parked.headers["courier-reason"],
            parked.headers["courier-queue"],
        )
    assert {licence(2): 1} == (await appliances.books("fac-1"))["posts"]


async def until_parked(workflow: Workflow) -> aio_pika.abc.AbstractIncomingMessage:
    queue = await workflow.channel.get_queue("courier.parked", ensure=False)
    async with queue.iterator(no_ack=True, timeout=10) as messages:
        return await anext(messages)


async def _ended(workflow: Workflow, command_id: str) -> tuple[str, str | None, int]:
    data = (await workflow.answer(command_id)).data
    return data["conclusion"], (data["error"] or {}).get("code"), data["attempts"]


async def _straight_to(
    workflow: Workflow, queue: str, document: Json, *, message_id: str | None = None
) -> None:
    body = json.dumps(document).encode()
    message = aio_pika.Message(body, delivery_mode=2, message_id=message_id)
    await workflow.channel.default_exchange.publish(message, queue)


async def _bring_back(queue: aio_pika.abc.AbstractQueue, *, times: int) -> None:
    """Take the one message there is and give it back, so that the broker counts."""
    async with asyncio.timeout(10):
        while times:
            message = await queue.get(fail=False)
            if message is None:
                await asyncio.sleep(0.02)
                continue
            await message.nack(requeue=True)
            times -= 1
