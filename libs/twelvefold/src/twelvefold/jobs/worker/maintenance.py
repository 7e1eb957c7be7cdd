"""What keeps a queue moving whoever dies: rings again, reaps expired leases, turns ticks to jobs.

Every worker runs one, all of them together do no more than one would: rows are locked and skipped,
and a tick is unique. Only the database's clock counts.
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

RETRY = 1.0  # seconds, at most, until a duty that failed is tried again
_log = structlog.get_logger(__name__)

# A job that was just inserted is left to its producer's ring for a moment.
_RING = text("""
WITH silent AS (
  SELECT id FROM jobs.jobs
  WHERE status IN ('queued', 'failed') AND queue = :queue AND run_at <= now()
    AND created_at < now() - make_interval(secs => :fresh)
    AND (rung_at IS NULL OR rung_at < now() - make_interval(secs => :again))
  ORDER BY priority DESC, run_at, id LIMIT :batch
  FOR UPDATE SKIP LOCKED
)
UPDATE jobs.jobs AS j SET rung_at = now() FROM silent WHERE j.id = silent.id
RETURNING j.id, j.claim_no, j.queue
""")

_REAP = text(f"""
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
""")  # noqa: S608 (a number of our own)

# None of the time before there was a suite: a first start has nothing to tidy up.
_TICKS = text("""
SELECT n, tick FROM (
  SELECT n, date_bin(make_interval(secs => every), now(),
                     TIMESTAMPTZ '2000-01-01 00:00:00+00' + make_interval(secs => at)) AS tick
  FROM unnest(CAST(:every AS double precision[]), CAST(:at AS double precision[]))
    WITH ORDINALITY AS schedule (every, at, n)
) AS ticks WHERE tick >= (SELECT created_at FROM jobs.suite)
""")

_TICK = text("""
INSERT INTO jobs.jobs (id, kind, queue, payload, unique_key)
VALUES (:id, :kind, :queue, CAST(:payload AS jsonb), :unique_key)
ON CONFLICT DO NOTHING
""")

_DUE = text("""
SELECT queue, count(*) AS due, extract(epoch FROM now() - min(run_at)) AS age FROM jobs.jobs
WHERE status IN ('queued', 'failed') AND run_at <= now() GROUP BY queue
""")
# Of what has not ended and of what is dead: a part for each of the table's partial indexes.
_OPEN = text(
    " UNION ALL ".join(
        f"SELECT kind, status, count(*) AS n FROM jobs.jobs WHERE {which} GROUP BY kind, status"  # noqa: S608 (of our own)
        for which in ("status IN ('queued', 'failed')", "status = 'running'", "status = 'dead'")
    )
)


@dataclass(frozen=True, slots=True)
class MaintenanceOptions:
    """Times in seconds."""

    wakeup_interval: float = 1.0  # between looks for due jobs that nobody claimed
    wakeup_min_age: float = 1.0  # age below which a job is left to its producer's ring
    wakeup_resend_after: float = 10.0  # between two rings for the same row
    wakeup_batch: int = 200
    reap_interval: float = 5.0  # between looks for expired leases
    reap_batch: int = 100
    crash_backoff: tuple[float, float] = (2.0, 60.0)  # the most after the first crash, and ever
    tick_interval: float = 1.0  # between looks at the schedule
    gauge_interval: float = 10.0  # between measurements of the queues


class QueueMaintenance:
    """`on_change` is told of every new version of a row."""

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
        self._database = database
        self._wakeups = wakeups
        self._queue = queue
        self._schedule = schedule
        self._options = options
        self._on_change = on_change
        self._ticked: dict[int, datetime] = {}
        self._measured: set[str] = set()
        self._counted: set[tuple[str, str]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Does each of its duties at once and then at its interval, while the block lasts."""
        options = self._options
        duties = [
            (options.wakeup_interval, self.resend_wakeups),
            (options.reap_interval, self.reap_expired_leases),
            (options.tick_interval, self.enqueue_scheduled),
            (options.gauge_interval, self.update_gauges),
        ]
        tasks = [
            asyncio.create_task(_every(interval, duty), name=f"dispatch-{duty.__name__}")
            for interval, duty in duties
        ]
        try:
            yield
        finally:
            await cancel_and_wait(tasks)

    async def resend_wakeups(self) -> int:
        """Rings for due jobs of this queue that nobody has claimed; returns how many."""
        rows = await self._rows(
            _RING,
            queue=self._queue,
            fresh=self._options.wakeup_min_age,
            again=self._options.wakeup_resend_after,
            batch=self._options.wakeup_batch,
        )
        for row in rows:
            self._wakeups.wake(Wakeup(row.id, row.claim_no, row.queue))
        return len(rows)

    async def reap_expired_leases(self) -> int:
        """Takes jobs from workers whose lease has expired; returns how many."""
        base, cap = self._options.crash_backoff
        rows = await self._rows(
            _REAP,
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
        """Inserts a job for every tick that has begun, where no other worker has; says how many.

        Ticks that passed while no worker ran are skipped, but for the last one; so are those from
        before the suite was made.
        """
        if not self._schedule:
            return 0
        rows = await self._rows(
            _TICKS,
            every=[entry.every.total_seconds() for entry in self._schedule],
            at=[entry.at.total_seconds() for entry in self._schedule],
        )
        inserted = 0
        for row in rows:
            entry = self._schedule[row.n - 1]
            if self._ticked.get(row.n) == row.tick:
                continue
            inserted += await self._insert(entry, f"tick {row.tick.isoformat()}")
            self._ticked[row.n] = row.tick
        return inserted

    async def update_gauges(self) -> None:
        """Brings the gauges up to date."""
        rows = await self._rows(_DUE)
        counted = {(row.kind, row.status): row.n for row in await self._rows(_OPEN)}
        found = {row.queue: (row.due, float(row.age)) for row in rows}
        self._measured |= {self._queue, *found}
        for queue in self._measured:
            due, age = found.get(queue, (0, 0.0))
            metrics.jobs_due.labels(queue).set(due)
            metrics.jobs_queue_age.labels(queue).set(age)
        self._counted |= counted.keys()
        for kind, status in self._counted:
            metrics.jobs_open.labels(kind, status).set(counted.get((kind, status), 0))
        metrics.jobs_dead.set(sum(n for (_, status), n in counted.items() if status == "dead"))

    async def _insert(self, entry: PeriodicJob, key: str) -> int:
        job_id = unique_id(entry.kind, key)
        async with self._database.transaction() as transaction:
            done = await transaction.execute(
                _TICK,
                {
                    "id": job_id,
                    "kind": entry.kind,
                    "queue": self._queue,
                    "payload": json.dumps(dict(entry.payload)),
                    "unique_key": key,
                },
            )
            count = int(done.rowcount)  # type: ignore[attr-defined]  # an INSERT's result is a CursorResult
            if count:
                transaction.after_commit(lambda: self._wakeups.wake(Wakeup(job_id, 0, self._queue)))
        return count

    async def _rows(self, statement: Any, **parameters: Any) -> list[Any]:
        async with self._database.read() as reader:
            return list(await reader.execute(statement, parameters))


async def _every(interval: float, duty: Callable[[], Awaitable[object]]) -> None:
    """Does `duty` for ever. An error costs this turn only; it is told when it is a new one."""
    output = ""
    while True:
        pause = interval
        try:
            await duty()
            output = ""
        except Exception as error:
            pause = min(interval, RETRY)
            if type(error).__name__ != output:
                output = type(error).__name__
                _log.warning("queue_maintenance_failed", error=output, reason=str(error))
        # Workers that started together drift apart.
        await asyncio.sleep(pause * random.uniform(0.9, 1.1))  # noqa: S311 (spreads load)
