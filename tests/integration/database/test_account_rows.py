"""Every service with rows by account declares the hooks of export and erasure."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg
import pytest

from twelvefold.service.definition import Service
from twelvefold.service.installed import installed_services

# What the suite calls the column that names an account.
ACCOUNT_COLUMNS = ("user_id", "owner_id", "account_id", "caller")
_TABLES = """
SELECT table_schema AS schema, table_name || '.' || column_name AS place
FROM information_schema.columns
WHERE table_schema = ANY ($1) AND column_name = ANY ($2)
"""


async def undeclared(
    connection: asyncpg.Connection, services: Mapping[str, Service]
) -> dict[str, list[str]]:
    """Return the columns by account of each service that declares no `account_data`."""
    schemas = {
        service.migrations.schema: name
        for name, service in services.items()
        if service.migrations is not None and service.account_data is None
    }
    found: dict[str, list[str]] = {}
    for row in await connection.fetch(_TABLES, list(schemas), list(ACCOUNT_COLUMNS)):
        found.setdefault(schemas[row["schema"]], []).append(row["place"])
    return found


@pytest.fixture
async def superuser(new_database):
    connection = await asyncpg.connect((await new_database()).superuser_url)
    yield connection
    await connection.close()


async def test_each_service_with_rows_by_account_declares_its_hooks(superuser):
    assert await undeclared(superuser, installed_services()) == {}


async def test_a_forgotten_declaration_is_named_with_its_columns(superuser):
    from dataclasses import replace

    services = installed_services()
    services["users"] = replace(services["users"], account_data=None)
    found = await undeclared(superuser, services)
    assert found.keys() == {"users"}
    assert "sessions.account_id" in found["users"]
