"""Add the functions that give a role the rights of a producer or a consumer of jobs.

`twelvefold db bootstrap` calls them for each service, also for one that joins later. Where roles
exist before these functions, the rights that bootstrap could give them name them: USAGE of the
schema a producer, default privileges on its tables a consumer.

A revision that adds an object for producers or consumers replaces the function and executes
REGRANT.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

PRODUCER = """
CREATE FUNCTION jobs.grant_producer(app_role text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('GRANT USAGE ON SCHEMA jobs TO %I', app_role);
  EXECUTE format(
    'GRANT INSERT (id, kind, queue, priority, payload, owner_id, run_at, unique_key, max_attempts, '
    'request_id, trace_context) ON jobs.jobs TO %I', app_role);
  EXECUTE format('GRANT SELECT ON jobs.job_status TO %I', app_role);
  EXECUTE format(
    'GRANT EXECUTE ON FUNCTION jobs.cancel_job(uuid), jobs.retry_job(uuid), '
    'jobs.job_subject(uuid), jobs.count_waiting(uuid, text, text, smallint, integer) TO %I',
    app_role);
END $$
"""

# As worker_app, except for the table of the applied revisions, which nobody but the owner writes.
CONSUMER = """
CREATE FUNCTION jobs.grant_consumer(app_role text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM jobs.grant_producer(app_role);
  EXECUTE format(
    'GRANT SELECT, INSERT, UPDATE, DELETE ON jobs.jobs, jobs.job_effects TO %I', app_role);
  EXECUTE format('GRANT SELECT ON jobs.suite, jobs.alembic_version TO %I', app_role);
  EXECUTE format(
    'REVOKE INSERT, UPDATE, DELETE ON jobs.suite, jobs.alembic_version FROM %I', app_role);
END $$
"""

REGRANT = """
DO $$
DECLARE app_role text;
BEGIN
  FOR app_role IN
    SELECT r.rolname FROM pg_namespace AS n CROSS JOIN aclexplode(n.nspacl) AS acl
    JOIN pg_roles AS r ON r.oid = acl.grantee
    WHERE n.nspname = 'jobs' AND acl.privilege_type = 'USAGE' AND acl.grantee <> n.nspowner
  LOOP
    PERFORM jobs.grant_producer(app_role);
  END LOOP;
  FOR app_role IN
    SELECT DISTINCT r.rolname FROM pg_default_acl AS d JOIN pg_namespace AS n
      ON n.oid = d.defaclnamespace CROSS JOIN aclexplode(d.defaclacl) AS acl
    JOIN pg_roles AS r ON r.oid = acl.grantee
    WHERE n.nspname = 'jobs' AND d.defaclobjtype = 'r' AND acl.privilege_type = 'INSERT'
      AND d.defaclrole = n.nspowner AND acl.grantee <> n.nspowner AND r.rolname <> 'worker_app'
  LOOP
    PERFORM jobs.grant_consumer(app_role);
  END LOOP;
END $$
"""
FUNCTIONS = {"grant_producer(text)": PRODUCER, "grant_consumer(text)": CONSUMER}


def upgrade() -> None:
    for name, function in FUNCTIONS.items():
        op.execute(function)
        op.execute(f"REVOKE EXECUTE ON FUNCTION jobs.{name} FROM PUBLIC")
    op.execute(REGRANT)


def downgrade() -> None:
    for name in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION jobs.{name}")
