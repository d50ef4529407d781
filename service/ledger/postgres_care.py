"""A ledger in PostgreSQL in a person's hands: read while the service runs, an `unknown` settled.

Whoever uses it is a program that waits, so each method blocks until the server has answered.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self, TypeVar

from service.ledger import Record, Settlement
from service.ledger.database import TROUBLE, connected, ended, refused
from service.ledger.postgres import intent_of, told_of
from service.ledger.postgres_schema import about_of
from service.ledger.postgres_statements import AGE

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence
    from datetime import datetime

    import asyncpg

    from service.ledger import Wanted
    from service.ledger.database import Session
    from service.ledger.postgres_schema import About
    from service.settings import Postgres

T = TypeVar("T")

_SELECT = f"""
SELECT source, id, type, content_digest AS digest, appliance, correlation_id, traceparent,
    intended_at, boot, uptime, before, answer, origin, writer, withdrawn_at, concluded_at,
    conclusion, data, verdict, note, settled_by, settled_at, {AGE}
FROM courier_commands
"""  # noqa: S608  no value stands in it
_CHOSEN = """
    AND ($1::text IS NULL OR appliance = $1)
    AND ($2::text IS NULL OR conclusion = $2)
    AND ($3::timestamptz IS NULL OR coalesce(intended_at, concluded_at) < $3)
"""
_OPEN = f"""
{_SELECT} WHERE concluded_at IS NULL AND withdrawn_at IS NULL {_CHOSEN}
ORDER BY intended_at LIMIT $4
"""
_UNSETTLED = f"""
{_SELECT} WHERE conclusion = 'unknown' AND verdict IS NULL {_CHOSEN}
ORDER BY concluded_at LIMIT $4
"""
_FINISHED = f"""
{_SELECT} WHERE concluded_at IS NOT NULL AND (conclusion <> 'unknown' OR verdict IS NOT NULL)
{_CHOSEN} ORDER BY concluded_at DESC LIMIT $4
"""
_OF_ID = f"{_SELECT} WHERE id = $1 AND ($2::text IS NULL OR source = $2) ORDER BY source"
_COUNT = """
SELECT (SELECT count(*) FROM courier_commands
        WHERE concluded_at IS NULL AND withdrawn_at IS NULL),
    count(*), min(concluded_at)
FROM courier_commands WHERE conclusion = 'unknown' AND verdict IS NULL
"""
_SETTLE = """
UPDATE courier_commands SET verdict = $3, note = $4, settled_by = $5, settled_at = $6
WHERE source = $1 AND id = $2 AND conclusion = 'unknown' AND verdict IS NULL
"""


class PostgresCare:
    """An open ledger; a `Care`."""

    def __init__(
        self, runner: asyncio.Runner, session: Session, place: Postgres, about: About
    ) -> None:
        """Use `if_there`."""
        self._runner = runner
        self._session = session
        self._place = place
        self.created_at: datetime | None = about.created_at
        self.pruned_before: datetime | None = about.pruned_before
        self.broker: str | None = about.broker

    @classmethod
    @contextmanager
    def if_there(cls, place: Postgres, *, read_only: bool = True) -> Iterator[Self | None]:
        """Open it; None where the database has no ledger.

        Raises:
            ConfigurationError: it cannot be used, or a newer courier wrote it.
        """
        with asyncio.Runner() as runner:
            session = runner.run(connected(place))
            try:
                about = runner.run(_looked(session, place, read_only=read_only))
                yield cls(runner, session, place, about) if about else None
            finally:
                runner.run(ended(session))

    def entries(self, wanted: Wanted) -> list[Record]:
        """List entries. See `Care`."""
        return self._done(self._entries(wanted))

    def open_figures(self) -> tuple[int, int, datetime | None]:
        """Count what is open. See `Care`."""
        ((intents, unknowns, oldest),) = self._fetch(_COUNT)
        return intents, unknowns, oldest

    def of_id(self, command_id: str, source: str | None = None) -> list[Record]:
        """Find the commands with an id. See `Care`."""
        return [_record(row) for row in self._fetch(_OF_ID, command_id, source)]

    def find(self, key: tuple[str, str]) -> Record | None:
        """Look a command up. See `Care`."""
        return next(iter(self.of_id(key[1], key[0])), None)

    def settle(self, key: tuple[str, str], settlement: Settlement) -> Settlement | None:
        """Store what a person found. See `Care`."""
        told = (settlement.verdict, settlement.note, settlement.settled_by, settlement.at)
        self._fetch(_SETTLE, *key, *told)
        record = self.find(key)
        return record.settlement if record else None

    def _fetch(self, sql: str, *values: object) -> Sequence[asyncpg.Record]:
        return self._done(self._session.fetch(sql, *values))

    def _done(self, work: Coroutine[None, None, T]) -> T:
        try:
            return self._runner.run(work)
        except TROUBLE as error:
            raise refused(self._place, error) from None

    async def _entries(self, wanted: Wanted) -> list[Record]:
        chosen = (wanted.appliance, wanted.conclusion, wanted.older_than)
        found: list[Record] = []
        # One snapshot: an entry that ends meanwhile is not missed, nor told twice.
        async with self._session.transaction(isolation="repeatable_read"):
            for kind in (_OPEN, _UNSETTLED, *([_FINISHED] if wanted.finished else [])):
                rows = await self._session.fetch(kind, *chosen, wanted.limit - len(found))
                found += [_record(row) for row in rows]
        return found


async def _looked(session: Session, place: Postgres, *, read_only: bool) -> About | None:
    try:
        if read_only:
            await session.execute("SET default_transaction_read_only = on")
        return await about_of(session, place)
    except TROUBLE as error:
        raise refused(place, error) from None


def _record(row: asyncpg.Record) -> Record:
    """Read a row of `_SELECT`."""
    settled = (row["verdict"], row["note"], row["settled_by"])
    return Record(
        source=row["source"],
        id=row["id"],
        type=row["type"],
        digest=row["digest"],
        appliance=row["appliance"],
        correlation_id=row["correlation_id"],
        traceparent=row["traceparent"],
        intent=intent_of(row),
        withdrawn_at=row["withdrawn_at"],
        told=told_of(row),
        settlement=Settlement(*settled, row["settled_at"]) if settled[0] else None,
    )
