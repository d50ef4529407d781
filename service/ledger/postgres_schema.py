"""The tables in a PostgreSQL database: made, and looked at before use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from service.errors import ConfigurationError
from service.ledger.database import refused

if TYPE_CHECKING:
    from datetime import datetime

    from service.ledger.database import Session
    from service.settings import Postgres

SCHEMA_VERSION = 1

# `writer` tells one announcement from every other, so that a statement that arrives late, on a
# connection that was given up, concerns no later one.
_NEW = """
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
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('courier ledger', 0))"
_THERE = "SELECT to_regclass('courier_ledger') IS NOT NULL"
_ABOUT = "SELECT version, created_at, broker FROM courier_ledger"


@dataclass(frozen=True)
class About:
    """What a ledger says of itself: see the table `courier_ledger`."""

    version: int
    created_at: datetime
    broker: str | None


async def prepare(connection: Session, place: Postgres) -> About:
    """Make the tables where there are none; replicas that start together wait for each other.

    Raises:
        ConfigurationError: a newer courier wrote it, or the user may not make tables.
        one of `database.TROUBLE`: it could not be done.
    """
    try:
        async with connection.transaction():
            await connection.execute(_ONE_AT_A_TIME)
            if not await connection.fetchval(_THERE):
                await connection.execute(_NEW)
            about = await about_of(connection, place)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidSchemaNameError) as error:
        raise refused(place, error) from None
    if about is None:
        raise ConfigurationError(f"COURIER_LEDGER_URL: {place} has the tables of a ledger, empty")
    return about


async def about_of(connection: Session, place: Postgres) -> About | None:
    """Read what a ledger says of itself; None where there is none.

    Raises:
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
    return About(row["version"], row["created_at"], row["broker"])
