"""The tables in a PostgreSQL database: made, and looked at before use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from service.errors import ConfigurationError
from service.ledger.database import APPLICATION, SCHEMA_VERSION, refused

if TYPE_CHECKING:
    from datetime import datetime

    from service.ledger.database import Session
    from service.settings import Postgres

# `writer` tells one announcement from every other, so that a statement that arrives late, on a
# connection that was given up, concerns no later one.
_OPEN_INTENTS = """
CREATE UNIQUE INDEX courier_one_open_intent ON courier_commands (appliance)
    WHERE concluded_at IS NULL AND withdrawn_at IS NULL;
CREATE UNIQUE INDEX courier_one_open_origin ON courier_commands (origin)
    WHERE concluded_at IS NULL AND withdrawn_at IS NULL;
CREATE INDEX courier_withdrawn ON courier_commands (withdrawn_at)
    WHERE concluded_at IS NULL AND withdrawn_at IS NOT NULL;
"""
# Of every PostgreSQL that is supported; gen_random_uuid() came with 13.
_IDENTITY = "md5(random()::text || clock_timestamp()::text)::uuid"
_NEW = f"""
CREATE TABLE courier_ledger (
    one BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
    version INTEGER NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    used_since TIMESTAMPTZ,
    broker TEXT,
    identity UUID,
    pruned_before TIMESTAMPTZ
);
CREATE TABLE courier_commands (
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    content_digest TEXT NOT NULL,
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
    origin TEXT,
    boot TEXT,
    uptime DOUBLE PRECISION,
    withdrawn_at TIMESTAMPTZ,
    PRIMARY KEY (source, id)
);
{_OPEN_INTENTS}
CREATE INDEX courier_unsettled ON courier_commands (concluded_at)
    WHERE conclusion = 'unknown' AND verdict IS NULL;
CREATE INDEX courier_finished ON courier_commands (concluded_at)
    WHERE concluded_at IS NOT NULL AND (conclusion <> 'unknown' OR verdict IS NOT NULL);
CREATE INDEX courier_ids ON courier_commands (id);
INSERT INTO courier_ledger (version, created_at, identity)
    VALUES ({SCHEMA_VERSION}, clock_timestamp(), {_IDENTITY});
"""  # noqa: S608  no value stands in it
_UPGRADES = {
    1: f"""
ALTER TABLE courier_ledger ADD COLUMN identity UUID, ADD COLUMN pruned_before TIMESTAMPTZ;
UPDATE courier_ledger SET identity = {_IDENTITY};
ALTER TABLE courier_commands RENAME COLUMN digest TO content_digest;
ALTER TABLE courier_commands ADD COLUMN origin TEXT, ADD COLUMN boot TEXT,
    ADD COLUMN uptime DOUBLE PRECISION, ADD COLUMN withdrawn_at TIMESTAMPTZ;
DROP INDEX courier_one_open_intent;
{_OPEN_INTENTS}
""",  # noqa: S608  no value stands in it
}
"""From each schema to the next one. The new name of a column stops an older courier that had no
connection during the upgrade: its statements fail."""
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('courier ledger', 0))"
_THERE = "SELECT to_regclass('courier_ledger') IS NOT NULL"
_ABOUT = "SELECT * FROM courier_ledger"
# Sessions of couriers that know another schema: see `APPLICATION`.
_OLDER = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND (application_name = 'courier' OR application_name LIKE 'courier/%')
    AND application_name <> $1
"""


class LedgerOutdated(ConfigurationError):
    """An older courier wrote it: the next start of the service upgrades it."""


@dataclass(frozen=True)
class About:
    """What a ledger says of itself: see the table `courier_ledger`."""

    created_at: datetime
    broker: str | None
    identity: str
    pruned_before: datetime | None


async def prepare(connection: Session, place: Postgres) -> About:
    """Make the tables, or upgrade them; replicas that start together wait for each other.

    An upgrade is one transaction, and is refused while a courier is connected that knows an older
    schema: its statements would not keep the rules of the new one.

    Raises:
        ConfigurationError: a newer courier wrote it, an older one is connected, or the user may
            not make tables.
        one of `database.TROUBLE`: it could not be done.
    """
    try:
        async with connection.transaction():
            await connection.execute(_ONE_AT_A_TIME)
            if not await connection.fetchval(_THERE):
                await connection.execute(_NEW)
            await _upgrade(connection, place)
            about = await about_of(connection, place)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidSchemaNameError) as error:
        raise refused(place, error) from None
    if about is None:
        raise ConfigurationError(f"COURIER_LEDGER_URL: {place} has the tables of a ledger, empty")
    return about


async def about_of(connection: Session, place: Postgres) -> About | None:
    """Read what a ledger says of itself; None where there is none.

    Raises:
        LedgerOutdated: an older courier wrote it.
        ConfigurationError: a newer courier wrote it.
        one of `database.TROUBLE`: it could not be read.
    """
    if not await connection.fetchval(_THERE):
        return None
    row = await connection.fetchrow(_ABOUT)
    if row is None:
        return None
    if row["version"] > SCHEMA_VERSION:
        raise ConfigurationError(f"COURIER_LEDGER_URL: {place} was written by a newer courier")
    if row["version"] < SCHEMA_VERSION:
        raise LedgerOutdated(
            f"COURIER_LEDGER_URL: {place} was written by an older courier; start"
            " `courier serve` once, which upgrades it"
        )
    return About(row["created_at"], row["broker"], str(row["identity"]), row["pruned_before"])


async def _upgrade(connection: Session, place: Postgres) -> None:
    version = await connection.fetchval("SELECT version FROM courier_ledger")
    if version is None or version >= SCHEMA_VERSION:
        return
    older = await connection.fetchval(_OLDER, APPLICATION)
    if older:
        raise ConfigurationError(
            f"COURIER_LEDGER_URL: {place} is still used by an older courier ({older} connections);"
            " stop every older courier, then start this one, which upgrades the ledger"
        )
    for step in range(version, SCHEMA_VERSION):
        await connection.execute(_UPGRADES[step])
    await connection.execute("UPDATE courier_ledger SET version = $1", SCHEMA_VERSION)
