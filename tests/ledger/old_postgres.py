"""A ledger in PostgreSQL as the courier before this one made it, and what stands in it."""

from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from service.messages.commands import Command
from service.settings import Postgres
from tests.support.postgres import asked
from tests.unit.ledgers import BEFORE, FIRST, SECOND
from tests.unit.old_ledgers import ANSWER, ELSEWHERE, SETTLED

WRITER: Final = UUID("c0ffee00-0000-4000-8000-000000000001")
BROKER: Final = "rabbit@a /"
VERSION_1: Final = """
CREATE TABLE courier_ledger (
    one BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
    version INTEGER NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    used_since TIMESTAMPTZ,
    broker TEXT
);
CREATE TABLE courier_commands (
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    digest TEXT NOT NULL,
    appliance TEXT NOT NULL,
    correlation_id TEXT,
    traceparent TEXT,
    intended_at TIMESTAMPTZ,
    writer UUID,
    before BYTEA,
    answer BYTEA,
    concluded_at TIMESTAMPTZ,
    conclusion TEXT,
    data BYTEA,
    verdict TEXT,
    note TEXT,
    settled_by TEXT,
    settled_at TIMESTAMPTZ,
    PRIMARY KEY (source, id)
);
CREATE UNIQUE INDEX courier_one_open_intent ON courier_commands (appliance)
    WHERE concluded_at IS NULL;
CREATE INDEX courier_unsettled ON courier_commands (concluded_at)
    WHERE conclusion = 'unknown' AND verdict IS NULL;
CREATE INDEX courier_finished ON courier_commands (concluded_at)
    WHERE concluded_at IS NOT NULL AND (conclusion <> 'unknown' OR verdict IS NOT NULL);
CREATE INDEX courier_ids ON courier_commands (id);
INSERT INTO courier_ledger (version, created_at) VALUES (1, clock_timestamp());
"""
"""It never changes."""
_ROW: Final = """
INSERT INTO courier_commands (source, id, type, digest, appliance, correlation_id, traceparent,
    intended_at, writer, before, answer, concluded_at, conclusion, data)
VALUES ($1, $2, $3, $4, $5, 'order-7', NULL, $6, $7, $8, $9, $10, $11, $12)
"""
_SETTLE: Final = """
UPDATE courier_commands SET verdict = $1, note = $2, settled_by = $3, settled_at = $4
WHERE id = 'c-2'
"""


async def old_ledger(place: Postgres) -> datetime:
    """Make a ledger of version 1; say when it was made.

    FIRST is open, ELSEWHERE succeeded, SECOND is unknown and resolved.
    """
    connection = await asyncpg.connect(place.url.get_secret_value())
    await connection.execute(VERSION_1)
    at: datetime = await connection.fetchval(
        "UPDATE courier_ledger SET broker = $1, used_since = created_at RETURNING created_at",
        BROKER,
    )
    for wanted, *end in (
        (FIRST, None, None, None),
        (ELSEWHERE, at, "succeeded", b"{}"),
        (SECOND, at, "unknown", b"{}"),
    ):
        assert isinstance(wanted, Command)
        await connection.execute(_ROW, *_identity(wanted), at, WRITER, BEFORE, ANSWER, *end)
    said = (SETTLED.verdict, SETTLED.note, SETTLED.settled_by, SETTLED.at)
    await connection.execute(_SETTLE, *said)
    await connection.close()
    return at


def version_of(place: Postgres) -> int:
    return int(asked(place, "SELECT version FROM courier_ledger"))


def _identity(wanted: Command) -> tuple[str, ...]:
    return (*wanted.key, wanted.envelope.type, wanted.digest, wanted.data.appliance)
