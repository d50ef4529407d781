"""The catalogue: how each kind of fault is made, from outside, and healed.

A fault is a function that breaks something, waits, mends it and says so at that instant; whatever
else it has to put in order comes after. What it breaks is locked for it meanwhile.
"""

import asyncio
import random
import shutil
import signal
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import aio_pika
import httpx
from aio_pika.connection import make_url
from aio_pika.exceptions import AMQPError

from tests.campaign.appliance_faults import APPLIANCE_FAULTS
from tests.campaign.arena import Arena
from tests.campaign.clocks import CLOCK_FAULTS
from tests.campaign.inventories import INVENTORY_FAULTS
from tests.campaign.kinds import QUEUES, QUIET, VOICE
from tests.campaign.proxy import DIRECTIONS
from tests.campaign.rivals import rival_file
from tests.campaign.schedules import Planned
from tests.campaign.striking import Fault, Healed, Missed
from tests.support.rabbit import Connection
from tests.support.wait import until

LIMITS: Final = {
    "broker-killed": 5.0,
    "broker-killed-in-alarm": 5.0,
    "service-killed": 3.0,
    "node-killed": 15.0,
    "node-stopped": 15.0,
}
"""Seconds from the instant of healing to the result of a command that is sent then."""
PROBES: Final = {
    # A query is answered without the ledger.
    "ledger-locked": ("activate-sms-license", QUIET),
    "ledger-full": ("activate-sms-license", QUIET),
    "ledger-corrupt": ("activate-sms-license", QUIET),
}
"""What is sent to see whether it works again, where that is no balance of the quiet appliance."""
_ALARM: Final = ("set_vm_memory_high_watermark", "absolute", "1")
_REFUSAL: Final = 15.0
_COMES_BACK: Final = 40.0
_PAGE: Final = 4096


def probe_for(planned: Planned) -> tuple[str, str]:
    """Say which command, and where, shows that a fault is over."""
    queue = planned.variant.split()[-1] if planned.variant else ""
    if queue in QUEUES:
        kind = queue.removeprefix("courier.")
        return kind, QUIET if "sms" in kind else VOICE[0]
    if planned.on.startswith("fvc"):
        return "query-devices", planned.on
    if planned.on.startswith("fac"):
        return "query-sms-balance", planned.on
    return PROBES.get(planned.kind, ("query-sms-balance", QUIET))


async def _service_killed(arena: Arena, planned: Planned, healed: Healed) -> None:
    """SIGKILL; a supervisor starts it again after a while."""
    keeper = arena.courier(planned.dice)
    await keeper.end(signal.SIGKILL)
    await asyncio.sleep(planned.seconds)
    await keeper.start()
    healed()
    await keeper.ready()


async def _service_frozen(arena: Arena, planned: Planned, healed: Healed) -> None:
    """SIGSTOP for longer than the heartbeat: the broker closes and has its deliveries again."""
    keeper = arena.courier(planned.dice)
    with keeper.frozen():
        await asyncio.sleep(planned.seconds)
    healed()
    await keeper.well()


async def _broker_killed(arena: Arena, planned: Planned, healed: Healed) -> None:
    """SIGKILL and a new start; it is there again when its port is open."""
    node = arena.rabbit.node
    await asyncio.to_thread(node.settle)
    await asyncio.to_thread(node.kill)
    await asyncio.sleep(planned.seconds)
    await _broker_started(arena, healed)


async def _broker_killed_in_alarm(arena: Arena, planned: Planned, healed: Healed) -> None:
    """What was sent to it meanwhile it has not read; what it was asked to forget, it has."""
    node = arena.rabbit.node
    await asyncio.to_thread(node.settle)
    await asyncio.to_thread(node.ctl, *_ALARM)
    await asyncio.sleep(planned.seconds)
    await asyncio.to_thread(node.kill)
    await _broker_started(arena, healed)


async def _broker_started(arena: Arena, healed: Healed) -> None:
    node = arena.rabbit.node
    starting = asyncio.create_task(asyncio.to_thread(node.start))
    while not starting.done():
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", arena.port)
            writer.close()
            break
        await asyncio.sleep(0.02)
    healed()
    await starting


async def _broker_frozen(arena: Arena, planned: Planned, healed: Healed) -> None:
    """SIGSTOP for longer than the heartbeat: its connections stay open and nothing answers."""
    arena.rabbit.node.freeze()
    try:
        await asyncio.sleep(planned.seconds)
    finally:
        arena.rabbit.node.thaw()
    healed()


async def _connections_closed(arena: Arena, planned: Planned, healed: Healed) -> None:
    """An operator closes the courier's connections, one or all."""
    names = "courier " if planned.variant == "all" else f"courier {planned.variant}"

    def ours() -> list[Connection]:
        found = arena.rabbit.connections(arena.vhost)
        return [each for each in found if (each.given_name or "").startswith(names)]

    for connection in await until(ours):
        with suppress(httpx.HTTPStatusError):  # it has just gone by itself
            arena.rabbit.close_connection(connection)
    healed()


async def _memory_alarm(arena: Arena, planned: Planned, healed: Healed) -> None:
    """Whoever publishes is blocked."""
    ctl = arena.rabbit.node.ctl
    await asyncio.to_thread(ctl, *_ALARM)
    try:
        await asyncio.sleep(planned.seconds)
    finally:
        await asyncio.to_thread(ctl, "set_vm_memory_high_watermark", "0.4")
    healed()


async def _queue_deleted(arena: Arena, planned: Planned, healed: Healed) -> None:
    """Somebody deletes a queue that is empty at the moment; what was in it would be lost by that.

    So commands of its kind wait until it is, and go on at once when it is gone.
    """
    kind = f"{planned.variant}.v1"
    gate = arena.gates.setdefault(kind, asyncio.Event())
    gate.clear()
    try:
        await until(lambda: _is_idle(arena, kind, planned.variant), patience=60)
        # Closed even if it never opened: the library warns about those that are left behind.
        async with aio_pika.Connection(make_url(arena.url)) as connection:
            await connection.connect()
            channel = await connection.channel()
            await channel.queue_delete(planned.variant)  # quorum queues know no `if_empty`
    except AMQPError as error:
        raise Missed(f"{planned.variant} was not to be deleted: {error}") from None
    finally:
        gate.set()
    healed()


def _is_idle(arena: Arena, kind: str, queue: str) -> bool:
    """Whether all commands of a kind have ended, and no copy of one is anywhere."""
    of_kind = [each for each in arena.sent.values() if each.type == kind]
    if any(len(arena.told(each.id)) < 1 for each in of_kind):
        return False
    waiting = arena.waiting()
    return not any(waiting.get(each) for each in (queue, "courier.quarantine", *_retries(waiting)))


def _retries(names: dict[str, int]) -> list[str]:
    return [each for each in names if each.startswith("courier.retry.")]


_CONSUMERS: Final = (
    'Name = {{resource, <<"{vhost}">>, queue, <<"{queue}">>}},'
    " {{ok, Queue}} = rabbit_amqqueue:lookup(Name),"
    " length([begin {what} end || Each <- rabbit_amqqueue:consumers(Queue),"
    " Channel <- [element(1, Each)], Tag <- [element(2, Each)]])."
)
_SILENT: Final = "rabbit_channel:do(Channel, {'basic.cancel', Tag, true})"
_CANCELS: Final = {
    # The broker forgets the consumer, and nobody is told.
    "silently": _SILENT,
    # ... and the consumer is told by a basic.cancel, as when its queue moves elsewhere.
    "told": "{dictionary, Words} = process_info(Channel, dictionary),"
    " [Parent | _] = proplists:get_value('$ancestors', Words),"
    " {writer, Writer, _, _} = lists:keyfind(writer, 1, supervisor:which_children(Parent)),"
    f" {_SILENT}, rabbit_writer:send_command(Writer, {{'basic.cancel', Tag, true}})",
    # The broker closes the channel, as when an ack is overdue (its consumer_timeout).
    "channel-closed": "rabbit_channel:do(Channel, {'basic.ack', 999999999, false})",
}
"""How the broker takes a consumer away, in Erlang; there is no command for it."""


async def _consumer_cancelled(arena: Arena, planned: Planned, healed: Healed) -> None:
    """The broker takes the consumer of one queue away; it must come back, whatever that takes."""
    how, queue = planned.variant.split()
    asked = _CONSUMERS.format(vhost=arena.vhost, queue=queue, what=_CANCELS[how])

    def consumed() -> bool:
        return arena.rabbit.queues(arena.vhost)[queue].consumers > 0

    try:
        async with asyncio.timeout(_COMES_BACK):
            # What the broker tells of its consumers may be past: the link was cut a moment ago.
            while await asyncio.to_thread(arena.rabbit.node.ctl, "eval", asked) == "0":
                await until(consumed, patience=_COMES_BACK)
    except TimeoutError:
        raise Missed(f"{queue} had no consumer to be cancelled") from None
    healed()
    await until(consumed, patience=_COMES_BACK)


async def _link_slow(arena: Arena, planned: Planned, healed: Healed) -> None:
    """Everything takes its time."""
    arena.link.slow(latency=0.15, rate=30_000)
    await asyncio.sleep(planned.seconds)
    arena.link.heal()
    healed()


async def _link_half_open(arena: Arena, planned: Planned, healed: Healed) -> None:
    """What is sent one way, or both, arrives nowhere, and nobody is told."""
    chosen = [each for each in DIRECTIONS if planned.variant in {each, "both"}]
    arena.link.half_open(chosen)
    await asyncio.sleep(planned.seconds)
    arena.link.heal()
    healed()


async def _link_cut(arena: Arena, planned: Planned, healed: Healed) -> None:
    """All connections are reset, and new ones, too."""
    arena.link.cut()
    await asyncio.sleep(planned.seconds)
    arena.link.heal()
    healed()


async def _ledger_locked(arena: Arena, planned: Planned, healed: Healed) -> None:
    """Somebody else writes to it, and takes his time."""

    def hold() -> None:
        connection = sqlite3.connect(arena.ledger, timeout=20, isolation_level=None)
        try:
            connection.execute("BEGIN EXCLUSIVE")
            time.sleep(planned.seconds)
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    await asyncio.to_thread(hold)
    healed()


async def _ledger_full(arena: Arena, planned: Planned, healed: Healed) -> None:
    """Nothing can be written to the disk."""
    with arena.keeper.full_disk():
        await asyncio.sleep(planned.seconds)
    healed()


async def _ledger_corrupt(arena: Arena, planned: Planned, healed: Healed) -> None:
    """It is not what it was: the courier must say so and not start until it is taken away."""
    keeper, ledger = arena.keeper, arena.ledger
    await keeper.end(signal.SIGKILL)
    await asyncio.to_thread(_overwrite, ledger, planned)
    code, said = await keeper.refusal(_REFUSAL)
    kept = ledger.with_name(f"corrupt-{planned.dice}.db")
    shutil.move(ledger, kept)
    for suffix in ("-wal", "-shm"):
        ledger.with_name(ledger.name + suffix).unlink(missing_ok=True)
    await keeper.start()
    healed()
    await keeper.ready()
    if code != 1 or '"start-refused"' not in said or ledger.name not in said:
        how = "went on" if code is None else f"ended with {code}"
        raise Missed(f"started on a corrupt ledger ({planned.variant}) it {how}: {said[-500:]}")


def _overwrite(ledger: Path, planned: Planned) -> None:
    """Write rubbish over the file's header, or over all that comes after its first page."""
    connection = sqlite3.connect(ledger)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    dice = random.Random(planned.dice)  # noqa: S311  # dice, no secret
    content = bytearray(ledger.read_bytes())
    if planned.variant == "header":
        content[: _PAGE // 4] = dice.randbytes(_PAGE // 4)
    else:
        for page in range(1, len(content) // _PAGE):
            content[page * _PAGE : page * _PAGE + 64] = dice.randbytes(64)
    ledger.write_bytes(content)


FAULTS: Final[dict[str, Fault]] = {
    "service-killed": _service_killed,
    "service-frozen": _service_frozen,
    "broker-killed": _broker_killed,
    "broker-frozen": _broker_frozen,
    "connections-closed": _connections_closed,
    "memory-alarm": _memory_alarm,
    "broker-killed-in-alarm": _broker_killed_in_alarm,
    "queue-deleted": _queue_deleted,
    "consumer-cancelled": _consumer_cancelled,
    "link-slow": _link_slow,
    "link-half-open": _link_half_open,
    "link-cut": _link_cut,
    "ledger-locked": _ledger_locked,
    "ledger-full": _ledger_full,
    "ledger-corrupt": _ledger_corrupt,
    **CLOCK_FAULTS,
    **APPLIANCE_FAULTS,
    **INVENTORY_FAULTS,
    "rival-file": rival_file,
}
"""Every kind of `kinds.KINDS`, as it is done."""
