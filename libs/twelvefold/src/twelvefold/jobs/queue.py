"""The producer's side: jobs inserted in the caller's transaction, looked at, cancelled, retried.

Nothing commits, nothing runs; committed, it will run. No call here reaches Redis: waking a worker
is handed to the wake-up publisher after the commit, and losing it costs a second of latency.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID, uuid5

from opentelemetry.trace import SpanKind
from pydantic import BaseModel
from sqlalchemy import Row, select, text, tuple_

from twelvefold.context import current_request_id
from twelvefold.database.database import Database, Reader, Transaction
from twelvefold.errors import Conflict, NotFound
from twelvefold.identifiers import new_id
from twelvefold.observability import metrics, spans, telemetry

from .channels import CANCEL_CHANNEL, change_channel
from .model import DEFAULT_MAX_ATTEMPTS, DEFAULT_QUEUE, JobRecord, JobStatus, JobSubject, Wakeup
from .schema import job_status

# Under it lies the id of every job with a unique key, so that who comes second knows the first's.
UNIQUE_IDS = UUID("5f6d6b1c-6f0a-4a57-9a3e-0f5a3c6b1f11")
Position = tuple[datetime, UUID]

# As text, since it is part of many requests. Without a conflict target, which would ask for the
# right to read the table.
_INSERT = text("""
INSERT INTO jobs.jobs (id, kind, queue, priority, payload, owner_id, run_at, unique_key,
                       max_attempts, request_id, trace_context)
VALUES (:id, :kind, :queue, :priority, CAST(:payload AS jsonb), :owner_id,
        coalesce(:run_at, now()), :unique_key, :max_attempts, :request_id,
        CAST(:trace_context AS jsonb))
ON CONFLICT DO NOTHING
""")
_CANCEL = text("SELECT * FROM jobs.cancel_job(:id)")
_RETRY = text("SELECT * FROM jobs.retry_job(:id)")
_SUBJECT = text("SELECT * FROM jobs.job_subject(:id)")
_WAITING = text("SELECT jobs.count_waiting(:owner, :kind, :queue, :priority, :most)")


class WakeupPublisher(Protocol):
    """Publisher of wake-ups and change hints. Neither call blocks, fails or waits."""

    def wake(self, wakeup: Wakeup) -> None:
        """Wakes a worker for one job."""
        ...

    def publish(self, channel: str, message: str) -> None:
        """Tells whoever listens on a channel of Redis."""
        ...


class JobQueue:
    """Jobs as their producers see them. Without a publisher the worker finds them by itself."""

    def __init__(self, database: Database, wakeups: WakeupPublisher | None = None) -> None:
        self._database = database
        self._wakeups = wakeups

    async def enqueue(
        self,
        transaction: Transaction,
        kind: str,
        payload: BaseModel,
        *,
        owner_id: UUID | None = None,
        run_at: datetime | None = None,
        queue: str = DEFAULT_QUEUE,
        priority: int = 0,
        unique_key: str | None = None,
        max_attempts: int | None = None,
        job_id: UUID | None = None,
    ) -> UUID:
        """Inserts the job in the caller's transaction; returns its id.

        `run_at` (aware; default: now) is the earliest start. `priority`: -100 to 100, higher
        runs first. `max_attempts`: 1 to 100, default: the kind's. With `unique_key` there is one
        such job of this kind for as long as its row is kept: who comes second inserts nothing
        and gets the id of the first. An id that is taken inserts nothing either.
        Raises ValueError for a naive `run_at`, or a unique key together with an id.
        """
        if unique_key is not None and job_id is not None:
            raise ValueError("a unique key decides the id")
        if run_at is not None and run_at.tzinfo is None:
            raise ValueError("run_at has no time zone")
        if unique_key is not None:
            job_id = unique_id(kind, unique_key)
        job_id = job_id or new_id()
        with spans.span(
            f"enqueue {kind}",
            {"job.id": str(job_id), "job.kind": kind, "job.queue": queue},
            kind=SpanKind.PRODUCER,
        ):
            # Its run becomes a child of this span.
            inserted = await self._insert(
                transaction,
                id=job_id,
                kind=kind,
                queue=queue,
                priority=priority,
                payload=payload.model_dump_json(),
                owner_id=owner_id,
                run_at=run_at,
                unique_key=unique_key,
                max_attempts=max_attempts,
            )
        if not inserted:
            return job_id
        metrics.jobs_enqueued.labels(kind).inc()
        if self._wakeups is not None and (run_at is None or run_at <= datetime.now(UTC)):
            wakeups, ring = self._wakeups, Wakeup(job_id, 0, queue)
            transaction.after_commit(lambda: wakeups.wake(ring))
        return job_id

    async def _insert(self, transaction: Transaction, **row: Any) -> bool:
        """Whether the row is new."""
        carrier = telemetry.current_carrier()
        row["request_id"] = current_request_id()
        row["trace_context"] = json.dumps(carrier) if carrier else None
        inserted = await transaction.execute(_INSERT, row)
        return bool(inserted.rowcount)  # type: ignore[attr-defined]  # an INSERT's result is a CursorResult

    async def find(self, job_id: UUID) -> JobRecord | None:
        """As `get`, on a connection of its own."""
        async with self._database.read() as reader:
            return await self.get(reader, job_id)

    async def get(self, reader: Reader, job_id: UUID) -> JobRecord | None:
        found = await reader.execute(select(job_status).where(job_status.c.id == job_id))
        row = found.one_or_none()
        return None if row is None else _record(row)

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
        """Newest first, those beyond `after`; everybody's without `owner_id`."""
        query = select(job_status)
        if owner_id is not None:
            query = query.where(job_status.c.owner_id == owner_id)
        if status is not None:
            query = query.where(job_status.c.status == status.value)
        if kind is not None:
            query = query.where(job_status.c.kind == kind)
        if after is not None:
            query = query.where(tuple_(job_status.c.created_at, job_status.c.id) < after)
        query = query.order_by(job_status.c.created_at.desc(), job_status.c.id.desc())
        found = await reader.execute(query.limit(limit))
        return [_record(row) for row in found]

    async def subject(self, reader: Reader, job_id: UUID) -> JobSubject:
        """What the job acts on; nothing of it where there is no such job."""
        row = (await reader.execute(_SUBJECT, {"id": job_id})).one_or_none()
        return JobSubject(None, None) if row is None else _subject(row)

    async def count_waiting(
        self,
        reader: Reader,
        owner_id: UUID,
        kind: str,
        *,
        most: int,
        queue: str = DEFAULT_QUEUE,
        priority: int = 0,
    ) -> int:
        """Jobs of this owner and kind that wait to be run, at most `most` of them.

        What the system started on somebody's behalf, which has a unique key, does not count.
        """
        parameters = {"owner": owner_id, "kind": kind, "queue": queue, "priority": priority}
        return int(await reader.scalar(_WAITING, {**parameters, "most": most}))

    async def cancel(self, transaction: Transaction, job_id: UUID) -> JobRecord:
        """A waiting job is cancelled; a running one is asked to stop, and may still succeed.

        Asking again is no error. Raises NotFound, or Conflict where the job has ended otherwise.
        """
        found = await self._change(transaction, _CANCEL, job_id)
        status = JobStatus(found.status)
        if not found.changed and status.is_terminal and status is not JobStatus.CANCELLED:
            raise Conflict(_CANNOT_CANCEL[status])
        if found.changed and status is JobStatus.RUNNING:
            self._publish_after_commit(transaction, CANCEL_CHANNEL, str(job_id))
        return await self._changed(transaction, job_id)

    async def retry(self, transaction: Transaction, job_id: UUID) -> JobRecord:
        """Runs a job now that failed, or again from the start one that ended without success.

        Raises NotFound, or Conflict where it waits, runs or has succeeded.
        """
        found = await self._change(transaction, _RETRY, job_id)
        if not found.changed:
            raise Conflict(f"the job is {found.status}")
        if self._wakeups is not None:
            wakeups, ring = self._wakeups, Wakeup(job_id, found.claim_no, found.queue)
            transaction.after_commit(lambda: wakeups.wake(ring))
        return await self._changed(transaction, job_id)

    async def _change(self, transaction: Transaction, statement: Any, job_id: UUID) -> Row[Any]:
        row: Row[Any] | None = (await transaction.execute(statement, {"id": job_id})).one_or_none()
        if row is None:
            raise NotFound("no such job")
        return row

    async def _changed(self, transaction: Transaction, job_id: UUID) -> JobRecord:
        record = await self.get(transaction, job_id)
        if record is None:
            raise NotFound("no such job")
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
    """The id of the one job of this kind with this key (RFC 9562 section 5.5)."""
    return uuid5(UNIQUE_IDS, f"{kind}\n{unique_key}")


def _subject(row: Row[Any]) -> JobSubject:
    try:
        return JobSubject(row.target, UUID(row.subject_id or ""))
    except ValueError:
        return JobSubject(row.target, None)


def _record(row: Row[Any]) -> JobRecord:
    values = dict(row._mapping)  # noqa: SLF001 (SQLAlchemy's public name for it)
    values["status"] = JobStatus(values["status"])
    values["max_attempts"] = values["max_attempts"] or DEFAULT_MAX_ATTEMPTS
    return JobRecord(**values)
