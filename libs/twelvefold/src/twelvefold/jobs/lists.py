"""Lists of jobs for requests: prepared statements, whose rows become JSON without a model each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from uuid import UUID

from sqlalchemy import Integer, bindparam, func, select, tuple_

from twelvefold.database.prepared import PreparedReader, PreparedStatement, Row

from .model import JobStatus
from .retry_policy import DEFAULT_MAX_ATTEMPTS
from .schema import job_status

# What clients see of a job, under the names of the public contract.
COLUMNS = (
    *("id", "type", "status", "progress", "attempts", "max_attempts"),
    *("created_at", "run_at", "started_at", "finished_at", "result", "error"),
)


async def list_job_rows(
    reader: PreparedReader,
    *,
    owner_id: UUID | None = None,
    status: JobStatus | None = None,
    kind: str | None = None,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 50,
) -> Sequence[Row]:
    """Return the rows beyond `after` in COLUMNS, newest first; of all owners without `owner_id`.

    `type` is the kind. `max_attempts` is the default where the job has none.
    """
    given = {"owner_id": owner_id, "status": status and status.value, "kind": kind}
    filters: dict[str, object] = {name: it for name, it in given.items() if it is not None}
    if after is not None:
        filters |= {"after_time": after[0], "after_id": after[1]}
    return await reader.fetch(_prepare(frozenset(filters)), **filters, limit=limit)


@cache
def _prepare(filters: frozenset[str]) -> PreparedStatement:
    """Return the statement with these filters: there are 16 combinations."""
    columns = job_status.c
    derived = {
        "type": columns.kind.label("type"),
        "max_attempts": func.coalesce(columns.max_attempts, DEFAULT_MAX_ATTEMPTS).label(
            "max_attempts"
        ),
    }
    shown = [derived[name] if name in derived else columns[name] for name in COLUMNS]
    query = select(*shown).order_by(columns.created_at.desc(), columns.id.desc())
    for name in sorted(filters & {"owner_id", "status", "kind"}):
        query = query.where(columns[name] == bindparam(name, type_=columns[name].type))
    if "after_id" in filters:
        after = tuple_(
            bindparam("after_time", type_=columns.created_at.type),
            bindparam("after_id", type_=columns.id.type),
        )
        query = query.where(tuple_(columns.created_at, columns.id) < after)
    return PreparedStatement(query.limit(bindparam("limit", type_=Integer)))
