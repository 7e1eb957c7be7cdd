"""The migrated schema is what the models say, and the service's role cannot change it."""

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

from twelvefold.database.client import connect_arguments
from users.models import SCHEMA, Base


async def test_the_migrated_tables_are_those_of_the_models(database):
    url, arguments = connect_arguments(database.superuser_url)
    engine = create_async_engine(url, connect_args=arguments)

    def compare(connection):
        options = {
            "include_schemas": True,
            "compare_server_default": True,
            "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
            "include_object": lambda _, name, *__: name != "alembic_version",
        }
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, Base.metadata)

    async with engine.connect() as connection:
        assert await connection.run_sync(compare) == []
    await engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE users.mine (id int)",
        "ALTER TABLE users.accounts DROP COLUMN name",
        "DROP TABLE users.sessions",
        "TRUNCATE users.accounts",
    ],
)
async def test_the_role_of_the_service_cannot_change_the_schema(database, statement):
    connection = await asyncpg.connect(database.url("users_app"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()
