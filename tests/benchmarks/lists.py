"""Rows 4 and 5: logins, and lists of phones that are streamed."""

import asyncio
import json
import os
import sys
import time
from collections import defaultdict

from tests.benchmarks.found import Check, Row, Table, middle
from tests.benchmarks.ground import Appliances, Ground
from tests.benchmarks.load import commands
from tests.benchmarks.processes import forget_peak, let_roam, peak
from tests.benchmarks.scale import Scale
from tests.benchmarks.throughput import names
from tests.support.stand import ROOT

DEVICES = "query-devices"
_FLEET = 10
_ROUNDS = 3
_PAGE = 10.0


async def logins(ground: Ground, scale: Scale) -> Row:
    """Ask ten FortiVoices very often, and count their logins."""
    fleet = names("fvc", _FLEET)
    async with (
        ground.appliances(0, fortivoices=_FLEET) as appliances,
        ground.serving(appliances) as (load, worker),
    ):
        wanted = commands(DEVICES, scale.queries * _FLEET, fleet, "logins", limit=10)
        began = time.perf_counter()
        used = worker.used().seconds
        await load.closed_loop(wanted, 100)
        seconds, used = time.perf_counter() - began, worker.used().seconds - used
        load.check(len(wanted))
        counts = [each for name, each in appliances.counts().items() if name in fleet]
    figures = Table(
        "Meanwhile",
        ("queries/s", "CPU ms/query", "requests at each", "connections at each"),
        [
            (
                f"{len(wanted) / seconds:.0f}",
                f"{used * 1000 / len(wanted):.2f}",
                middle([float(each["requests"]) for each in counts], 0),
                middle([float(each["connections"]) for each in counts], 0),
            )
        ],
    )
    return Row(
        "4",
        "Logins: one for a session, whatever the number of commands",
        f"{scale.queries} queries at each of ten FortiVoices, a hundred at a time; logins as the"
        " appliances count them.",
        [Check("logins at each", [float(each["logins"]) for each in counts], 1, "=")],
        [figures],
    )


async def streams(ground: Ground, scale: Scale) -> Row:
    """Stream long lists, in turns with a bare loop over the same pages."""
    found: dict[str, list[float]] = defaultdict(list)
    rounds = min(scale.rounds, _ROUNDS)
    last = scale.devices[-1]
    lists = [(f"{devices:,} devices", devices, 0.0) for devices in scale.devices]
    lists.append((f"{last:,} devices, {_PAGE:.0f} ms a page", last, _PAGE))
    for what, devices, delay in lists:
        async with ground.appliances(0, fortivoices=1, devices=devices, delay=delay) as appliances:
            for _ in range(rounds):
                bare, bare_memory = await _bare(appliances, devices)
                rate, memory = await _streamed(ground, appliances, devices)
                found[f"{what} ÷"].append(rate / bare)
                found[f"{what} devices/s"].append(rate)
                found[f"{what} bare devices/s"].append(bare)
                found[f"{what} memory"].append(memory)
                found[f"{what} bare memory"].append(bare_memory)
    checks = []
    for what, devices, _ in lists:
        asked = 0.8 if devices == last else None
        checks += [
            Check(f"{what}: service ÷ bare loop", found[f"{what} ÷"], asked),
            Check(f"{what}: memory growth", found[f"{what} memory"], 32, "≤", "MiB"),
        ]
    rows = [
        (
            what,
            *(
                middle(found[f"{what} {figure}"], 0)
                for figure in ("devices/s", "bare devices/s", "memory", "bare memory")
            ),
        )
        for what, _, _ in lists
    ]
    first, longest = (found[f"{lists[place][0]} memory"] for place in (0, -2))
    grown = [two - one for one, two in zip(first, longest, strict=True)]
    checks.append(Check("memory: the longest list above the shortest", grown, None, unit="MiB"))
    return Row(
        "5",
        "Long lists, streamed",
        "One `query-devices` with `stream`, from publishing to its finished event, at a service"
        " that has answered one short query; in turns with a loop that reads the same pages with"
        " httpx on aiohttp's transport and counts the rows. Growth is from the memory just before"
        " to the most there was meanwhile; the loop's own is all that it had. Pages come from"
        " memory; the last list's take the appliance some time each.",
        checks,
        [
            Table(
                "Devices and MiB",
                (
                    "devices",
                    "service, devices/s",
                    "loop, devices/s",
                    "service's growth",
                    "loop's memory",
                ),
                rows,
            )
        ],
    )


async def _streamed(ground: Ground, appliances: Appliances, devices: int) -> tuple[float, float]:
    async with ground.serving(appliances) as (load, worker):
        await load.closed_loop(commands(DEVICES, 3, ["fvc-1"], "short", limit=10), 1)
        before = forget_peak(worker.process.pid)
        (wanted,) = commands(DEVICES, 1, ["fvc-1"], "long", stream=True)
        seconds = await load.one(wanted)
        load.check(4)
        assert load.pages >= devices // 500, f"{load.pages} pages came"
        return devices / seconds, peak(worker.process.pid) - before


async def _bare(appliances: Appliances, devices: int) -> tuple[float, float]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.peers.paging"),
        cwd=ROOT,
        env=os.environ | {"BENCH_INVENTORY": str(appliances.inventory)},
        stdout=asyncio.subprocess.PIPE,
    )
    let_roam(process.pid)
    told, _ = await process.communicate()
    found = json.loads(told)
    assert devices == found["devices"]
    return devices / found["seconds"], found["rss_mib"]
