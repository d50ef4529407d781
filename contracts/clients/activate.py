"""Activate an SMS licence through Appliance Courier, and wait for the result.

Python 3.11 or newer with aio-pika, and nothing of the courier's own:

    pip install aio-pika
    export COURIER_BROKER_URL=amqp://user:password@broker.example.net/vhost
    python activate.py order-20418 fac-ottawa - < licence.txt

Exit code 0: done. 1: failed, refused or rejected. 3: unknown, or no answer.
"""

import argparse
import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import aio_pika
from aio_pika.exceptions import AMQPError

Message = dict[str, Any]

# One stable value for each sending system: source and id together name a command for ever.
SOURCE = "/portal/licensing"
REJECTED = "courier.command.rejected.v1"
# To wait a little longer than the command may take to be begun: even "too late" is then heard.
MARGIN = 5


def activation(order: str, appliance: str, licence: str, seconds: float) -> Message:
    """Make the command. Its id is the order's own, which was stored before anything is sent.

    So who missed the answer sends the same again: it is run once, and answered each time. An id
    that was made up here would make another command at each call.
    """
    now = datetime.now(UTC)
    return {
        "specversion": "1.0",
        "id": order,
        "source": SOURCE,
        "type": "courier.activate-sms-license.v1",
        # How the courier tells an old command from a new one should it ever lose its ledger.
        "time": now.isoformat(),
        # Nothing is begun after this. It does not stop a licence that is being written.
        "expirytime": (now + timedelta(seconds=seconds)).isoformat(),
        "data": {"appliance": appliance, "license": licence},
    }


async def ask(url: str, command: Message) -> Message:
    """Send a command, and wait for the event that ends it, however long that takes."""
    async with await aio_pika.connect(url) as connection:
        # With confirms, and returned messages as errors: what nobody took must not look sent.
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        # Ours alone, and gone with us. Who must not miss the result binds a durable queue instead.
        replies = await channel.declare_queue(exclusive=True)
        commands = await channel.get_exchange("courier.commands")
        message = aio_pika.Message(
            json.dumps(command).encode(),
            content_type="application/cloudevents+json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=command["id"],
            reply_to=replies.name,
        )
        await commands.publish(message, routing_key=command["type"], mandatory=True)
        seen: set[str] = set()
        async with replies.iterator(no_ack=True) as deliveries:
            async for delivery in deliveries:
                event: Message = json.loads(delivery.body)
                # Any event may come twice, with the same id. A program that goes on keeps the ids
                # that it has seen beside its orders, and writes both in one transaction.
                if event["id"] in seen:
                    continue
                seen.add(event["id"])
                if event.get("causationid") == command["id"]:
                    return event
    raise ConnectionError("the queue of replies is gone")


def judge(event: Message) -> tuple[int, str]:
    """Decide by type and conclusion, which never grow. Codes and reasons do; people read them."""
    data = event["data"]
    if event["type"] == REJECTED:
        errors = [f"{each['path'] or 'message'} {each['message']}" for each in data["errors"]]
        return 1, f"rejected ({data['reason']}): {'; '.join(errors)}. Nothing was done."
    match data["conclusion"]:
        case "succeeded" if data["effect"] == "unchanged":
            return 0, "succeeded: nothing added, the licence had been used before"
        case "succeeded":
            return 0, f"succeeded: {data['added_sms']} SMS added"
        case "refused":
            return 1, f"refused ({data['error']['code']}). Sending it again will not help."
        case "failed":
            return 1, f"failed ({data['error']['code']}). Nothing changed; a new order may try it."
    return 3, "unknown. Do not send it again: a person must look at the appliance first."


async def main() -> int:
    """Ask, and tell what came of it."""
    parser = argparse.ArgumentParser(description="Activate an SMS licence.")
    parser.add_argument("order", help="its number, which is the command's id")
    parser.add_argument("appliance", help="a name in the courier's inventory")
    parser.add_argument("licence", help="- reads it from standard input, where nobody else sees it")
    parser.add_argument("--seconds", type=float, default=60, help="how long it may take")
    given = parser.parse_args()
    licence = sys.stdin.readline().strip() if given.licence == "-" else given.licence
    command = activation(given.order, given.appliance, licence, given.seconds)
    try:
        async with asyncio.timeout(given.seconds + MARGIN):
            event = await ask(os.environ["COURIER_BROKER_URL"], command)
    except (TimeoutError, AMQPError, OSError, asyncio.CancelledError) as error:
        # Whatever it was (a lost connection cancels), the command may be on its way all the same.
        print(f"no answer ({error!r}): ask again with the same order", file=sys.stderr)
        return 3
    code, sentence = judge(event)
    print(f"{given.order}: {sentence} [{event['id']}]")
    return code


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
