"""Queue maintenance: resend wake-ups, reap expired leases, enqueue periodic jobs, update gauges.

Every worker runs it, and together they do no more than one would: rows are locked or skipped, and
a tick is unique. All times come from the database's clock.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import text

from twelvefold.database.database import Database
from twelvefold.jobs.lease_repository import KEPT_ERRORS
from twelvefold.jobs.model import MAX_CRASHES, PeriodicJob, Wakeup
from twelvefold.jobs.queue import WakeupPublisher, unique_id
from twelvefold.observability import metrics
from twelvefold.tasks import cancel_and_wait

_MAX_RETRY_DELAY = 1.0  # seconds until an operation that failed is tried again
_log = structlog.get_logger(__name__)

# A new job is first left to its producer's wake-up.
_RESEND_WAKEUPS = text("""
WITH unclaimed AS (
  SELECT id FROM jobs.jobs
  WHERE status IN ('queued', 'failed') AND queue = :queue AND run_at <= now()
    AND created_at < now() - make_interval(secs => :min_age)
    AND (rung_at IS NULL OR rung_at < now() - make_interval(secs => :resend_after))
  ORDER BY priority DESC, run_at, id LIMIT :batch
  FOR UPDATE SKIP LOCKED
)
UPDATE jobs.jobs AS j SET rung_at = now() FROM unclaimed WHERE j.id = unclaimed.id
RETURNING j.id, j.claim_no, j.queue
""")

_REAP_EXPIRED = text(f"""
WITH expired AS (
  SELECT id FROM jobs.jobs WHERE status = 'running' AND lease_until < now()
  ORDER BY lease_until LIMIT :batch FOR UPDATE SKIP LOCKED
)
UPDATE jobs.jobs AS j SET
  crashes = j.crashes + 1,
  status = CASE WHEN j.cancel_requested THEN 'cancelled'
                WHEN j.crashes + 1 >= :max_crashes THEN 'dead' ELSE 'failed' END,
  finished_at = CASE WHEN j.cancel_requested OR j.crashes + 1 >= :max_crashes THEN now() END,
  run_at = now() + make_interval(secs => random() * least(:cap, :base * 2 ^ j.crashes)),
  error = 'the worker stopped responding',
  errors = (SELECT coalesce(jsonb_agg(e ORDER BY n), '[]') FROM (
    SELECT e, n FROM jsonb_array_elements(j.errors || jsonb_build_object(
      'at', now(), 'claim_no', j.claim_no, 'status', 'crashed', 'error',
      'lease of ' || coalesce(j.worker, 'unknown') || ' expired'))
      WITH ORDINALITY AS all_errors (e, n)
    ORDER BY n DESC LIMIT {KEPT_ERRORS}) AS kept),
  rung_at = NULL, lease_until = NULL, worker = NULL, version = j.version + 1
FROM expired WHERE j.id = expired.id AND j.status = 'running' AND j.lease_until < now()
RETURNING j.id, j.kind, j.status, j.version, j.crashes
""")  # noqa: S608 (a constant of this package)

# Ticks before the suite was created do not count: a first start has nothing to clean up.
_SELECT_TICKS = text("""
SELECT n, tick FROM (
  SELECT n, date_bin(make_interval(secs => every), now(),
                     TIMESTAMPTZ '2000-01-01 00:00:00+00' + make_interval(secs => at)) AS tick
  FROM unnest(CAST(:every AS double precision[]), CAST(:at AS double precision[]))
    WITH ORDINALITY AS schedule (every, at, n)
) AS ticks WHERE tick >= (SELECT created_at FROM jobs.suite)
""")

_INSERT_TICK = text("""
INSERT INTO jobs.jobs (id, kind, queue, payload, unique_key, max_attempts)
VALUES (:id, :kind, :queue, CAST(:payload AS jsonb), :unique_key, :max_attempts)
ON CONFLICT DO NOTHING
""")

_COUNT_DUE = text("""
SELECT queue, count(*) AS due, extract(epoch FROM now() - min(run_at)) AS age FROM jobs.jobs
WHERE status IN ('queued', 'failed') AND run_at <= now() GROUP BY queue
""")
# Jobs that have not ended and dead jobs: one query for each of the table's partial indexes.
_COUNT_OPEN = text("""
SELECT kind, status, count(*) AS n FROM jobs.jobs
WHERE status IN ('queued', 'failed') GROUP BY kind, status
UNION ALL
SELECT kind, status, count(*) AS n FROM jobs.jobs WHERE status = 'running' GROUP BY kind, status
UNION ALL
SELECT kind, status, count(*) AS n FROM jobs.jobs WHERE status = 'dead' GROUP BY kind, status
""")


@dataclass(frozen=True, slots=True)
class MaintenanceOptions:
    """Intervals and limits. Times are seconds."""

    wakeup_interval: float = 1.0  # between searches for due jobs that no worker claimed
    wakeup_min_age: float = 1.0  # age below which a job is left to its producer's wake-up
    wakeup_resend_after: float = 10.0  # between two wake-ups for the same row
    wakeup_batch: int = 200
    reap_interval: float = 5.0  # between searches for expired leases
    reap_batch: int = 100
    crash_backoff: tuple[float, float] = (
        2.0,
        60.0,
    )  # upper bounds: after the first crash, any crash
    tick_interval: float = 1.0  # between reads of the schedule
    gauge_interval: float = 10.0  # between measurements of the queues


class QueueMaintenance:
    """The maintenance of one queue by one process."""

    def __init__(
        self,
        database: Database,
        wakeups: WakeupPublisher,
        *,
        queue: str,
        schedule: Sequence[PeriodicJob] = (),
        options: MaintenanceOptions,
        on_change: Callable[[UUID, int], None] = lambda _id, _version: None,
    ) -> None:
        """`on_change` is called with the id and each new version of a row."""
        self._database = database
        self._wakeups = wakeups
        self._queue = queue
        self._schedule = schedule
        self._options = options
        self._on_change = on_change
        self._last_ticks: dict[int, datetime] = {}
        self._known_queues: set[str] = set()
        self._known_states: set[tuple[str, str]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run each operation at once and then at its interval, while the block runs."""
        options = self._options
        operations = [
            (options.wakeup_interval, self.resend_wakeups),
            (options.reap_interval, self.reap_expired_leases),
            (options.tick_interval, self.enqueue_scheduled),
            (options.gauge_interval, self.update_gauges),
        ]
        tasks = [
            asyncio.create_task(
                _repeat(interval, operation), name=f"maintenance-{operation.__name__}"
            )
            for interval, operation in operations
        ]
        try:
            yield
        finally:
            await cancel_and_wait(tasks)

    async def resend_wakeups(self) -> int:
        """Send wake-ups for due jobs of this queue that no worker claimed; return the count."""
        rows = await self._fetch_rows(
            _RESEND_WAKEUPS,
            queue=self._queue,
            min_age=self._options.wakeup_min_age,
            resend_after=self._options.wakeup_resend_after,
            batch=self._options.wakeup_batch,
        )
        for row in rows:
            self._wakeups.wake(Wakeup(row.id, row.claim_no, row.queue))
        return len(rows)

    async def reap_expired_leases(self) -> int:
        """Take jobs from workers whose lease has expired; return the count."""
        base, cap = self._options.crash_backoff
        rows = await self._fetch_rows(
            _REAP_EXPIRED,
            batch=self._options.reap_batch,
            max_crashes=MAX_CRASHES,
            base=base,
            cap=cap,
        )
        for row in rows:
            metrics.jobs_leases_lost.labels("reaped").inc()
            _log.warning(
                "job_lease_expired",
                job_id=str(row.id),
                job_kind=row.kind,
                crashes=row.crashes,
                status=row.status,
            )
            self._on_change(row.id, row.version)
        return len(rows)

    async def enqueue_scheduled(self) -> int:
        """Insert a job for every current tick unless another worker did; return the count.

        Of the ticks that passed while no worker ran, only the last one counts. Ticks before the
        suite was created are skipped.
        """
        if not self._schedule:
            return 0
        rows = await self._fetch_rows(
            _SELECT_TICKS,
            every=[entry.every.total_seconds() for entry in self._schedule],
            at=[entry.at.total_seconds() for entry in self._schedule],
        )
        inserted = 0
        for row in rows:
            entry = self._schedule[row.n - 1]
            if self._last_ticks.get(row.n) == row.tick:
                continue
            inserted += await self._insert_tick(entry, f"tick {row.tick.isoformat()}")
            self._last_ticks[row.n] = row.tick
        return inserted

    async def update_gauges(self) -> None:
        """Measure the queues and set their gauges."""
        rows = await self._fetch_rows(_COUNT_DUE)
        open_jobs = {(row.kind, row.status): row.n for row in await self._fetch_rows(_COUNT_OPEN)}
        due_jobs = {row.queue: (row.due, float(row.age)) for row in rows}
        self._known_queues |= {self._queue, *due_jobs}
        for queue in self._known_queues:
            due, age = due_jobs.get(queue, (0, 0.0))
            metrics.jobs_due.labels(queue).set(due)
            metrics.jobs_queue_age.labels(queue).set(age)
        self._known_states |= open_jobs.keys()
        for kind, status in self._known_states:
            metrics.jobs_open.labels(kind, status).set(open_jobs.get((kind, status), 0))
        metrics.jobs_dead.set(sum(n for (_, status), n in open_jobs.items() if status == "dead"))

    async def _insert_tick(self, entry: PeriodicJob, key: str) -> int:
        job_id = unique_id(entry.kind, key)
        async with self._database.transaction() as transaction:
            result = await transaction.execute(
                _INSERT_TICK,
                {
                    "id": job_id,
                    "kind": entry.kind,
                    "queue": self._queue,
                    "payload": json.dumps(dict(entry.payload)),
                    "unique_key": key,
                    "max_attempts": entry.max_attempts,
                },
            )
            count = int(result.rowcount)  # type: ignore[attr-defined]  # INSERT: a CursorResult
            if count:
                transaction.after_commit(lambda: self._wakeups.wake(Wakeup(job_id, 0, self._queue)))
        return count

    async def _fetch_rows(self, statement: Any, **parameters: Any) -> list[Any]:
        async with self._database.read() as reader:
            return list(await reader.execute(statement, parameters))


async def _repeat(interval: float, operation: Callable[[], Awaitable[object]]) -> None:
    """Run `operation` forever. An error is retried, and logged if it differs from the last."""
    last_error = ""
    while True:
        pause = interval
        try:
            await operation()
            last_error = ""
        except Exception as error:
            pause = min(interval, _MAX_RETRY_DELAY)
            if type(error).__name__ != last_error:
                last_error = type(error).__name__
                _log.warning("queue_maintenance_failed", error=last_error, reason=str(error))
        # Jitter, so that workers that started together do not run in step.
        await asyncio.sleep(pause * random.uniform(0.9, 1.1))  # noqa: S311 (spreads load)
