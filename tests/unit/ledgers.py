"""What stands in ledgers: commands, ends, and many entries at once."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from service.ledger import Entry, Intent, Ledger, Told
from service.messages.commands import Command
from service.messages.wire import now
from tests.unit.making import command

BEFORE: Final = b'{"total_sms": 100}'
FIRST: Final = command()
SECOND: Final = command(id="c-2")
ORIGIN: Final = "https://fac-1"
"""Where the appliance of FIRST and SECOND is, and where the fakes with its name say they are."""
LONG_AGO: Final = "2025-01-01T00:00:00.000Z"


def origin_of(wanted: Command) -> str:
    """Say where a command's appliance is."""
    return f"https://{wanted.data.appliance}"


async def known(ledger: Ledger, wanted: Command) -> Entry:
    """Look up a command that the ledger must know."""
    entry = await ledger.find(wanted.key)
    assert entry is not None
    return entry


async def intent_of(ledger: Ledger, wanted: Command) -> Intent:
    """Look up a command's intent, which must be there."""
    intent = (await known(ledger, wanted)).intent
    assert intent is not None
    return intent


def told(conclusion: str = "succeeded", at: datetime | None = None) -> Told:
    return Told(conclusion, b'{"conclusion" : "' + conclusion.encode() + b'"}', at or now())


@contextmanager
def written(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program's hands on a file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def fill(path: Path, entries: int, *, concluded_at: str = LONG_AGO) -> None:
    """Add finished entries of a usual size to a ledger's file."""
    with written(path) as writer:
        writer.execute("BEGIN")
        writer.executemany(
            "INSERT INTO commands (source, id, type, digest, appliance, concluded_at, conclusion,"
            " data) VALUES ('/portal', ?, 'courier.activate-sms-license.v1', '', 'fac-9', ?,"
            " 'succeeded', ?)",
            ((f"old-{number}", concluded_at, b" " * 600) for number in range(entries)),
        )
        writer.execute("COMMIT")
