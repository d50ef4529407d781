"""`python -m tests.benchmarks.guard`: has the service become slower, beside the worker by hand?

What decides is the CPU for a command, as the ratio of two workers that took turns: other jobs on
the machine change how long a drain takes, and much less how much it costs. Throughput is told, too.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from tests.benchmarks.found import middle
from tests.benchmarks.ground import Appliances, Cost, Ground, ground
from tests.benchmarks.load import Load, commands, loading
from tests.benchmarks.report import machine
from tests.benchmarks.throughput import ACTIVATE, names
from tests.benchmarks.workers import BY_HAND, SERVICE, Kind, Worker, working

RECORDED: Final = Path(__file__).with_name("recorded.json")
_LEAST: Final = 0.8
"""Of what was recorded."""
_ROUNDS: Final = 8
_COMMANDS: Final = 200


@dataclass(frozen=True)
class Ratios:
    """The service beside the worker by hand; more is better.

    Attributes:
        cpu: the other's CPU for a command ÷ the service's.
        throughput: the service's commands a second ÷ the other's.
    """

    cpu: float
    throughput: float


def slower(found: Ratios, recorded: Ratios) -> bool:
    """Tell whether the service costs clearly more than it did."""
    return found.cpu < _LEAST * recorded.cpu


async def compare(ground: Ground, turn: int, rounds: int) -> Ratios:
    """Let both work off the same number of activations, in short turns close to each other."""
    kinds = (SERVICE, BY_HAND)
    pairs: list[list[Cost]] = []
    async with AsyncExitStack() as stack:
        appliances = await stack.enter_async_context(ground.appliances(10))
        pits = [await _pit(stack, ground, kind, appliances) for kind in kinds]
        for number in range(-1, rounds):
            pair = []
            for kind, (load, worker) in zip(kinds, pits, strict=True):
                run = f"{kind.name[0]}{turn}{number + 1:02d}"
                wanted = commands(ACTIVATE, _COMMANDS, names("fac", 10), run)
                pair.append(await ground.poured(load, [worker], appliances, wanted))
            if number >= 0:  # in the first one connections are opened
                pairs.append(pair)
        for load, _ in pits:
            load.check(_COMMANDS * (rounds + 1))
    for kind, found in zip(kinds, zip(*pairs, strict=True), strict=True):
        cpu, rate = [each.cpu_ms for each in found], [each.rate for each in found]
        _say(f"  {kind.name}: CPU {middle(cpu, 2)} ms for a command, {middle(rate, 0)} a second")
    return Ratios(
        median(theirs.cpu_ms / ours.cpu_ms for ours, theirs in pairs),
        median(ours.rate / theirs.rate for ours, theirs in pairs),
    )


async def _pit(
    stack: AsyncExitStack, ground: Ground, kind: Kind, appliances: Appliances
) -> tuple[Load, Worker]:
    place = await stack.enter_async_context(ground.place(appliances))
    load = await stack.enter_async_context(loading(place.url))
    return load, await stack.enter_async_context(working(kind, place))


async def guard(rounds: int) -> bool:
    """Compare with what was recorded; once more where that is missed."""
    recorded = Ratios(**json.loads(RECORDED.read_text())["ratios"])
    with tempfile.TemporaryDirectory(prefix="courier-guard-") as directory:
        async with ground(Path(directory)) as found:
            for turn in range(2):
                ratios = await compare(found, turn, rounds)
                _say(
                    f"CPU: {ratios.cpu:.3f} of the worker by hand's, recorded {recorded.cpu:.3f};"
                    f" throughput: {ratios.throughput:.3f}, recorded {recorded.throughput:.3f}"
                )
                if not slower(ratios, recorded):
                    return True
                _say(f"That is less than {_LEAST:.0%} of what was recorded.")
    return False


async def record(rounds: int) -> None:
    """Write down how it is now."""
    with tempfile.TemporaryDirectory(prefix="courier-guard-") as directory:
        async with ground(Path(directory)) as found:
            ratios = await compare(found, 0, rounds)
    told = {"ratios": {name: round(value, 3) for name, value in vars(ratios).items()}}
    text = json.dumps({"machine": machine(), "rounds": rounds} | told, indent=1)
    RECORDED.write_text(text + "\n")
    _say(f"{RECORDED}: {text}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Compare, or record."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.guard")
    parser.add_argument("--record", action="store_true", help="write down how it is now")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    given = parser.parse_args()
    if given.record:
        asyncio.run(record(2 * given.rounds))
        return 0
    return 0 if asyncio.run(guard(given.rounds)) else 1


if __name__ == "__main__":
    sys.exit(main())
