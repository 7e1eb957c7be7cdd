"""The producer's side: insert jobs in the caller's transaction; read, cancel and retry them.

A job runs if and only if the caller's transaction commits. No call here waits for Redis: wake-ups
are published after the commit, and losing one costs a second of latency.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID, uuid5

from pydantic import BaseModel
from sqlalchemy import Row, bindparam, select, text

from twelvefold.contracts.jobs import MAX_ATTEMPTS
from twelvefold.database.database import Database, Reader, Transaction
from twelvefold.database.prepared import PreparedStatement
from twelvefold.errors import Conflict, NotFound
from twelvefold.identifiers import new_id
from twelvefold.observability import metrics

from .channels import CANCEL_CHANNEL, change_channel
from .insertion import MAX_ROWS, insert_jobs
from .lists import Position, list_job_rows
from .model import DEFAULT_QUEUE, JobRecord, JobStatus, JobSubject, Wakeup
from .retry_policy import DEFAULT_MAX_ATTEMPTS
from .schema import job_status

# Namespace of the ids of jobs with a unique key: a second producer derives the first one's id.
UNIQUE_ID_NAMESPACE = UUID("5f6d6b1c-6f0a-4a57-9a3e-0f5a3c6b1f11")

_CANCEL = text("SELECT * FROM jobs.cancel_job(:id)")
_RETRY = text("SELECT * FROM jobs.retry_job(:id)")
_SUBJECT = text("SELECT * FROM jobs.job_subject(:id)")
_GET = PreparedStatement(select(job_status).where(job_status.c.id == bindparam("id")))
_COUNT_WAITING = PreparedStatement(
    text("SELECT jobs.count_waiting(:owner, :kind, :queue, :priority, :max_count) AS waiting")
)


class WakeupPublisher(Protocol):
    """Publisher of hints. No call blocks or fails."""

    def wake(self, wakeup: Wakeup) -> None:
        """Wake a worker for one job."""
        ...

    def publish(self, channel: str, message: str) -> None:
        """Publish a message on a Redis channel."""
        ...


class JobQueue:
    """The jobs as producers see them. Without a publisher, workers find jobs by polling."""

    def __init__(
        self,
        database: Database,
        wakeups: WakeupPublisher | None = None,
        *,
        queue: str = DEFAULT_QUEUE,
    ) -> None:
        """`queue`: of the jobs that are enqueued without naming one."""
        self._database = database
        self._wakeups = wakeups
        self._queue = queue

    async def enqueue(
        self,
        transaction: Transaction,
        kind: str,
        payload: BaseModel,
        *,
        owner_id: UUID | None = None,
        run_at: datetime | None = None,
        queue: str | None = None,
        priority: int = 0,
        unique_key: str | None = None,
        max_attempts: int | None = None,
        job_id: UUID | None = None,
    ) -> UUID:
        """Insert the job in the caller's transaction and return its id.

        `run_at` (aware; default: now) is the earliest start. `priority`: -100 to 100, higher
        runs first. `max_attempts`: 1 to 100, default: the kind's in `contracts.jobs.MAX_ATTEMPTS`.
        A `unique_key` allows one job of this kind while its row is kept: a second call inserts
        nothing and returns the first job's id. An existing `job_id` inserts nothing either.
        Raises ValueError for a naive `run_at`, or a unique key together with an id.
        """
        if unique_key is not None and job_id is not None:
            raise ValueError("a unique key decides the id")
        if unique_key is not None:
            job_id = unique_id(kind, unique_key)
        job_id = job_id or new_id()
        await self._insert(
            transaction,
            kind,
            ids=[job_id],
            payloads=[payload],
            unique_keys=[unique_key],
            queue=queue or self._queue,
            priority=priority,
            owner_id=owner_id,
            run_at=run_at,
            max_attempts=max_attempts or MAX_ATTEMPTS.get(kind),
        )
        return job_id

    async def enqueue_many(
        self,
        transaction: Transaction,
        kind: str,
        payloads: Sequence[BaseModel],
        *,
        owner_id: UUID | None = None,
        run_at: datetime | None = None,
        queue: str | None = None,
        priority: int = 0,
        unique_keys: Sequence[str] | None = None,
        max_attempts: int | None = None,
    ) -> builtins.list[UUID]:
        """Insert a job for each payload and return their ids in the same order.

        One statement inserts up to `MAX_ROWS` jobs, and one wake-up follows the commit. Parameters
        as for `enqueue`; `unique_keys` holds one for each payload.
        Raises ValueError for a naive `run_at` or another number of unique keys than payloads.
        """
        if unique_keys is not None and len(unique_keys) != len(payloads):
            raise ValueError("one unique key for each payload")
        keys: Sequence[str | None] = unique_keys or [None] * len(payloads)
        ids = [new_id() if key is None else unique_id(kind, key) for key in keys]
        for start in range(0, len(ids), MAX_ROWS):
            rows = slice(start, start + MAX_ROWS)
            await self._insert(
                transaction,
                kind,
                ids=ids[rows],
                payloads=payloads[rows],
                unique_keys=keys[rows],
                queue=queue or self._queue,
                priority=priority,
                owner_id=owner_id,
                run_at=run_at,
                max_attempts=max_attempts or MAX_ATTEMPTS.get(kind),
            )
        return ids

    async def _insert(
        self,
        transaction: Transaction,
        kind: str,
        *,
        ids: Sequence[UUID],
        queue: str,
        run_at: datetime | None,
        **row: Any,
    ) -> None:
        if run_at is not None and run_at.tzinfo is None:
            raise ValueError("run_at has no time zone")
        inserted = await insert_jobs(transaction, kind, queue, ids=ids, run_at=run_at, **row)
        if not inserted:
            return
        metrics.jobs_enqueued.labels(kind).inc(inserted)
        if self._wakeups is not None and (run_at is None or run_at <= datetime.now(UTC)):
            wakeups, wakeup = self._wakeups, Wakeup(ids[0], 0, queue)
            transaction.after_commit(lambda: wakeups.wake(wakeup))

    async def find(self, job_id: UUID) -> JobRecord | None:
        """Return the job, read on a connection of its own, or None if it does not exist."""
        async with self._database.read() as reader:
            return await self.get(reader, job_id)

    async def get(self, reader: Reader, job_id: UUID) -> JobRecord | None:
        """Return the job, or None if it does not exist."""
        row = await reader.fetch_row(_GET, id=job_id)
        return None if row is None else _build_record(dict(row))

    async def list(
        self,
        reader: Reader,
        *,
        owner_id: UUID | None = None,
        status: JobStatus | None = None,
        kind: str | None = None,
        after: Position | None = None,
        limit: int = 50,
    ) -> Sequence[JobRecord]:
        """Return jobs beyond `after`, newest first; of all owners if `owner_id` is None."""
        rows = await list_job_rows(
            reader,
            owner_id=owner_id,
            status=status,
            kind=kind,
            after=after,
            limit=limit,
            public=False,
        )
        return [_build_record(dict(row)) for row in rows]

    async def find_subject(self, reader: Reader, job_id: UUID) -> JobSubject:
        """Return the object that the job names; both fields are None if there is no such job."""
        row = (await reader.execute(_SUBJECT, {"id": job_id})).one_or_none()
        return JobSubject(None, None) if row is None else _parse_subject(row)

    async def count_waiting(
        self,
        reader: Reader,
        owner_id: UUID,
        kind: str,
        *,
        max_count: int,
        queue: str | None = None,
        priority: int = 0,
    ) -> int:
        """Count the waiting jobs of this owner and kind, up to `max_count`.

        Jobs with a unique key do not count: the system enqueues those.
        """
        row = await reader.fetch_row(
            _COUNT_WAITING,
            owner=owner_id,
            kind=kind,
            queue=queue or self._queue,
            priority=priority,
            max_count=max_count,
        )
        return 0 if row is None else int(row["waiting"])

    async def cancel(self, transaction: Transaction, job_id: UUID) -> JobRecord:
        """Cancel a waiting job, or request the cancellation of a running one, which may succeed.

        Idempotent. Raises NotFound, or Conflict where the job has ended in another state.
        """
        row = await self._execute_change(transaction, _CANCEL, job_id)
        status = JobStatus(row.status)
        if not row.changed and status.is_terminal and status is not JobStatus.CANCELLED:
            raise Conflict(_CANNOT_CANCEL[status])
        if row.changed and status is JobStatus.RUNNING:
            self._publish_after_commit(transaction, CANCEL_CHANNEL, str(job_id))
        return await self._publish_change(transaction, job_id)

    async def retry(self, transaction: Transaction, job_id: UUID) -> JobRecord:
        """Run a failed job now, or restart a job that ended without success.

        Raises NotFound, or Conflict where the job waits, runs or has succeeded.
        """
        row = await self._execute_change(transaction, _RETRY, job_id)
        if not row.changed:
            raise Conflict(f"A {row.status} job cannot be retried.")
        if self._wakeups is not None:
            wakeups, wakeup = self._wakeups, Wakeup(job_id, row.claim_no, row.queue)
            transaction.after_commit(lambda: wakeups.wake(wakeup))
        return await self._publish_change(transaction, job_id)

    async def _execute_change(
        self, transaction: Transaction, statement: Any, job_id: UUID
    ) -> Row[Any]:
        row: Row[Any] | None = (await transaction.execute(statement, {"id": job_id})).one_or_none()
        if row is None:
            raise NotFound("The job does not exist.")
        return row

    async def _publish_change(self, transaction: Transaction, job_id: UUID) -> JobRecord:
        record = await self.get(transaction, job_id)
        if record is None:
            raise NotFound("The job does not exist.")
        self._publish_after_commit(transaction, change_channel(job_id), str(record.version))
        return record

    def _publish_after_commit(self, transaction: Transaction, channel: str, message: str) -> None:
        if self._wakeups is not None:
            wakeups = self._wakeups
            transaction.after_commit(lambda: wakeups.publish(channel, message))


_CANNOT_CANCEL = {
    JobStatus.SUCCEEDED: "The job has succeeded already.",
    JobStatus.REJECTED: "The job was rejected.",
    JobStatus.DEAD: "The job is dead. Retry it instead.",
}


def unique_id(kind: str, unique_key: str) -> UUID:
    """Return the id of the job of this kind with this key (UUIDv5, RFC 9562 section 5.5)."""
    return uuid5(UNIQUE_ID_NAMESPACE, f"{kind}\n{unique_key}")


def _parse_subject(row: Row[Any]) -> JobSubject:
    try:
        return JobSubject(row.target, UUID(row.subject_id or ""))
    except ValueError:
        return JobSubject(row.target, None)


def _build_record(values: dict[str, Any]) -> JobRecord:
    values["status"] = JobStatus(values["status"])
    values["max_attempts"] = values["max_attempts"] or DEFAULT_MAX_ATTEMPTS
    return JobRecord(**values)
