"""`python -m tests.benchmarks.sizing`: what a command costs, and whom, with many appliances.

Everything runs on this one machine, so what counts is not how long it took but how much of a core
each process used for a command: that holds where they have machines of their own, too.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from service.demo.node import installed_server
from tests.benchmarks.processes import Node, Used, used
from tests.campaign.database import Database, shared
from tests.support.postgres import asked
from tests.support.rabbit import Rabbit
from tests.support.stand import Service, Stand, standing
from tests.support.wait import until
from tests.support.workflow import Workflow, command, working

Json = dict[str, Any]

_PATIENCE: Final = 900.0
_VHOST: Final = "sizing"
_TRANSACTIONS: Final = "SELECT sum(xact_commit)::bigint FROM pg_stat_database"


def wishes(kind: str, count: int, names: list[str], run: str) -> Iterator[Json]:
    """Make commands, one appliance after the other."""
    for number in range(count):
        data: Json = {"appliance": names[number % len(names)]}
        if kind == "activate-sms-license":
            digits = hashlib.sha256(f"{run} {number}".encode()).hexdigest().upper()
            data["license"] = "-".join(["SIZE", *(digits[at : at + 4] for at in range(0, 16, 4))])
        if kind == "apply-voice-license":
            content = hashlib.sha512(f"{run} {number}".encode()).digest() * 312  # 20 kB
            data["file"] = {"name": "v.lic", "content": base64.b64encode(content).decode()}
        yield command(kind, data, id=f"{run}-{number}")


@dataclass
class Bench:
    """All that runs, by what it is."""

    stand: Stand
    node: Node
    services: list[Service]
    simulator: int
    workflow: Workflow
    database: Database | None

    def groups(self) -> dict[str, list[int]]:
        """The processes whose use is measured."""
        found = {
            "service": [each.process.pid for each in self.services],
            "broker": [self.node.pid],
            "simulator": [self.simulator],
            "load": [os.getpid()],
        }
        if self.database:
            found["database"] = [self.database.server.pid]
        return found

    def look(self) -> dict[str, Used]:
        ours = used([os.getpid()])
        groups = {name: used(roots) for name, roots in self.groups().items() if name != "load"}
        others = sum(each.seconds for each in groups.values())
        return groups | {"load": Used(max(0.0, ours.seconds - others), 0.0)}

    async def measure(self, kind: str, documents: list[Json], in_flight: int) -> Json:
        """Send all of it, never more than so many at once, and wait for every end."""
        transactions = self._transactions()
        before, began = self.look(), time.monotonic()
        heard = len(self.workflow.heard)
        for first in range(0, len(documents), 100):
            await self.heard_more_than(heard + first - in_flight)
            await self.workflow.send(*documents[first : first + 100])
        await self.heard_more_than(heard + len(documents) - 1)
        seconds, after = time.monotonic() - began, self.look()
        ends = {str(each.data["conclusion"]) for each in self.workflow.heard[heard:]}
        figures: Json = {
            "command": kind,
            "commands": len(documents),
            "seconds": round(seconds, 2),
            "per_second": round(len(documents) / seconds, 1),
            "conclusions": sorted(ends),
            "cpu_ms_per_command": {
                name: round((after[name].seconds - before[name].seconds) * 1000 / len(documents), 2)
                for name in after
            },
            "megabytes": {name: round(each.megabytes) for name, each in after.items()},
        }
        if self.database:
            done = self._transactions() - transactions
            figures["transactions_per_command"] = round(done / len(documents), 2)
        return figures

    async def heard_more_than(self, events: int) -> None:
        """Wait until so many events, and one more, were heard."""
        await until(lambda: len(self.workflow.heard) > events, patience=_PATIENCE)

    def _transactions(self) -> int:
        if self.database is None:
            return 0
        return int(asked(self.database.server.place("postgres"), _TRANSACTIONS))


@asynccontextmanager
async def bench(given: argparse.Namespace, directory: Path) -> AsyncIterator[Bench]:
    """Have everything for as long as the body lasts."""
    server = installed_server()
    assert server is not None, "Debian's package rabbitmq-server is not installed"
    async with AsyncExitStack() as stack:
        node = Node(server)
        stack.callback(node.close)
        await asyncio.to_thread(node.start)
        rabbit = Rabbit(node.url, node.api, node)
        stack.callback(rabbit.close)
        rabbit.create_vhost(_VHOST)
        stand = await stack.enter_async_context(standing(rabbit.url_of(_VHOST), directory))
        half = str(given.appliances // 2)
        await stand.appliances(
            *("--fortiauthenticators", half, "--fortivoices", half, "--devices", "100")
        )
        # Not the one that is for tests: nothing is slow on purpose here.
        inventory = directory / "simulated" / "appliances.toml"
        inventory.write_text(inventory.read_text().replace("read_timeout = 1.5\n", ""))
        shares = given.replicas > 1 or given.postgres
        database = await stack.enter_async_context(shared()) if shares else None
        ledger = database.url if database else f"sqlite:///{directory}/courier.db"
        prefetch = str(given.prefetch)
        services = [
            await stand.service(LOG_LEVEL="INFO", PREFETCH=prefetch, LEDGER_URL=ledger)
            for _ in range(given.replicas)
        ]
        workflow = await stack.enter_async_context(working(stand.url))
        simulator = stand.processes[0].process.pid
        yield Bench(stand, node, services, simulator, workflow, database)


async def size(given: argparse.Namespace) -> Json:
    """Measure one set-up: each kind of command, after a first round that opens every session."""
    with tempfile.TemporaryDirectory(prefix="courier-sizing-") as directory:
        async with bench(given, Path(directory)) as made:
            half = given.appliances // 2
            sms = [f"fac-{number + 1}" for number in range(half)]
            voice = [f"fvc-{number + 1}" for number in range(half)]
            rows: list[Json] = []
            for kind, names, count in (
                ("query-sms-balance", sms, half),
                ("query-devices", voice, half),
                ("query-sms-balance", sms, given.commands),
                ("query-devices", voice, given.commands),
                ("activate-sms-license", sms, given.commands),
                ("apply-voice-license", voice, given.commands // 2),
            ):
                run = f"{len(rows)}-{time.monotonic_ns()}"
                documents = list(wishes(kind, count, names, run))
                rows.append(await made.measure(kind, documents, given.in_flight))
            return {"arguments": vars(given) | {"report": None}, "rows": rows}


def main() -> None:
    """Measure, print, and write what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sizing")
    parser.add_argument("--appliances", type=int, default=1000, help="half of either kind")
    parser.add_argument("--commands", type=int, default=4000, help="of each kind")
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--postgres", action="store_true", help="with one replica, too")
    parser.add_argument("--prefetch", type=int, default=50)
    parser.add_argument("--in-flight", type=int, default=400, help="commands sent and not ended")
    parser.add_argument("--report", type=Path)
    given = parser.parse_args()
    found = asyncio.run(size(given))
    text = json.dumps(found, indent=1)
    print(text)  # noqa: T201  that is what it is for
    if given.report:
        given.report.write_text(text + "\n")


if __name__ == "__main__":
    main()
