"""Add the index for fair claims, and functions for an owner's waiting jobs and a job's subject.

The previous release neither uses the index nor calls the functions.
"""

from alembic import op

from twelvefold.jobs.migrations import existing_roles

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PRODUCERS = ("users_app", "api_app")
# Negated, so that "a lower priority, or the next owner" is one comparison of rows. Jobs without an
# owner count as those of owner zero. The collation keeps the planner from using the index
# `jobs_due` instead of this one.
INDEX = """
CREATE INDEX CONCURRENTLY jobs_due_by_owner ON jobs.jobs (
  queue COLLATE "C", (-priority),
  (coalesce(owner_id, '00000000-0000-0000-0000-000000000000'::uuid)), run_at, id
) WHERE status IN ('queued', 'failed')
"""

# Returns ids only, so that a service can authorise its caller without the payload.
SUBJECT = """
CREATE OR REPLACE FUNCTION jobs.job_subject(job uuid)
RETURNS TABLE (target text, subject_id text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT j.payload ->> 'target', coalesce(j.payload ->> 'target_id', j.payload ->> 'user_id')
  FROM jobs.jobs AS j WHERE j.id = job
$$
"""

# Counts the jobs that an owner requested: the system enqueues those with a unique key. Counts up to
# `most`, by the index, which the security barrier of the view would make unusable.
WAITING = """
CREATE OR REPLACE FUNCTION jobs.count_waiting(
  owner uuid, job_kind text, job_queue text, job_priority smallint, most integer
)
RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT count(*) FROM (
    SELECT 1 FROM jobs.jobs AS j
    WHERE j.status IN ('queued', 'failed') AND j.queue COLLATE "C" = job_queue
      AND -j.priority = -job_priority
      AND coalesce(j.owner_id, '00000000-0000-0000-0000-000000000000'::uuid) = owner
      AND j.kind = job_kind AND j.unique_key IS NULL
    LIMIT most
  ) AS waiting
$$
"""
FUNCTIONS = {
    "job_subject(uuid)": SUBJECT,
    "count_waiting(uuid, text, text, smallint, integer)": WAITING,
}


def upgrade() -> None:
    for name, function in FUNCTIONS.items():
        op.execute(function)
        op.execute(f"REVOKE EXECUTE ON FUNCTION jobs.{name} FROM PUBLIC")
        for role in existing_roles(op.get_bind(), (*PRODUCERS, "worker_app")):
            op.execute(f"GRANT EXECUTE ON FUNCTION jobs.{name} TO {role}")
    with op.get_context().autocommit_block():
        # Waits for older transactions, including those of backups, without blocking others.
        op.execute("SET lock_timeout = '5min'")
        # An interrupted build leaves an invalid index.
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS jobs.jobs_due_by_owner")
        op.execute(INDEX)
        op.execute("SET lock_timeout = '5s'")


def downgrade() -> None:
    op.execute("DROP INDEX jobs.jobs_due_by_owner")
    for name in FUNCTIONS:
        op.execute(f"DROP FUNCTION jobs.{name}")
