"""The view of schema `jobs` that all services may read, for composed queries.

Owned by worker, whose migrations create it.
"""

from sqlalchemy import Boolean, Column, DateTime, MetaData, SmallInteger, String, Table, Uuid
from sqlalchemy.dialects.postgresql import BIGINT, JSONB

SCHEMA = "jobs"
METADATA = MetaData(schema=SCHEMA)
_TIME = DateTime(timezone=True)

job_status = Table(
    "job_status",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("kind", String),
    Column("queue", String),
    Column("priority", SmallInteger),
    Column("owner_id", Uuid),
    Column("status", String),
    Column("progress", SmallInteger),
    Column("attempts", SmallInteger),
    Column("crashes", SmallInteger),
    Column("max_attempts", SmallInteger),
    Column("cancel_requested", Boolean),
    Column("created_at", _TIME),
    Column("run_at", _TIME),
    Column("started_at", _TIME),
    Column("finished_at", _TIME),
    Column("result", JSONB),
    Column("error", String),
    Column("version", BIGINT),
)
