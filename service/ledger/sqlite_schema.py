"""The tables in a ledger's file: made, upgraded where they are, and looked at before use."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.errors import ConfigurationError
from service.messages.wire import parse_instant

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

SCHEMA_VERSION = 4
BUSY = 5.0
"""Seconds for which the service and a tool wait for each other's write."""

# Open intents, withdrawn ones, unknowns that are not resolved, and what may be pruned: each row is
# in one of these indexes, so that none of them is searched for among a million others.
_OPEN_INTENTS = """
CREATE UNIQUE INDEX one_open_intent ON commands (appliance)
    WHERE concluded_at IS NULL AND withdrawn_at IS NULL;
CREATE UNIQUE INDEX one_open_origin ON commands (origin)
    WHERE concluded_at IS NULL AND withdrawn_at IS NULL;
CREATE INDEX withdrawn ON commands (withdrawn_at)
    WHERE concluded_at IS NULL AND withdrawn_at IS NOT NULL;
"""
_IDENTITY = "lower(hex(randomblob(16)))"
_INDEXES = """
CREATE INDEX unsettled ON commands (concluded_at)
    WHERE conclusion = 'unknown' AND verdict IS NULL;
CREATE INDEX finished ON commands (concluded_at)
    WHERE concluded_at IS NOT NULL AND (conclusion <> 'unknown' OR verdict IS NOT NULL);
"""
_NEW = (
    f"""
CREATE TABLE about (created_at TEXT NOT NULL, broker TEXT, identity TEXT, pruned_before TEXT);
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
    writer TEXT,
    origin TEXT,
    withdrawn_at TEXT,
    PRIMARY KEY (source, id)
) WITHOUT ROWID;
INSERT INTO about VALUES (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), NULL, {_IDENTITY}, NULL);
""",  # noqa: S608  no value stands in it
    _INDEXES,
    _OPEN_INTENTS,
)
_FROM = {
    1: """
ALTER TABLE commands ADD COLUMN answer BLOB;
""",
    2: f"""
ALTER TABLE commands ADD COLUMN correlation_id TEXT;
ALTER TABLE commands ADD COLUMN traceparent TEXT;
ALTER TABLE commands ADD COLUMN boot TEXT;
ALTER TABLE commands ADD COLUMN uptime REAL;
ALTER TABLE commands ADD COLUMN verdict TEXT;
ALTER TABLE commands ADD COLUMN note TEXT;
ALTER TABLE commands ADD COLUMN settled_by TEXT;
ALTER TABLE commands ADD COLUMN settled_at TEXT;
{_INDEXES}
""",
    3: f"""
ALTER TABLE about ADD COLUMN identity TEXT;
ALTER TABLE about ADD COLUMN pruned_before TEXT;
UPDATE about SET identity = {_IDENTITY};
ALTER TABLE commands ADD COLUMN writer TEXT;
ALTER TABLE commands ADD COLUMN origin TEXT;
ALTER TABLE commands ADD COLUMN withdrawn_at TEXT;
UPDATE commands SET writer = {_IDENTITY} WHERE concluded_at IS NULL;
DROP INDEX one_open_intent;
{_OPEN_INTENTS}
""",  # noqa: S608  no value stands in it
}
"""What makes the next version of a version."""

# Each looks at one tree's root and one way down to a leaf; what lies between shows when it is read.
_LOOKS = (
    "SELECT * FROM commands ORDER BY source, id LIMIT 1",
    "SELECT * FROM commands ORDER BY source DESC, id DESC LIMIT 1",
    """
    SELECT id FROM commands INDEXED BY one_open_intent
    WHERE concluded_at IS NULL AND withdrawn_at IS NULL LIMIT 1
    """,
    """
    SELECT id FROM commands INDEXED BY one_open_origin
    WHERE concluded_at IS NULL AND withdrawn_at IS NULL LIMIT 1
    """,
    """
    SELECT id FROM commands INDEXED BY withdrawn
    WHERE concluded_at IS NULL AND withdrawn_at IS NOT NULL LIMIT 1
    """,
    """
    SELECT id FROM commands INDEXED BY unsettled
    WHERE conclusion = 'unknown' AND verdict IS NULL LIMIT 1
    """,
    """
    SELECT id FROM commands INDEXED BY finished
    WHERE concluded_at IS NOT NULL AND (conclusion <> 'unknown' OR verdict IS NOT NULL) LIMIT 1
    """,
)
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
"""What SQLite says of a file whose content is not what it should be."""


def connect(path: Path, *, read_only: bool = False, any_thread: bool = False) -> sqlite3.Connection:
    """Open a ledger's file that is there; each statement is a transaction of its own.

    Args:
        path: where it is.
        read_only: nothing shall be changed.
        any_thread: more than one uses it, one after the other.

    Raises:
        sqlite3.Error: it is not there, or cannot be opened.
    """
    address = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    connection = sqlite3.connect(
        address, uri=True, timeout=BUSY, isolation_level=None, check_same_thread=not any_thread
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """Read the version of a file's tables; 0 if it has none yet.

    Raises:
        ConfigurationError: a newer courier wrote it.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise ConfigurationError(f"COURIER_LEDGER_URL: {path} was written by a newer courier")
    return int(version)


@dataclass(frozen=True)
class About:
    """What a ledger's file says of itself: see the table `about`, and `Ledger`."""

    created_at: datetime
    broker: str | None
    identity: str
    pruned_before: datetime | None


def about_of(connection: sqlite3.Connection) -> About:
    """Read what a ledger says of itself.

    Raises:
        sqlite3.Error: it says nothing that can be used.
    """
    row = connection.execute("SELECT created_at, broker, identity, pruned_before FROM about")
    created_at, broker, identity, pruned_before = row.fetchone() or (None,) * 4
    try:
        pruned = parse_instant(pruned_before) if pruned_before else None
        return About(parse_instant(created_at), broker, str(identity), pruned)
    except ValueError:
        raise sqlite3.DatabaseError("its table about is damaged") from None


def prepare(connection: sqlite3.Connection, path: Path) -> About:
    """Make the tables, or upgrade them; then look whether they can be relied on.

    Either is one transaction: whoever dies in the middle of it leaves what was there. It takes no
    longer for a large file, but for the upgrade, which builds indexes.

    Raises:
        ConfigurationError: a newer courier, or another program, wrote it.
        sqlite3.Error: it cannot be used; `explained` says what to do.
    """
    version = version_of(connection, path)
    if version == 0 and connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
        raise ConfigurationError(f"COURIER_LEDGER_URL: {path} is another program's database")
    connection.execute("PRAGMA journal_mode = WAL")
    if version < SCHEMA_VERSION:
        steps = [_FROM[step] for step in range(version, SCHEMA_VERSION)] if version else _NEW
        changes = "".join((*steps, f"PRAGMA user_version = {SCHEMA_VERSION};"))
        connection.executescript(f"BEGIN IMMEDIATE; {changes} COMMIT;")
    for look in _LOOKS:
        connection.execute(look).fetchone()
    return about_of(connection)


def explained(path: Path, error: sqlite3.Error) -> ConfigurationError:
    """Say what a person can do about a file that cannot be used."""
    text = f"COURIER_LEDGER_URL: {path} cannot be used: {error}"
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    if code & 0xFF not in _DAMAGED:
        return ConfigurationError(text)
    return ConfigurationError(
        f"{text}; it is damaged, or no ledger. Move it away, together with {path.name}-wal and"
        f" {path.name}-shm: then licence commands that are older than the new ledger and are"
        " delivered again end unknown. Put a copy in its place only if nothing was recorded after"
        " the copy was made: what the copy does not know would be written once more"
    )
