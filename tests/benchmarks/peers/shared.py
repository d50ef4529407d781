"""What the peers share: their settings, the inventory, the three calls' addresses, the event.

The peers do the same job with less around it: they trust every command, keep no ledger and write
no log. None of them imports the service. Each is one program, `python -m tests.benchmarks.peers.X`:

- `by_hand`   aio-pika and httpx on aiohttp's transport: the reference
- `ceiling`   aiormq, aiohttp, uvloop, msgspec: what Python gives here at most
- `celery_app`, `dramatiq_app`   the two usual task queues, with requests
- `script`    pika and requests, everything opened anew for each call: the vendor's recipe
- `paging`    no worker: the bare loop over one FortiVoice's phones

They read `BENCH_BROKER_URL`, `BENCH_QUEUE`, `BENCH_INVENTORY` (an `appliances.toml`) and
`BENCH_IN_FLIGHT`, print `ready` when they consume, and end at SIGTERM. They take no turns at an
appliance, so two activations there at once may count each other's SMS: that makes them faster.
"""

import asyncio
import base64
import os
import signal
import ssl
import sys
import tomllib
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Self

Json = dict[str, Any]

BALANCE_PATH: Final = "/api/v1/fortiguardmessages/"
"""Where the balance is read and a licence is sent."""
EVENTS: Final = "courier.events"
EVENT_TYPE: Final = "courier.activate-sms-license.finished.v1"
_SCHEMA: Final = "urn:courier:contract:events:activate-sms-license.finished:v1"
_NAMESPACE: Final = uuid.UUID("f3cd522e-1948-43b0-b490-493a9659023b")
_SOURCE: Final = "/peer"
_FIGURES: Final = ("total_sms", "used_sms", "available_sms")


@dataclass(frozen=True)
class Appliance:
    """One table of the inventory, with its password."""

    name: str
    url: str
    username: str
    password: str = field(repr=False)
    ca_file: str

    @property
    def tls(self) -> ssl.SSLContext:
        """What verifies its certificate; made once for each CA file."""
        return _context(self.ca_file)

    @property
    def authorization(self) -> str:
        """The header of HTTP Basic."""
        credentials = f"{self.username}:{self.password}".encode()
        return "Basic " + base64.b64encode(credentials).decode("ascii")


@dataclass(frozen=True)
class Settings:
    """What the harness chooses.

    Attributes:
        in_flight: commands that are worked on at once.
    """

    broker_url: str
    queue: str
    inventory: Path
    in_flight: int

    @classmethod
    def read(cls) -> Self:
        """Read the environment."""
        return cls(
            broker_url=os.environ.get("BENCH_BROKER_URL", ""),
            queue=os.environ.get("BENCH_QUEUE", ""),
            inventory=Path(os.environ["BENCH_INVENTORY"]),
            in_flight=int(os.environ.get("BENCH_IN_FLIGHT", "50")),
        )

    def appliances(self, kind: str = "fortiauthenticator") -> dict[str, Appliance]:
        """Read the appliances of a kind, by name."""
        tables = tomllib.loads(self.inventory.read_text("utf-8"))["appliances"]
        return {
            name: Appliance(
                name,
                table["url"],
                table["username"],
                Path(table["password_file"]).read_text("utf-8").rstrip("\r\n"),
                table["ca_file"],
            )
            for name, table in tables.items()
            if table["kind"] == kind
        }


@cache
def _context(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


def instant() -> str:
    """Tell the time as the contracts do."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Finished:
    """The event that answers a command, ready to be encoded."""

    id: str
    routing_key: str
    correlation_id: str
    document: Json


def finished(command: Json, *, started: str, before: Json, after: Json) -> Finished:
    """Answer an activation that succeeded, as its contract says.

    Args:
        command: the whole CloudEvent.
        started: when it was begun, an `instant`.
        before: the appliance's answer before the activation.
        after: the same afterwards.
    """
    data = command["data"]
    appliance = data["appliance"]
    added = after["total_sms"] - before["total_sms"]
    ended = instant()
    correlation_id = command.get("correlationid") or command["id"]
    name = "\n".join((command["source"], command["id"], EVENT_TYPE))
    document = {
        "specversion": "1.0",
        "id": str(uuid.uuid5(_NAMESPACE, name)),
        "source": _SOURCE,
        "type": EVENT_TYPE,
        "subject": appliance,
        "time": ended,
        "correlationid": correlation_id,
        "causationid": command["id"],
        "datacontenttype": "application/json",
        "dataschema": _SCHEMA,
        "data": {
            "command": {each: command[each] for each in ("id", "source", "type")},
            "appliance": appliance,
            "conclusion": "succeeded",
            "attempts": 1,
            "started_at": started,
            "finished_at": ended,
            "error": None,
            "dry_run": False,
            "license": "****-****-****-****-" + data["license"][-4:],
            "effect": "added" if added else "unchanged",
            "added_sms": added,
            "before": {figure: before[figure] for figure in _FIGURES},
            "after": {figure: after[figure] for figure in _FIGURES},
        },
    }
    routing_key = f"{EVENT_TYPE}.succeeded.{appliance}"
    return Finished(document["id"], routing_key, correlation_id, document)


def say_ready() -> None:
    """Tell the harness that commands are taken from now on."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()


async def until_stopped() -> None:
    """Tell the harness that commands are taken, and wait for SIGTERM or Ctrl-C."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    say_ready()
    await stopped.wait()
