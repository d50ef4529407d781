"""The statements of `postgres.PostgresLedger`. Each may be sent again after its answer was lost."""

from __future__ import annotations

from typing import Final

AGE: Final = "extract(epoch FROM clock_timestamp() - intended_at)::float8 AS age"
"""Seconds since an intent was recorded, by the server's clock."""
# One row, always: what was pruned is known even of a command that is not.
FIND: Final = f"""
SELECT content_digest AS digest, intended_at, boot, uptime, before, answer, origin, writer,
    concluded_at, conclusion, data, pruned_before, {AGE}
FROM courier_ledger LEFT JOIN courier_commands ON source = $1 AND id = $2
"""  # noqa: S608  no value stands in it
# A command whose earlier intent was withdrawn has a row already. That row remembers its writer, so
# that the withdrawn intent's own INSERT, arriving late, does not open it again. The last line finds
# what an earlier try did before its answer was lost.
INTEND: Final = f"""
WITH again AS (
    UPDATE courier_commands SET intended_at = clock_timestamp(), before = $8, writer = $9,
        origin = $10, boot = $11, uptime = $12, answer = NULL, withdrawn_at = NULL
    WHERE source = $1 AND id = $2 AND withdrawn_at IS NOT NULL AND concluded_at IS NULL
        AND writer <> $9 AND NOT EXISTS (
            SELECT 1 FROM courier_commands AS other
            WHERE (other.appliance = $5 OR other.origin = $10)
                AND other.concluded_at IS NULL AND other.withdrawn_at IS NULL
        )
    RETURNING intended_at
), first AS (
    INSERT INTO courier_commands (source, id, type, content_digest, appliance, correlation_id,
        traceparent, intended_at, before, writer, origin, boot, uptime)
    VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp(), $8, $9, $10, $11, $12)
    ON CONFLICT DO NOTHING RETURNING intended_at
)
SELECT {AGE} FROM (
    SELECT intended_at FROM again UNION ALL SELECT intended_at FROM first
    UNION ALL SELECT intended_at FROM courier_commands
    WHERE source = $1 AND id = $2 AND writer = $9
        AND concluded_at IS NULL AND withdrawn_at IS NULL
) AS recorded
"""  # noqa: S608  no value stands in it
SAVE_RESPONSE: Final = """
UPDATE courier_commands SET answer = $3
WHERE source = $1 AND id = $2 AND concluded_at IS NULL AND writer = $4
"""
WITHDRAW: Final = """
UPDATE courier_commands
SET withdrawn_at = clock_timestamp(), intended_at = NULL, before = NULL, answer = NULL
WHERE source = $1 AND id = $2 AND concluded_at IS NULL AND writer = $3
"""
# A result closes the intent that its author knows ($11), and no other one.
CONCLUDE: Final = """
INSERT INTO courier_commands AS known (source, id, type, content_digest, appliance,
    correlation_id, traceparent, concluded_at, conclusion, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (source, id) DO UPDATE SET
    concluded_at = excluded.concluded_at, conclusion = excluded.conclusion, data = excluded.data
WHERE known.concluded_at IS NULL
    AND CASE WHEN $11::uuid IS NULL THEN known.withdrawn_at IS NOT NULL
        ELSE known.withdrawn_at IS NULL AND known.writer = $11 END
RETURNING id
"""
OPEN_INTENTS: Final = """
SELECT source, id FROM courier_commands
WHERE (appliance = $1 OR origin = $2) AND concluded_at IS NULL AND withdrawn_at IS NULL
"""
# Pruned is what is older by two clocks: this one's and ($1) the caller's. A result whose courier's
# clock was far behind looks old at once, so the intent, whose instant is this clock's, must be old
# as well. The guard moves in the same statement, so that what is gone is known to be gone.
PRUNE: Final = """
WITH oldest AS (
    SELECT source, id FROM courier_commands
    WHERE concluded_at < least($1, clock_timestamp() - $3::interval)
        AND (conclusion <> 'unknown' OR verdict IS NOT NULL)
        AND coalesce(settled_at, concluded_at) < least($1, clock_timestamp() - $3::interval)
        AND coalesce(intended_at, concluded_at) < least($1, clock_timestamp() - $3::interval)
    ORDER BY concluded_at LIMIT $2
), gone AS (
    DELETE FROM courier_commands WHERE (source, id) IN (SELECT source, id FROM oldest)
    RETURNING concluded_at
), moved AS (
    UPDATE courier_ledger
    SET pruned_before = greatest(pruned_before, (SELECT max(concluded_at) FROM gone))
    WHERE EXISTS (SELECT 1 FROM gone)
)
SELECT count(*) FROM gone
"""
PRUNE_WITHDRAWN: Final = """
DELETE FROM courier_commands WHERE concluded_at IS NULL
    AND withdrawn_at < least($1, clock_timestamp() - $2::interval)
"""
BIND_BROKER: Final = """
UPDATE courier_ledger SET broker = $1, used_since = coalesce(used_since, clock_timestamp())
WHERE broker IS NULL OR broker = $1
RETURNING extract(epoch FROM clock_timestamp() - used_since)::float8
"""
