"""A database with one table, on real PostgreSQL, directly and through a faulty proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from tests.proxy import Proxy, open_proxy

from twelvefold.database.database import Database
from twelvefold.settings import Environment, PostgresSettings


@pytest.fixture(scope="module")
async def admin(postgres_superuser_url) -> AsyncIterator[asyncpg.Connection]:
    """A separate connection, to inspect the server and to end other connections."""
    admin = await asyncpg.connect(postgres_superuser_url)
    yield admin
    await admin.close()


@pytest.fixture
async def url(admin, postgres_superuser_url) -> AsyncIterator[str]:
    """A database with one table."""
    name = f"notes_{uuid4().hex[:8]}"
    await admin.execute(f"CREATE DATABASE {name}")
    url = f"{postgres_superuser_url.rpartition('/')[0]}/{name}"
    inside = await asyncpg.connect(url)
    await inside.execute(
        "CREATE TABLE notes (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, body text)"
    )
    await inside.close()
    yield url
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def open_database(url) -> AsyncIterator[Callable[..., Database]]:
    """Open databases with changed settings, and close them after the test."""
    opened: list[Database] = []

    def create(**changed: Any) -> Database:
        values = {"database_url": url, "database_pool_size": 2, "database_pool_timeout": 0.2}
        settings = PostgresSettings(environment=Environment.TESTING, **{**values, **changed})
        opened.append(Database(settings, application_name="tests"))
        return opened[-1]

    yield create
    for database in opened:
        await database.aclose()


@pytest.fixture
def database(open_database) -> Database:
    database: Database = open_database()
    return database


@pytest.fixture
async def proxy(url) -> AsyncIterator[Proxy]:
    async with open_proxy(url) as proxy:
        yield proxy
