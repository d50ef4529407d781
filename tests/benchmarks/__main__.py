"""`python -m tests.benchmarks`: what performance is asked for, measured and reported."""

import argparse
import asyncio
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.benchmarks.alone import alone
from tests.benchmarks.found import Check, Row
from tests.benchmarks.ground import Ground, ground
from tests.benchmarks.growth import by_appliances, by_commands, by_ledger
from tests.benchmarks.limits import hung, in_flight
from tests.benchmarks.lists import logins, streams
from tests.benchmarks.pressure import pressure
from tests.benchmarks.report import summary, write
from tests.benchmarks.scale import FULL, QUICK, Scale
from tests.benchmarks.scaling import processes, starts
from tests.benchmarks.throughput import throughput

Measure = Callable[[Ground, Scale], Awaitable[Row]]

ROWS: Final[dict[str, Measure]] = {
    "throughput": throughput,
    "in-flight": in_flight,
    "alone": alone,
    "logins": logins,
    "streams": streams,
    "hung": hung,
    "processes": processes,
    "starts": starts,
    "commands": by_commands,
    "appliances": by_appliances,
    "ledger": by_ledger,
    "latency": pressure,
}
_NOT: Final = "Not measured"
_REPORT: Final = Path(__file__).parent / "report"


async def measure(given: argparse.Namespace, scale: Scale) -> tuple[list[Row], float]:
    """Answer one question after the other; say how busy those were that only help."""
    with tempfile.TemporaryDirectory(prefix="courier-bench-") as directory:
        async with ground(Path(directory)) as found:
            rows = []
            for name in given.only or ROWS:
                began = time.monotonic()
                rows.append(await _answered(name, found, scale))
                took = time.monotonic() - began
                sys.stdout.write(f"{name}, {took:.0f} s\n{summary(rows[-1])}\n\n")
                sys.stdout.flush()
            return rows, found.busiest


async def _answered(name: str, found: Ground, scale: Scale) -> Row:
    """Answer a question; what goes wrong there costs nobody the other answers."""
    try:
        return await ROWS[name](found, scale)
    except Exception as error:  # noqa: BLE001  it is told, here and in the report
        traceback.print_exc()
        why = f"This could not be measured: {type(error).__name__}: {error}"
        return Row(name, _NOT, why, [Check("measured", [0.0], 1.0, "=")])


def main() -> int:
    """Read the command line, measure, write the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--only", choices=ROWS, action="append", help="this one; repeat it")
    parser.add_argument("--rounds", type=int, help="how often everything is repeated")
    parser.add_argument("--commands", type=int, help="in a drain")
    parser.add_argument("--quick", action="store_true", help="a first look, in four minutes")
    parser.add_argument("--report", type=Path, default=_REPORT, metavar="DIR")
    given = parser.parse_args()
    chosen = {name: vars(given)[name] for name in ("rounds", "commands") if vars(given)[name]}
    scale = replace(QUICK if given.quick else FULL, **chosen)
    began = time.monotonic()
    rows, busiest = asyncio.run(measure(given, scale))
    page = write(rows, scale, time.monotonic() - began, busiest, given.report)
    sys.stdout.write(f"{page}\n")
    return 1 if any(row.title == _NOT for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
