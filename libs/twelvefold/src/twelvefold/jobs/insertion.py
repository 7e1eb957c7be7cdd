"""The insertion of job rows in a producer's transaction, with its request and trace.

Owns the statement. `queue` owns what a producer calls.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from opentelemetry.trace import SpanKind
from pydantic import BaseModel
from sqlalchemy import text

from twelvefold.context import current_request_id
from twelvefold.database.database import Transaction
from twelvefold.database.prepared import PreparedStatement
from twelvefold.observability import spans, telemetry

MAX_ROWS = 1000  # jobs in one INSERT; more are inserted by several

# It names no conflict target, which would require the privilege to read the table.
_INSERT = PreparedStatement(
    text("""
INSERT INTO jobs.jobs (id, kind, queue, priority, payload, owner_id, run_at, unique_key,
                       max_attempts, request_id, trace_context)
SELECT new.id, :kind, :queue, :priority, CAST(new.payload AS jsonb), CAST(:owner_id AS uuid),
       coalesce(CAST(:run_at AS timestamptz), now()), new.unique_key,
       CAST(:max_attempts AS smallint), :request_id, CAST(:trace_context AS jsonb)
FROM unnest(CAST(:ids AS uuid[]), CAST(:payloads AS text[]), CAST(:unique_keys AS text[]))
  AS new (id, payload, unique_key)
ON CONFLICT DO NOTHING
""")
)


async def insert_jobs(
    transaction: Transaction,
    kind: str,
    queue: str,
    *,
    ids: Sequence[UUID],
    payloads: Sequence[BaseModel],
    unique_keys: Sequence[str | None],
    owner_id: UUID | None,
    run_at: datetime | None,
    priority: int,
    max_attempts: int | None,
) -> int:
    """Insert up to `MAX_ROWS` jobs by one statement and return how many of them are new."""
    attributes: dict[str, str | int] = {"job.kind": kind, "job.queue": queue}
    if len(ids) == 1:
        attributes["job.id"] = str(ids[0])
    else:
        attributes["job.count"] = len(ids)
    with spans.span(f"enqueue {kind}", attributes, kind=SpanKind.PRODUCER):
        # The runs of the jobs become children of this span.
        carrier = telemetry.current_carrier()
        return await transaction.execute_prepared(
            _INSERT,
            ids=ids,
            payloads=[payload.model_dump_json() for payload in payloads],
            unique_keys=unique_keys,
            kind=kind,
            queue=queue,
            priority=priority,
            owner_id=owner_id,
            run_at=run_at,
            max_attempts=max_attempts,
            request_id=current_request_id(),
            trace_context=json.dumps(carrier) if carrier else None,
        )
