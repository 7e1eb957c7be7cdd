"""Retention of schema `jobs`: ended jobs are deleted, dead ones stay until an operator acts.

Also reads the suite's identity, by which other maintenance recognises its own data.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from twelvefold.contracts.jobs import JobPayload
from twelvefold.database.database import Database, Transaction

from .model import JobKind

JOBS_PRUNE = "jobs.prune"
BATCH_ROWS = 1000  # per statement: short locks, with gaps for other statements

_PRUNE = text("""
WITH ended AS (
  SELECT id FROM jobs.jobs
  WHERE status IN ('succeeded', 'rejected', 'cancelled')
    AND finished_at < now() - make_interval(secs => :age)
  ORDER BY finished_at LIMIT :batch FOR UPDATE SKIP LOCKED
)
DELETE FROM jobs.jobs AS j USING ended WHERE j.id = ended.id
""")
# The row keeps its errors and is pruned like any other ended job.
_DISCARD = text("""
UPDATE jobs.jobs SET status = 'cancelled', finished_at = now(), version = version + 1
WHERE id = ANY (CAST(:ids AS uuid[])) AND status = 'dead' RETURNING id
""")


class EmptyPayload(JobPayload):
    """Payload of kinds that need no input."""


PRUNE = JobKind(JOBS_PRUNE, EmptyPayload, timeout=300.0, max_attempts=5, concurrency=1)


async def prune_ended_jobs(database: Database, retention: timedelta) -> int:
    """Delete jobs other than dead ones that ended more than `retention` ago; return the count."""
    total = 0
    while True:
        async with database.transaction() as transaction:
            result = await transaction.execute(
                _PRUNE, {"age": retention.total_seconds(), "batch": BATCH_ROWS}
            )
            count = int(result.rowcount)  # type: ignore[attr-defined]  # DELETE: a CursorResult
        total += count
        if count < BATCH_ROWS:
            return total


async def discard_dead_jobs(transaction: Transaction, ids: Sequence[UUID]) -> set[UUID]:
    """Mark dead jobs as cancelled. Return those of `ids` that were dead."""
    rows = await transaction.execute(_DISCARD, {"ids": list(ids)})
    return {row.id for row in rows}


async def fetch_suite_id(database: Database) -> UUID:
    """Return the id of this suite's data: equal in every process, and kept by a restore."""
    async with database.read() as reader:
        suite_id: UUID = await reader.scalar(text("SELECT id FROM jobs.suite"))
    return suite_id
