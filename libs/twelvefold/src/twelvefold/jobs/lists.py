"""Lists of jobs by prepared statements. Requests make JSON of the rows without a model each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, bindparam, func, select, tuple_

from twelvefold.database.database import Reader
from twelvefold.database.prepared import PreparedReader, PreparedStatement, Row

from .model import JobStatus
from .retry_policy import DEFAULT_MAX_ATTEMPTS
from .schema import job_status

Position = tuple[datetime, UUID]  # last row of a page: (created_at, id)
# What clients see of a job, under the names of the public contract.
COLUMNS = (
    *("id", "type", "status", "progress", "attempts", "max_attempts"),
    *("created_at", "run_at", "started_at", "finished_at", "result", "error"),
)


async def list_job_rows(
    reader: Reader | PreparedReader,
    *,
    owner_id: UUID | None = None,
    status: JobStatus | None = None,
    kind: str | None = None,
    after: Position | None = None,
    limit: int = 50,
    public: bool = True,
) -> Sequence[Row]:
    """Return the rows beyond `after`, newest first; of all owners without `owner_id`.

    In COLUMNS, where `type` is the kind and `max_attempts` the default if the job has none, or,
    unless `public`, in the columns of `job_status`.
    """
    given = {"owner_id": owner_id, "status": status and status.value, "kind": kind}
    filters: dict[str, object] = {name: it for name, it in given.items() if it is not None}
    if after is not None:
        filters |= {"after_time": after[0], "after_id": after[1]}
    statement = _prepare(frozenset(filters), public=public)
    return await reader.fetch(statement, **filters, limit=limit)


@cache
def _prepare(filters: frozenset[str], *, public: bool) -> PreparedStatement:
    """Return the statement with these filters: there are 16 combinations."""
    columns = job_status.c
    query = select(*_public_columns()) if public else select(job_status)
    query = query.order_by(columns.created_at.desc(), columns.id.desc())
    for name in sorted(filters & {"owner_id", "status", "kind"}):
        query = query.where(columns[name] == bindparam(name, type_=columns[name].type))
    if "after_id" in filters:
        after = tuple_(
            bindparam("after_time", type_=columns.created_at.type),
            bindparam("after_id", type_=columns.id.type),
        )
        query = query.where(tuple_(columns.created_at, columns.id) < after)
    return PreparedStatement(query.limit(bindparam("limit", type_=Integer)))


def _public_columns() -> list[ColumnElement[Any]]:
    columns = job_status.c
    derived: dict[str, ColumnElement[Any]] = {
        "type": columns.kind.label("type"),
        "max_attempts": func.coalesce(columns.max_attempts, DEFAULT_MAX_ATTEMPTS).label(
            "max_attempts"
        ),
    }
    return [derived[name] if name in derived else columns[name] for name in COLUMNS]
