"""What happens to one node of a cluster, and how it is undone.

Two of three nodes are enough: the clock of a recovery starts when the node is broken, and not when
it is mended. Only one is broken at a time, and the next one not before all of them are together.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from urllib.parse import quote

import httpx

from tests.campaign.arena import Arena
from tests.campaign.schedules import Planned
from tests.campaign.striking import Fault, Healed
from tests.support import http
from tests.support.cluster import Cluster, Member
from tests.support.wait import until

_COMES_BACK: Final = 20.0
_BETWEEN: Final = 0.1


def _on_a_node(
    break_it: Callable[[Cluster, Member], None], mend_it: Callable[[Cluster, Member], None]
) -> Fault:
    """Break the node that the plan names, and mend it after a while."""

    async def strike(arena: Arena, planned: Planned, healed: Healed) -> None:
        cluster = arena.cluster
        assert cluster is not None, "there are no nodes"
        victim = await _chosen(arena, cluster, planned.variant)
        await _lead_away(arena, cluster, victim)
        await asyncio.to_thread(break_it, cluster, victim)
        healed()
        try:
            await asyncio.sleep(planned.seconds)
        finally:
            await asyncio.to_thread(mend_it, cluster, victim)
        await asyncio.to_thread(cluster.reunite, victim, arena.vhost)

    return strike


NODE_FAULTS: Final[dict[str, Fault]] = {
    "node-killed": _on_a_node(Cluster.kill, Cluster.revive),
    "node-stopped": _on_a_node(Cluster.stop, Cluster.revive),
    "node-frozen": _on_a_node(Cluster.freeze, Cluster.thaw),
    "node-partitioned": _on_a_node(Cluster.part, Cluster.join),
}
"""Every kind of `kinds.NODE_KINDS`, as it is done."""


async def _chosen(arena: Arena, cluster: Cluster, which: str) -> Member:
    """Find the node that leads most of the courier's queues, the courier's own, or another."""
    own = await _own(arena, cluster)
    led = Counter(
        each["leader"]
        for each in arena.rabbit.ask(f"queues/{quote(arena.vhost, safe='')}")
        if each["name"].startswith("courier.") and each.get("leader")
    )
    leading = max(cluster.members, key=lambda each: led[each.name])
    if which == "leading":
        return leading
    if which == "connected":
        return own
    return next(each for each in cluster.members if each not in {own, leading})


async def _own(arena: Arena, cluster: Cluster) -> Member:
    """Find the node that the courier consumes from, as it tells by itself."""
    async with asyncio.timeout(_COMES_BACK):
        while True:
            courier = arena.keeper.process
            with suppress(httpx.TransportError, KeyError, StopIteration):
                if courier.events("service-ready"):
                    async with http.visit(courier.http) as client:
                        where = (await client.get("/health/ready")).json()["broker"]["consuming"]
                    return next(each for each in cluster.members if each.address == where)
            await asyncio.sleep(_BETWEEN)


async def _lead_away(arena: Arena, cluster: Cluster, victim: Member) -> None:
    """Let the workflow be at a node that stays: it is the courier that is tried."""
    link = arena.link
    if link.target != (victim.place.host, victim.port):
        return
    other = next(each for each in cluster.healthy if each is not victim)
    before = link.accepted
    link.lead_to(other.place.host, other.port)
    await until(
        lambda: link.accepted > before and arena.workflow.is_connected, patience=_COMES_BACK
    )
