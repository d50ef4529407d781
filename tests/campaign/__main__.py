"""`python -m tests.campaign`: the crash matrix and hundreds of random schedules, and a report.

Exit codes: 0 when nothing is lost, doubled, false or unexplained, no limit was missed and
nothing was left out; 1 otherwise. Each worker is a process with a broker of its own.
"""

import argparse
import asyncio
import multiprocessing
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from importlib.metadata import version
from multiprocessing.managers import SyncManager
from pathlib import Path
from typing import Final

from service.demo.debian import install_rabbitmq
from service.demo.node import installed_server
from tests.campaign.keeper import faketime
from tests.campaign.kinds import ALL_KINDS, CLOCK
from tests.campaign.report import Campaign, write
from tests.campaign.workers import Asked, Jobs, work
from tests.support.cluster import NODES
from tests.support.packages import Missing, brought

SEED: Final = 1
SCHEDULES: Final = 312


def campaign(given: argparse.Namespace, manager: SyncManager) -> Campaign:
    """Do everything that was asked for."""
    began = time.monotonic()
    left_out = _left_out(given)
    jobs = Jobs(manager.Queue(), manager.Queue(), manager.Event())
    for seed in range(given.seed, given.seed + given.schedules):
        jobs.seeds.put(seed)
    if given.no_crashes or given.cluster or given.replicas > 1:
        jobs.discovered.set()
    without = CLOCK if left_out else frozenset[str]()
    asked = Asked(
        given.commands, given.only, without, cluster=given.cluster, replicas=given.replicas
    )
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.workers, mp_context=spawn) as pool:
        working = [
            pool.submit(work, number, jobs, asked, number == 0 and not jobs.discovered.is_set())
            for number in range(given.workers)
        ]
        done = [each.result() for each in working]
    server = installed_server()
    return Campaign(
        arguments={name: value for name, value in vars(given).items() if name != "report"},
        versions={
            "appliance-courier": version("appliance-courier"),
            "python": platform.python_version(),
            "rabbitmq": server.parent.name.rpartition("-")[2] if server else "none",
            "nodes of each broker": str(NODES if given.cluster else 1),
        },
        seconds=time.monotonic() - began,
        runs=sorted((each for some in done for each in some.runs), key=lambda each: each.seed),
        crashes=[each for some in done for each in some.crashes],
        left_out=left_out,
        problems=[each for some in done for each in some.problems],
    )


def _left_out(given: argparse.Namespace) -> list[str]:
    """Bring what is needed; say what has to be left out without it."""
    if installed_server() is None:
        asyncio.run(install_rabbitmq(_say))
    if given.cluster or given.only not in {None, *CLOCK} or faketime() or _installed_faketime():
        return []
    kinds = " and ".join(sorted(CLOCK))
    return [f"{kinds} were left out: Debian's package faketime is not to be had"]


def _installed_faketime() -> bool:
    _say("Installing Debian's package faketime")
    with suppress(Missing):
        brought("faketime", "faketime")
    return faketime() is not None


_say: Callable[[str], None] = print


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign")
    parser.add_argument("--schedules", type=int, default=SCHEDULES, help="random schedules")
    parser.add_argument("--commands", type=int, default=50, help="commands in each")
    parser.add_argument("--seed", type=int, default=SEED, help="of the first schedule")
    parser.add_argument("--workers", type=int, default=2, help="processes, with a broker each")
    parser.add_argument("--only", choices=sorted(ALL_KINDS), help="the one kind of fault")
    parser.add_argument("--no-crashes", action="store_true", help="without the crash matrix")
    parser.add_argument(
        "--cluster",
        action="store_true",
        help="each worker's broker is one of three nodes; faults of nodes come first (Linux, root)",
    )
    parser.add_argument(
        "--replicas", type=int, default=1, help="couriers, with one ledger in PostgreSQL if several"
    )
    parser.add_argument("--report", type=Path, default=Path("campaign-report"), metavar="DIR")
    return parser.parse_args(words)


def main() -> int:
    """Do it, and write the report."""
    given = arguments()
    with multiprocessing.get_context("spawn").Manager() as manager:
        found = campaign(given, manager)
    page = write(found, given.report)
    for each in found.failures[:20]:
        _say(f"FAILED: {each[:300]}")
    _say(
        f"{sum(run.commands for run in found.runs)} commands in {len(found.runs)} schedules and"
        f" {len(found.crashes)} crashes: lost {len(found.lost)}, doubled {len(found.doubled)},"
        f" false {len(found.false)}, unknown {len(found.unknown)} (no write was sent:"
        f" {len(found.needless)}), failures {len(found.failures)};"
        f" {found.seconds / 60:.1f} min; {page}"
    )
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
