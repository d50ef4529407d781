"""The tables in a ledger's file: made, upgraded where they are, and looked at before use."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from service.errors import ConfigurationError
from service.messages.wire import parse_instant

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

SCHEMA_VERSION = 3
BUSY = 5.0
"""Seconds for which the service and a tool wait for each other's write."""

# Open intents, unknowns that nobody settled, and what may be forgotten: each entry stands in one of
# the three indexes, so that none of these is looked for among a million others.
_INDEXES = """
CREATE INDEX unsettled ON commands (concluded_at)
    WHERE conclusion = 'unknown' AND verdict IS NULL;
CREATE INDEX finished ON commands (concluded_at)
    WHERE concluded_at IS NOT NULL AND (conclusion <> 'unknown' OR verdict IS NOT NULL);
"""
_NEW = (
    """
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
""",
    _INDEXES,
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
}
"""What makes the next version of a version."""

# Each looks at one tree's root and one way down to a leaf; what lies between shows when it is read.
_LOOKS = (
    "SELECT * FROM commands ORDER BY source, id LIMIT 1",
    "SELECT * FROM commands ORDER BY source DESC, id DESC LIMIT 1",
    "SELECT id FROM commands INDEXED BY one_open_intent WHERE concluded_at IS NULL LIMIT 1",
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


def prepare(connection: sqlite3.Connection, path: Path) -> datetime:
    """Make the tables, or upgrade them; then look whether they can be relied on.

    Either is one transaction: whoever dies in the middle of it leaves what was there. It takes no
    longer for a large file, but for the upgrade, which builds indexes.

    Returns:
        When the ledger began: what is older may have been in a lost one.

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
    (created_at,) = connection.execute("SELECT created_at FROM about").fetchone() or (None,)
    try:
        return parse_instant(created_at)
    except ValueError:
        raise sqlite3.DatabaseError("nobody knows when it began") from None


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
