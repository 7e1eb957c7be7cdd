"""Create the jobs table, the view and functions for other services, and the table of steps.

Other services insert rows and read a view without payloads. They change rows only through two
functions, which run as the owner of the schema with a fixed search_path.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from twelvefold.jobs.migrations import existing_roles

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "jobs"
PRODUCERS = ("users_app", "api_app")
INSERTABLE = (
    "id, kind, queue, priority, payload, owner_id, run_at, unique_key, max_attempts, "
    "request_id, trace_context"
)
_TIME = sa.DateTime(timezone=True)

# Small rows that change often: free space on each page for heartbeats, and early vacuums.
STORAGE = """
ALTER TABLE jobs.jobs SET (
  fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000
)
"""

VIEW = """
CREATE VIEW jobs.job_status WITH (security_barrier) AS
SELECT id, kind, queue, priority, owner_id, status, progress, attempts, crashes, max_attempts,
       cancel_requested, created_at, run_at, started_at, finished_at, result, error, version
FROM jobs.jobs
"""

# `changed`: whether this call changed the row. No row: the job does not exist.
CANCEL = """
CREATE FUNCTION jobs.cancel_job(job uuid)
RETURNS TABLE (status text, changed boolean, queue text, claim_no bigint, version bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE found_job jobs.jobs%ROWTYPE;
DECLARE acts boolean;
BEGIN
  SELECT j.* INTO found_job FROM jobs.jobs AS j WHERE j.id = job FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  acts := found_job.status IN ('queued', 'failed')
       OR (found_job.status = 'running' AND NOT found_job.cancel_requested);
  IF acts THEN
    UPDATE jobs.jobs AS j SET
      status = CASE WHEN j.status = 'running' THEN j.status ELSE 'cancelled' END,
      finished_at = CASE WHEN j.status = 'running' THEN j.finished_at ELSE now() END,
      cancel_requested = true,
      version = j.version + 1
    WHERE j.id = job
    RETURNING j.* INTO found_job;
  END IF;
  RETURN QUERY SELECT found_job.status, acts, found_job.queue, found_job.claim_no,
                      found_job.version;
END $$
"""

# A failed job runs now; one that ended without success restarts. The fence never decreases.
RETRY = """
CREATE FUNCTION jobs.retry_job(job uuid)
RETURNS TABLE (status text, changed boolean, queue text, claim_no bigint, version bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE found_job jobs.jobs%ROWTYPE;
DECLARE acts boolean;
BEGIN
  SELECT j.* INTO found_job FROM jobs.jobs AS j WHERE j.id = job FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  acts := found_job.status IN ('failed', 'dead', 'rejected', 'cancelled');
  IF acts THEN
    UPDATE jobs.jobs AS j SET
      status = CASE WHEN j.status = 'failed' THEN j.status ELSE 'queued' END,
      attempts = CASE WHEN j.status = 'failed' THEN j.attempts ELSE 0 END,
      crashes = CASE WHEN j.status = 'failed' THEN j.crashes ELSE 0 END,
      run_at = now(), rung_at = NULL, finished_at = NULL, progress = 0,
      cancel_requested = false, unusable_since = NULL,
      version = j.version + 1
    WHERE j.id = job
    RETURNING j.* INTO found_job;
  END IF;
  RETURN QUERY SELECT found_job.status, acts, found_job.queue, found_job.claim_no,
                      found_job.version;
END $$
"""


def _count(name: str, kind: sa.types.TypeEngine[int]) -> sa.Column[int]:
    return sa.Column(name, kind, nullable=False, server_default=sa.text("0"))


def _create_jobs() -> None:
    now = sa.func.now()
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False, server_default="default"),
        _count("priority", sa.SmallInteger()),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("owner_id", sa.Uuid()),
        sa.Column("unique_key", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False, server_default="queued"),
        sa.Column("run_at", _TIME, nullable=False, server_default=now),
        sa.Column("created_at", _TIME, nullable=False, server_default=now),
        sa.Column("started_at", _TIME),
        sa.Column("finished_at", _TIME),
        # The fence: every claim raises it, and nothing lowers it.
        _count("claim_no", sa.BigInteger()),
        sa.Column("lease_until", _TIME),
        sa.Column("worker", sa.Text()),
        sa.Column("rung_at", _TIME),
        # Errors and expired leases are counted separately; neither is a fence.
        _count("attempts", sa.SmallInteger()),
        _count("crashes", sa.SmallInteger()),
        sa.Column("max_attempts", sa.SmallInteger()),  # null: the kind's, set at the claim
        sa.Column("unusable_since", _TIME),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False, server_default=sa.false()),
        _count("progress", sa.SmallInteger()),
        sa.Column("result", JSONB()),
        sa.Column("error", sa.Text()),
        sa.Column("errors", JSONB(), nullable=False, server_default=sa.text("'[]'")),
        sa.Column("request_id", sa.Text()),
        sa.Column("trace_context", JSONB()),
        _count("version", sa.BigInteger()),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'rejected', "
            "'dead')",
            name="jobs_status",
        ),
        sa.CheckConstraint("progress BETWEEN 0 AND 100", name="jobs_progress"),
        sa.CheckConstraint("priority BETWEEN -100 AND 100", name="jobs_priority"),
        sa.CheckConstraint("max_attempts BETWEEN 1 AND 100", name="jobs_max_attempts"),
        sa.CheckConstraint(
            "char_length(kind) BETWEEN 1 AND 100 AND char_length(queue) BETWEEN 1 AND 100 "
            "AND char_length(unique_key) <= 300 AND char_length(request_id) <= 128",
            name="jobs_lengths",
        ),
        sa.CheckConstraint("octet_length(payload::text) <= 16384", name="jobs_payload_size"),
        schema=SCHEMA,
    )
    op.execute(STORAGE)


def _create_indexes() -> None:
    def index(name: str, columns: list[object], where: str | None, *, unique: bool = False) -> None:
        op.create_index(
            name,
            "jobs",
            columns,  # type: ignore[arg-type]  # Alembic accepts names and expressions
            schema=SCHEMA,
            unique=unique,
            postgresql_where=sa.text(where) if where else None,
        )

    index(
        "jobs_due",
        ["queue", sa.text("priority DESC"), "run_at", "id"],
        "status IN ('queued', 'failed')",
    )
    # Not on lease_until, so that a heartbeat changes no index.
    index("jobs_running", ["id"], "status = 'running'")
    index("jobs_ended", ["finished_at"], "status IN ('succeeded', 'rejected', 'cancelled')")
    index("jobs_dead", ["created_at"], "status = 'dead'")
    index("jobs_by_owner", ["owner_id", "created_at", "id"], "owner_id IS NOT NULL")
    index("jobs_by_time", ["created_at", "id"], None)
    index("jobs_unique_key", ["kind", "unique_key"], "unique_key IS NOT NULL", unique=True)


def upgrade() -> None:
    _create_jobs()
    _create_indexes()
    op.create_table(
        "job_effects",
        sa.Column(
            "job_id",
            sa.Uuid(),
            sa.ForeignKey(f"{SCHEMA}.jobs.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("step", sa.Text(), primary_key=True),
        sa.Column("done_at", _TIME, nullable=False, server_default=sa.func.now()),
        schema=SCHEMA,
    )
    op.execute(VIEW)
    for function, name in ((CANCEL, "cancel_job(uuid)"), (RETRY, "retry_job(uuid)")):
        op.execute(function)
        op.execute(f"REVOKE EXECUTE ON FUNCTION jobs.{name} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION jobs.{name} TO worker_app")
    for role in existing_roles(op.get_bind(), PRODUCERS):
        op.execute(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}")
        op.execute(f"GRANT INSERT ({INSERTABLE}) ON jobs.jobs TO {role}")
        op.execute(f"GRANT SELECT ON jobs.job_status TO {role}")
        op.execute(f"GRANT EXECUTE ON FUNCTION jobs.cancel_job(uuid) TO {role}")
        op.execute(f"GRANT EXECUTE ON FUNCTION jobs.retry_job(uuid) TO {role}")


def downgrade() -> None:
    op.execute("DROP FUNCTION jobs.retry_job(uuid)")
    op.execute("DROP FUNCTION jobs.cancel_job(uuid)")
    op.execute("DROP VIEW jobs.job_status")
    op.drop_table("job_effects", schema=SCHEMA)
    op.drop_table("jobs", schema=SCHEMA)
