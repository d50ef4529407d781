"""The statements of `sqlite.SqliteLedger`."""

from __future__ import annotations

from typing import Final

FIND: Final = """
SELECT digest, intended_at, boot, uptime, before, answer, origin, writer,
    concluded_at, conclusion, data
FROM commands WHERE source = ? AND id = ?
"""
# A command whose earlier intent was withdrawn has a row already.
INTEND: Final = """
INSERT INTO commands (source, id, type, digest, appliance, correlation_id, traceparent,
    intended_at, boot, uptime, before, origin, writer)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (source, id) DO UPDATE SET
    intended_at = excluded.intended_at, boot = excluded.boot, uptime = excluded.uptime,
    before = excluded.before, origin = excluded.origin, writer = excluded.writer,
    answer = NULL, withdrawn_at = NULL
WHERE withdrawn_at IS NOT NULL AND concluded_at IS NULL
RETURNING id
"""
_THIS: Final = "source = ? AND id = ? AND writer = ? AND concluded_at IS NULL"
SAVE_RESPONSE: Final = f"UPDATE commands SET answer = ? WHERE {_THIS}"  # noqa: S608  no value stands in it
WITHDRAW: Final = f"""
UPDATE commands SET withdrawn_at = ?, intended_at = NULL, before = NULL, answer = NULL
WHERE {_THIS} RETURNING id
"""  # noqa: S608  no value stands in it
# A result closes the intent that its author knows (?11), and no other one.
CONCLUDE: Final = """
INSERT INTO commands (source, id, type, digest, appliance, correlation_id, traceparent,
    concluded_at, conclusion, data)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (source, id) DO UPDATE SET
    concluded_at = excluded.concluded_at, conclusion = excluded.conclusion, data = excluded.data
WHERE concluded_at IS NULL
    AND CASE WHEN ?11 IS NULL THEN withdrawn_at IS NOT NULL
        ELSE withdrawn_at IS NULL AND writer = ?11 END
RETURNING id
"""
OPEN_INTENTS: Final = """
SELECT appliance, origin, source, id FROM commands
WHERE concluded_at IS NULL AND withdrawn_at IS NULL
"""
# The condition is written as in the index, or SQLite would not use the index. A result whose clock
# was far behind looks old at once: a write that was recorded within this boot (?2) at a later
# uptime than ?3 is younger than that, whatever its instants say.
_PRUNABLE: Final = """
SELECT source, id, concluded_at FROM commands
WHERE concluded_at < ?1 AND (conclusion <> 'unknown' OR verdict IS NOT NULL)
    AND coalesce(settled_at, concluded_at) < ?1 AND coalesce(intended_at, concluded_at) < ?1
    AND NOT coalesce(boot = ?2 AND uptime > ?3, false)
ORDER BY concluded_at
"""
MOVE_GUARD: Final = f"""
WITH newest AS ({_PRUNABLE} DESC LIMIT 1)
UPDATE about SET pruned_before = max(coalesce(pruned_before, ''),
    (SELECT concluded_at FROM newest))
WHERE EXISTS (SELECT 1 FROM newest)
RETURNING pruned_before
"""  # noqa: S608  no value stands in it
PRUNE: Final = f"""
WITH oldest AS ({_PRUNABLE} LIMIT ?4)
DELETE FROM commands WHERE (source, id) IN (SELECT source, id FROM oldest) RETURNING id
"""  # noqa: S608  no value stands in it
PRUNE_WITHDRAWN: Final = """
DELETE FROM commands WHERE concluded_at IS NULL AND withdrawn_at IS NOT NULL AND withdrawn_at < ?
"""
BIND_BROKER: Final = "UPDATE about SET broker = ?"
