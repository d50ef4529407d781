"""Ledger files as earlier couriers made them, and what stands in them."""

from datetime import datetime
from pathlib import Path
from typing import Final

from service.ledger import Intent, Settlement
from service.ledger.moment import Moment
from service.messages.commands import Command
from service.messages.wire import format_instant, now, parse_instant
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
VERSION_3: Final = """
BEGIN;
CREATE TABLE about (created_at TEXT NOT NULL, broker TEXT);
CREATE TABLE commands (
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    digest TEXT NOT NULL,
    appliance TEXT NOT NULL,
    correlation_id TEXT,
    traceparent TEXT,
    intended_at TEXT,
    boot TEXT,
    uptime REAL,
    before BLOB,
    answer BLOB,
    concluded_at TEXT,
    conclusion TEXT,
    data BLOB,
    verdict TEXT,
    note TEXT,
    settled_by TEXT,
    settled_at TEXT,
    PRIMARY KEY (source, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX one_open_intent ON commands (appliance) WHERE concluded_at IS NULL;
INSERT INTO about VALUES (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), NULL);

CREATE INDEX unsettled ON commands (concluded_at)
    WHERE conclusion = 'unknown' AND verdict IS NULL;
CREATE INDEX finished ON commands (concluded_at)
    WHERE concluded_at IS NOT NULL AND (conclusion <> 'unknown' OR verdict IS NOT NULL);
PRAGMA user_version = 3;
COMMIT;
"""
OLD: Final = {1: VERSION_1, 2: VERSION_2, 3: VERSION_3}
"""The files as earlier couriers made them; they never change."""
BIRTH: Final = "2025-01-01T00:00:00.000Z"
SETTLED: Final = Settlement("applied", "It is there.", "anna", parse_instant(BIRTH))
_MORE_IN_3: Final = """
UPDATE commands SET boot = 'an earlier boot', uptime = 77.5, correlation_id = 'order-7',
    traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
WHERE id = 'c-1'
"""
_SETTLED_IN_3: Final = """
UPDATE commands SET verdict = ?, note = ?, settled_by = ?, settled_at = ? WHERE id = 'c-2'
"""
_INSERT: Final = """
INSERT INTO commands (source, id, type, digest, appliance, intended_at, before, concluded_at,
    conclusion, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def old_file(path: Path, version: int) -> datetime:
    """Make a file that an earlier courier left; say when.

    FIRST is open, ELSEWHERE succeeded, SECOND is unknown; version 3 knows what a person said of it.
    """
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
        if version > 2:
            writer.execute(_MORE_IN_3)
            settled = (SETTLED.verdict, SETTLED.note, SETTLED.settled_by, BIRTH)
            writer.execute(_SETTLED_IN_3, settled)
    return at


def old_intent(version: int, at: datetime) -> Intent:
    """Say what a file of that version knows of the open intent of FIRST; no origin, ever."""
    clocks = (Moment(at), Moment(at), Moment(at, "an earlier boot", 77.5))
    return Intent(BEFORE, clocks[version - 1], ANSWER if version > 1 else None)


def _identity(wanted: Command) -> tuple[str, ...]:
    return (*wanted.key, wanted.envelope.type, wanted.digest, wanted.data.appliance)
