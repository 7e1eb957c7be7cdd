"""Schemas and roles: bootstrap once, migrate each schema by its owner, know when it is there.

Each service has one schema and two roles: `<service>_owner` migrates, `<service>_app` has DML
and nothing more. `<service>_app_b`, where it has a password, may log in as the latter while that
gets another one. Which revisions there are is in `revisions`.
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
from .revisions import Migrations as Migrations
from .revisions import SchemaError as SchemaError

if TYPE_CHECKING:
    from alembic.runtime.migration import RevisionStep

LOCK_TIMEOUT = 60  # seconds that one migration waits for another of the same schema
STATEMENT_LOCK_TIMEOUT = 5  # seconds a DDL may wait for a table, so that it never queues traffic


async def is_ready(database: Database, migrations: Migrations) -> bool:
    """Whether the schema is at this release's head, or past it.

    A revision that this release does not know is a newer release's: expand and contract promises
    that the release before it still runs there.
    """
    query = text(f"SELECT version_num FROM {migrations.schema}.alembic_version")  # noqa: S608 (own name)
    try:
        async with database.read() as reader:
            current = await reader.scalar(query)
    except DBAPIError:
        return False  # neither the schema nor the table is there yet
    known = migrations.revisions
    return current is not None and (current == known[-1] or current not in known)


async def upgrade(
    migrations: Migrations, url: str, *, revision: str = "head"
) -> tuple[str | None, list[str]]:
    """Brings one schema to `revision` as its owner; returns where it stood and what was applied.

    One process at a time under an advisory lock; each revision in a transaction of its own, so
    that one that is killed leaves a revision, and can be run again. A schema that a newer release
    has migrated stays as it is: this is the way back. Raises DependencyUnavailable where
    PostgreSQL is away, SchemaError where a lock does not come, or where a contract step would take
    away what a release that still runs has use for.
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
            return []  # a newer release's
        # What Alembic's own command.upgrade passes as fn; there is no public name for it.
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


_ANNOUNCED = text("""
SELECT DISTINCT application_name FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'twelvefold-%@%'
""")


def _require_unused(connection: Connection, migrations: Migrations, revision: Any) -> None:
    """Raises SchemaError where `revision` is a contract step and a process that runs is too old.

    Processes say on their connections which revision they know (`Migrations.application_name`); one
    that holds no connection at this moment is not seen, as none of ours is for long.
    """
    needed = getattr(revision.module, "contract_after", None)
    if needed is None:
        return
    mentioned = re.compile(rf"[@,]{migrations.schema}:(\d{{4}})")
    old = sorted(
        name
        for (name,) in connection.execute(_ANNOUNCED)
        if (found := mentioned.search(name)) and found[1] < needed
    )
    if old:
        raise SchemaError(
            f"schema {migrations.schema}: revision {revision.revision} takes away what releases "
            f"before {needed} use, and there still run {', '.join(old)}: upgrade them first"
        )


# Identifiers cannot be bound, and a password must not stand in a statement that a server may log:
# both are handed over as settings of the transaction and quoted by PostgreSQL itself.
_ROLE = """
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


def _schema_statements(migrations: Migrations, *, second: bool) -> list[str]:
    """`second`: the app's second role is there, too."""
    schema, owner, app = migrations.schema, migrations.owner_role, migrations.app_role
    b = migrations.rotation_role
    of_second = [f"GRANT {app} TO {b}", f"ALTER ROLE {b} SET search_path = {schema}"]
    return [
        # Managed PostgreSQL has no superuser: a role that is a member may create for the owner.
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
        # Functions are executable by everybody unless that is taken away.
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
        f"ALTER ROLE {owner} SET search_path = {schema}",
        f"ALTER ROLE {app} SET search_path = {schema}",
        *(of_second if second else ()),
    ]


async def bootstrap(
    url: str, schemas: Sequence[Migrations], passwords: Mapping[str, str]
) -> list[str]:
    """Creates schemas, roles, grants and default privileges; safe to run again at any time.

    `url` belongs to a role that may create roles; `passwords` is by role name. A role that is there
    keeps its password where none is given. Returns the roles that got one. Raises SchemaError naming
    the roles that need one, DependencyUnavailable where PostgreSQL is away.
    """
    target, arguments = connect_arguments(url)
    engine = create_async_engine(
        target, connect_args=arguments, poolclass=pool.NullPool, hide_parameters=True
    )
    try:
        async with engine.begin() as connection:
            # Two bootstraps at once would collide on the roles' catalogue rows.
            await connection.execute(text("SELECT pg_advisory_xact_lock(7208312)"))
            given = await _give_passwords(connection, schemas, passwords)
            for entry in schemas:
                for statement in _schema_statements(entry, second=entry.rotation_role in given):
                    await connection.execute(text(statement))
            await connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
            return given
    except (DBAPIError, OSError, TimeoutError) as error:
        if is_unavailable(error):
            raise DependencyUnavailable("postgres") from error
        raise SchemaError(f"bootstrap: {getattr(error, 'orig', error)}") from error
    finally:
        await engine.dispose()


async def _give_passwords(
    connection: AsyncConnection, schemas: Sequence[Migrations], passwords: Mapping[str, str]
) -> list[str]:
    """Makes the roles, and sets the passwords that are given; the roles that got one."""
    needed = [role for entry in schemas for role in (entry.owner_role, entry.app_role)]
    second = {entry.rotation_role for entry in schemas}
    found = await connection.execute(text("SELECT rolname FROM pg_roles"))
    there = set(found.scalars())
    given = [role for role in (*needed, *sorted(second)) if passwords.get(role)]
    if missing := [role for role in needed if role not in given and role not in there]:
        raise SchemaError(f"no password for {', '.join(missing)} in BOOTSTRAP_ROLE_PASSWORDS")
    settings = text(
        "SELECT set_config('twelvefold.role', :role, true), "
        "set_config('twelvefold.password', :password, true), "
        "set_config('twelvefold.inherits', :inherits, true)"
    )
    for role in given:
        inherits = "INHERIT" if role in second else "NOINHERIT"
        told = {"role": role, "password": passwords[role], "inherits": inherits}
        await connection.execute(settings, told)
        await connection.execute(text(_ROLE))
    return given
