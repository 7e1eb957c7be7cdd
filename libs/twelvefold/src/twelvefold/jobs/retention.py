"""Keeps schema `jobs` small: ended jobs go after a while, dead ones stay until somebody acts.

Knows the suite's identity, too, by which housekeeping elsewhere tells its own things.
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
BATCH = 1000  # rows a statement: short locks, and room for others between

_PRUNE = text("""
WITH ended AS (
  SELECT id FROM jobs.jobs
  WHERE status IN ('succeeded', 'rejected', 'cancelled')
    AND finished_at < now() - make_interval(secs => :age)
  ORDER BY finished_at LIMIT :batch FOR UPDATE SKIP LOCKED
)
DELETE FROM jobs.jobs AS j USING ended WHERE j.id = ended.id
""")
# Kept like any other ended job, with its errors, and pruned with them.
_DISCARD = text("""
UPDATE jobs.jobs SET status = 'cancelled', finished_at = now(), version = version + 1
WHERE id = ANY (CAST(:ids AS uuid[])) AND status = 'dead' RETURNING id
""")


class EmptyPayload(JobPayload):
    """For jobs that need to know nothing."""


PRUNE = JobKind(JOBS_PRUNE, EmptyPayload, timeout=300.0, max_attempts=5, concurrency=1)


async def prune_ended_jobs(database: Database, retention: timedelta) -> int:
    """Deletes jobs that ended without being dead longer than `retention` ago; returns how many."""
    total = 0
    while True:
        async with database.transaction() as transaction:
            done = await transaction.execute(
                _PRUNE, {"age": retention.total_seconds(), "batch": BATCH}
            )
            count = int(done.rowcount)  # type: ignore[attr-defined]  # a DELETE's result is a CursorResult
        total += count
        if count < BATCH:
            return total


async def discard_dead_jobs(transaction: Transaction, ids: Sequence[UUID]) -> set[UUID]:
    """Takes dead jobs for settled: nothing more is to be done. Says which of `ids` were dead."""
    rows = await transaction.execute(_DISCARD, {"ids": list(ids)})
    return {row.id for row in rows}


async def suite_id(database: Database) -> UUID:
    """Whose data this is: the same for every process, and after a restore elsewhere."""
    async with database.read() as reader:
        found: UUID = await reader.scalar(text("SELECT id FROM jobs.suite"))
    return found
