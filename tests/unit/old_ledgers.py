"""Ledger files as earlier couriers made them, and what stands in them."""

from datetime import datetime
from pathlib import Path
from typing import Final

from service.messages.commands import Command
from service.messages.wire import format_instant, now
from tests.unit.ledgers import BEFORE, FIRST, SECOND, written
from tests.unit.making import command

ANSWER: Final = b'{"kind": "failed"}'
ELSEWHERE: Final = command(id="c-3", data={"appliance": "fac-2"})
VERSION_1: Final = """
BEGIN;
CREATE TABLE about (created_at TEXT NOT NULL, broker TEXT);
CREATE TABLE commands (
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    digest TEXT NOT NULL,
    appliance TEXT NOT NULL,
    intended_at TEXT,
    before BLOB,
    concluded_at TEXT,
    conclusion TEXT,
    data BLOB,
    PRIMARY KEY (source, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX one_open_intent ON commands (appliance) WHERE concluded_at IS NULL;
INSERT INTO about VALUES (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), NULL);
PRAGMA user_version = 1;
COMMIT;
"""
VERSION_2: Final = VERSION_1.replace("before BLOB,", "before BLOB,\n    answer BLOB,").replace(
    "user_version = 1", "user_version = 2"
)
OLD: Final = {1: VERSION_1, 2: VERSION_2}
"""The files as earlier couriers made them; they never change."""
BIRTH: Final = "2025-01-01T00:00:00.000Z"
_INSERT: Final = """
INSERT INTO commands (source, id, type, digest, appliance, intended_at, before, concluded_at,
    conclusion, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def old_file(path: Path, version: int) -> datetime:
    """Make a file that an earlier courier left: FIRST is open, ELSEWHERE ended; say when."""
    at = now().replace(microsecond=0)
    instant = format_instant(at)
    rows = [
        (*_identity(FIRST), instant, BEFORE, None, None, None),
        (*_identity(ELSEWHERE), instant, BEFORE, instant, "succeeded", b"{}"),
        (*_identity(SECOND), instant, BEFORE, instant, "unknown", b"{}"),
    ]
    with written(path) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.executescript(OLD[version])
        writer.execute("UPDATE about SET created_at = ?, broker = 'rabbit@a /'", (BIRTH,))
        writer.executemany(_INSERT, rows)
        if version > 1:
            writer.execute("UPDATE commands SET answer = ? WHERE id = 'c-1'", (ANSWER,))
    return at


def _identity(wanted: Command) -> tuple[str, ...]:
    return (*wanted.key, wanted.envelope.type, wanted.digest, wanted.data.appliance)
