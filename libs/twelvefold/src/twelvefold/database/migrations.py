"""Schemas and roles: bootstrap, migration, and the check that a schema is ready.

Each service has one schema and two roles: `<service>_owner` migrates, `<service>_app` may only
read and write rows. `<service>_app_b`, where it has a password, has the rights of `<service>_app`
while that role's password is rotated. `revisions` knows the revisions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, pool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from twelvefold.errors import DependencyUnavailable

from .client import connect_arguments, is_unavailable
from .database import Database
from .revisions import JOBS_MIGRATIONS
from .revisions import Migrations as Migrations
from .revisions import SchemaError as SchemaError

if TYPE_CHECKING:
    from alembic.runtime.migration import RevisionStep

LOCK_TIMEOUT = 60  # seconds that one migration waits for another of the same schema
STATEMENT_LOCK_TIMEOUT = 5  # seconds that a DDL waits for a table while it blocks other queries


async def is_ready(database: Database, migrations: Migrations) -> bool:
    """Return whether the schema is at this release's head or at a newer revision.

    A revision that this release does not know belongs to a newer release, whose schema this
    release can use (expand and contract).
    """
    query = text(f"SELECT version_num FROM {migrations.schema}.alembic_version")  # noqa: S608 (not user input)
    try:
        async with database.read() as reader:
            current = await reader.scalar(query)
    except DBAPIError:
        return False  # the schema or the table does not exist yet
    known = migrations.revisions
    return current is not None and (current == known[-1] or current not in known)


async def upgrade(
    migrations: Migrations, url: str, *, revision: str = "head"
) -> tuple[str | None, list[str]]:
    """Migrate one schema to `revision` as its owner; return its revision before, and those applied.

    An advisory lock admits one process at a time. Each revision has its own transaction, so that a
    killed migration can be run again. A schema of a newer release stays unchanged, which allows a
    rollback of the release. Raises DependencyUnavailable where PostgreSQL is unavailable, and
    SchemaError where a lock is not acquired in time or a contract step would remove what a running
    release needs.
    """
    target, arguments = connect_arguments(url)
    arguments["server_settings"] = {
        **arguments.get("server_settings", {}),
        "application_name": f"twelvefold-migrate-{migrations.service}",
        "lock_timeout": f"{LOCK_TIMEOUT}s",
    }
    engine = create_async_engine(
        target, connect_args=arguments, poolclass=pool.NullPool, hide_parameters=True
    )
    try:
        async with engine.connect() as connection:
            key = {"key": f"twelvefold:migrate:{migrations.schema}"}
            await connection.execute(
                text("SELECT pg_advisory_lock(hashtextextended(:key, 0))"), key
            )
            await connection.execute(text(f"SET lock_timeout = '{STATEMENT_LOCK_TIMEOUT}s'"))
            await connection.commit()
            return await connection.run_sync(_run, migrations, revision)
    except (DBAPIError, OSError, TimeoutError) as error:
        if is_unavailable(error):
            raise DependencyUnavailable("postgres") from error
        reason = str(getattr(error, "orig", error)).split(":", 1)[-1].strip()
        raise SchemaError(f"schema {migrations.schema}: {reason}") from error
    finally:
        await engine.dispose()


def _run(
    connection: Connection, migrations: Migrations, revision: str
) -> tuple[str | None, list[str]]:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(migrations.location))
    applied: list[str] = []
    before: list[str | None] = []

    def steps(current: Any, _: object) -> list[RevisionStep]:
        before.append(current[0] if current else None)
        if current and current[0] not in migrations.revisions:
            return []  # migrated by a newer release
        # Alembic's command.upgrade passes this as fn; there is no public name for it.
        plan = script._upgrade_revs(revision, current)  # noqa: SLF001
        for step in plan:
            _require_unused(connection, migrations, step.revision)
        applied.extend(step.revision.revision for step in plan)
        return plan

    with EnvironmentContext(Config(), script, fn=steps) as context:
        context.configure(
            connection=connection,
            version_table_schema=migrations.schema,
            transaction_per_migration=True,
        )
        context.run_migrations()
    if applied:
        connection.execute(
            text(
                f"REVOKE INSERT, UPDATE, DELETE ON {migrations.schema}.alembic_version "
                f"FROM {migrations.app_role}"
            )
        )
        connection.commit()
    return before[0] if before else None, applied


_APPLICATION_NAMES = text("""
SELECT DISTINCT application_name FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'twelvefold-%@%'
""")


def _require_unused(connection: Connection, migrations: Migrations, revision: Any) -> None:
    """Raise SchemaError where `revision` is a contract step and a running process is too old.

    Processes name the revision that they know on their connections (`Migrations.application_name`).
    A process without a connection at this moment is not detected.
    """
    needed = getattr(revision.module, "contract_after", None)
    if needed is None:
        return
    known_revision = re.compile(rf"[@,]{migrations.schema}:(\d{{4}})")
    old = sorted(
        name
        for (name,) in connection.execute(_APPLICATION_NAMES)
        if (match := known_revision.search(name)) and match[1] < needed
    )
    if old:
        raise SchemaError(
            f"schema {migrations.schema}: revision {revision.revision} removes what releases "
            f"before {needed} use; still running: {', '.join(old)}; upgrade them first"
        )


# Identifiers cannot be bound, and a password must not appear in a statement that the server may
# log: both are passed as settings of the transaction, and PostgreSQL quotes them.
_CREATE_ROLE = """
DO $$
DECLARE role_name text := current_setting('twelvefold.role');
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
    EXECUTE format('CREATE ROLE %I', role_name);
  END IF;
  EXECUTE format(
    'ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE %s PASSWORD %L', role_name,
    current_setting('twelvefold.inherits'), current_setting('twelvefold.password'));
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role_name);
END $$
"""


def _schema_statements(migrations: Migrations, *, with_rotation_role: bool) -> list[str]:
    schema, owner, app = migrations.schema, migrations.owner_role, migrations.app_role
    rotation = migrations.rotation_role
    rotation_grants = [
        f"GRANT {app} TO {rotation}",
        f"ALTER ROLE {rotation} SET search_path = {schema}",
    ]
    return [
        # Managed PostgreSQL has no superuser: only a member of the owner role may create for it.
        f"GRANT {owner} TO CURRENT_USER",
        f"CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {owner}",
        f"GRANT USAGE ON SCHEMA {schema} TO {app}",
        (
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} "
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app}"
        ),
        (
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} "
            f"GRANT USAGE, SELECT ON SEQUENCES TO {app}"
        ),
        # Every role may execute a new function unless that right is revoked.
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
        f"ALTER ROLE {owner} SET search_path = {schema}",
        f"ALTER ROLE {app} SET search_path = {schema}",
        *(rotation_grants if with_rotation_role else ()),
    ]


async def bootstrap(
    url: str, schemas: Sequence[Migrations], passwords: Mapping[str, str]
) -> list[str]:
    """Create schemas, roles, grants and default privileges; safe to repeat at any time.

    `url` belongs to a role that may create roles; `passwords` maps role names to passwords. An
    existing role without an entry keeps its password. Returns the roles whose password was set.
    Raises SchemaError naming new roles without a password, DependencyUnavailable where PostgreSQL
    is unavailable.
    """
    target, arguments = connect_arguments(url)
    engine = create_async_engine(
        target, connect_args=arguments, poolclass=pool.NullPool, hide_parameters=True
    )
    try:
        async with engine.begin() as connection:
            # Two bootstraps at once would conflict in the catalogue of roles.
            await connection.execute(text("SELECT pg_advisory_xact_lock(7208312)"))
            roles = await _create_roles(connection, schemas, passwords)
            for entry in schemas:
                with_rotation_role = entry.rotation_role in roles
                for sql in _schema_statements(entry, with_rotation_role=with_rotation_role):
                    await connection.execute(text(sql))
            for entry in schemas:
                await _grant_jobs(connection, entry)
            await connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
            return roles
    except (DBAPIError, OSError, TimeoutError) as error:
        if is_unavailable(error):
            raise DependencyUnavailable("postgres") from error
        raise SchemaError(f"bootstrap: {getattr(error, 'orig', error)}") from error
    finally:
        await engine.dispose()


# The functions exist once worker's release has migrated. Before, what is granted here tells that
# migration which roles are producers and consumers.
_GRANT_JOBS = """
DO $$
DECLARE app_role text := current_setting('twelvefold.role');
DECLARE runs_jobs boolean := current_setting('twelvefold.runs_jobs')::boolean;
BEGIN
  IF to_regnamespace('jobs') IS NULL THEN
    RETURN;
  END IF;
  EXECUTE format('GRANT USAGE ON SCHEMA jobs TO %I', app_role);
  IF runs_jobs THEN
    EXECUTE format(
      'ALTER DEFAULT PRIVILEGES FOR ROLE worker_owner IN SCHEMA jobs '
      'GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', app_role);
  END IF;
  IF to_regprocedure('jobs.grant_consumer(text)') IS NULL THEN
    RETURN;
  ELSIF runs_jobs THEN
    PERFORM jobs.grant_consumer(app_role);
  ELSE
    PERFORM jobs.grant_producer(app_role);
  END IF;
END $$
"""


async def _grant_jobs(connection: AsyncConnection, migrations: Migrations) -> None:
    """Let a service insert jobs and read their view; one that runs jobs may change their rows."""
    if migrations.schema == JOBS_MIGRATIONS.schema:
        return  # the owner's own role has these rights
    settings = text(
        "SELECT set_config('twelvefold.role', :role, true), "
        "set_config('twelvefold.runs_jobs', :runs_jobs, true)"
    )
    parameters = {"role": migrations.app_role, "runs_jobs": str(migrations.runs_jobs)}
    await connection.execute(settings, parameters)
    await connection.execute(text(_GRANT_JOBS))


async def _create_roles(
    connection: AsyncConnection, schemas: Sequence[Migrations], passwords: Mapping[str, str]
) -> list[str]:
    """Create the roles and set the given passwords; return the roles whose password was set."""
    required = [role for entry in schemas for role in (entry.owner_role, entry.app_role)]
    rotation = {entry.rotation_role for entry in schemas}
    existing = set((await connection.execute(text("SELECT rolname FROM pg_roles"))).scalars())
    roles = [role for role in (*required, *sorted(rotation)) if passwords.get(role)]
    if missing := [role for role in required if role not in roles and role not in existing]:
        raise SchemaError(f"no password for {', '.join(missing)} in BOOTSTRAP_ROLE_PASSWORDS")
    settings = text(
        "SELECT set_config('twelvefold.role', :role, true), "
        "set_config('twelvefold.password', :password, true), "
        "set_config('twelvefold.inherits', :inherits, true)"
    )
    for role in roles:
        inherits = "INHERIT" if role in rotation else "NOINHERIT"
        parameters = {"role": role, "password": passwords[role], "inherits": inherits}
        await connection.execute(settings, parameters)
        await connection.execute(text(_CREATE_ROLE))
    return roles
