"""The ledger's file in a person's hands: read while the service runs, an `unknown` settled.

A reader takes a snapshot and keeps nobody waiting (SQLite's write-ahead log); a settlement is one
statement, for which tool and service wait for each other.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Self

from service.errors import ConfigurationError
from service.ledger import Record, Settlement, Wanted
from service.ledger.sqlite import intent_of, told_of
from service.ledger.sqlite_schema import SCHEMA_VERSION, connect, explained, version_of
from service.messages.wire import format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

_SELECT = """
SELECT source, id, type, digest, appliance, correlation_id, traceparent,
    intended_at, boot, uptime, before, answer, origin, writer, withdrawn_at,
    concluded_at, conclusion, data,
    verdict, note, settled_by, settled_at
FROM commands
"""
_CHOSEN = """
    AND (:appliance IS NULL OR appliance = :appliance)
    AND (:conclusion IS NULL OR conclusion = :conclusion)
    AND (:older_than IS NULL OR coalesce(intended_at, concluded_at) < :older_than)
"""
# Each by an index of its own, see `schema`.
_OPEN = f"""
{_SELECT} WHERE concluded_at IS NULL AND withdrawn_at IS NULL {_CHOSEN}
ORDER BY intended_at LIMIT :limit
"""
_UNSETTLED = f"""
{_SELECT} WHERE conclusion = 'unknown' AND verdict IS NULL {_CHOSEN}
ORDER BY concluded_at LIMIT :limit
"""
_FINISHED = f"""
{_SELECT} WHERE concluded_at IS NOT NULL AND (conclusion <> 'unknown' OR verdict IS NOT NULL)
{_CHOSEN} ORDER BY concluded_at DESC LIMIT :limit
"""
# The key begins with the source, and there are few: so one look per source, and no scan.
_OF_ID = f"""
WITH RECURSIVE sources (source) AS (
    SELECT min(source) FROM commands
    UNION ALL
    SELECT (SELECT min(source) FROM commands WHERE source > sources.source)
    FROM sources WHERE source IS NOT NULL
)
{_SELECT} WHERE source IN sources AND id = ? ORDER BY source
"""  # noqa: S608  no value stands in it
_COUNT = """
SELECT (SELECT count(*) FROM commands WHERE concluded_at IS NULL AND withdrawn_at IS NULL),
    count(*), min(concluded_at)
FROM commands WHERE conclusion = 'unknown' AND verdict IS NULL
"""
_SETTLE = """
UPDATE commands SET verdict = ?, note = ?, settled_by = ?, settled_at = ?
WHERE source = ? AND id = ? AND conclusion = 'unknown' AND verdict IS NULL
"""


class SqliteCare:
    """An open ledger file; a `Care`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use `opened` or `if_there`."""
        self._connection = connection
        connection.row_factory = sqlite3.Row
        row = connection.execute("SELECT * FROM about").fetchone()
        created_at, pruned = (row["created_at"], row["pruned_before"]) if row else (None, None)
        self.created_at: datetime | None = parse_instant(created_at) if created_at else None
        self.pruned_before: datetime | None = parse_instant(pruned) if pruned else None
        self.broker: str | None = row["broker"] if row else None

    @classmethod
    @contextmanager
    def opened(cls, path: Path, *, read_only: bool = True) -> Iterator[Self]:
        """Open a ledger's file for a moment, whether the service runs or not.

        Raises:
            ConfigurationError: there is none, it was written by a newer or an older courier, or it
                cannot be used.
        """
        with cls.if_there(path, read_only=read_only) as care:
            if care is None:
                raise ConfigurationError(
                    f"COURIER_LEDGER_URL: there is no ledger to be seen at {path}"
                )
            yield care

    @classmethod
    @contextmanager
    def if_there(cls, path: Path, *, read_only: bool = True) -> Iterator[Self | None]:
        """Open it as `opened` does; None where there is no file, or nothing stands in it yet.

        Raises:
            ConfigurationError: as for `opened`, but for a ledger that is not there.
        """
        if not os.path.exists(path):  # noqa: PTH110  a folder that may not be entered is no error
            yield None
            return
        try:
            with closing(connect(path, read_only=read_only)) as connection:
                version = version_of(connection, path)
                if 0 < version < SCHEMA_VERSION:
                    raise ConfigurationError(
                        f"COURIER_LEDGER_URL: {path} was written by an older courier; start"
                        " `courier serve` once, which upgrades it"
                    )
                yield cls(connection) if version else None
        except sqlite3.Error as error:
            raise explained(path, error) from None

    def entries(self, wanted: Wanted) -> list[Record]:
        """List entries. See `Care`."""
        chosen: dict[str, str | int | None] = {
            "appliance": wanted.appliance,
            "conclusion": wanted.conclusion,
            "older_than": format_instant(wanted.older_than) if wanted.older_than else None,
        }
        found: list[Record] = []
        # One snapshot: an entry that ends meanwhile is not missed, nor told twice.
        self._connection.execute("BEGIN")
        for kind in (_OPEN, _UNSETTLED, *([_FINISHED] if wanted.finished else [])):
            rows = self._connection.execute(kind, chosen | {"limit": wanted.limit - len(found)})
            found += [_record(row) for row in rows]
        self._connection.execute("COMMIT")
        return found

    def open_figures(self) -> tuple[int, int, datetime | None]:
        """Count what is open. See `Care`."""
        intents, unknowns, oldest = self._connection.execute(_COUNT).fetchone()
        return intents, unknowns, parse_instant(oldest) if oldest else None

    def of_id(self, command_id: str, source: str | None = None) -> list[Record]:
        """Find the commands with an id. See `Care`."""
        rows = self._connection.execute(_OF_ID, (command_id,))
        found = [_record(row) for row in rows]
        return [record for record in found if source in {None, record.source}]

    def find(self, key: tuple[str, str]) -> Record | None:
        """Look a command up. See `Care`."""
        return next(iter(self.of_id(key[1], key[0])), None)

    def settle(self, key: tuple[str, str], settlement: Settlement) -> Settlement | None:
        """Store what a person found. See `Care`."""
        at = format_instant(settlement.at)
        told = (settlement.verdict, settlement.note, settlement.settled_by, at)
        self._connection.execute(_SETTLE, (*told, *key))
        record = self.find(key)
        return record.settlement if record else None


def _record(row: sqlite3.Row) -> Record:
    """Read a row of `_SELECT`."""
    columns = ("intended_at", "boot", "uptime", "before", "answer", "origin", "writer")
    withdrawn_at = row["withdrawn_at"]
    settled = (row["verdict"], row["note"], row["settled_by"])
    return Record(
        source=row["source"],
        id=row["id"],
        type=row["type"],
        digest=row["digest"],
        appliance=row["appliance"],
        correlation_id=row["correlation_id"],
        traceparent=row["traceparent"],
        intent=intent_of(*(row[column] for column in columns)),
        withdrawn_at=parse_instant(withdrawn_at) if withdrawn_at else None,
        told=told_of(row["concluded_at"], row["conclusion"], row["data"]),
        settlement=Settlement(*settled, parse_instant(row["settled_at"])) if settled[0] else None,
    )
