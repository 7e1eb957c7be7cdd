"""An empty database of jobs for each test, on servers of the whole run."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.integration.jobs.workbench import Workbench, open_database, redis_settings


@pytest.fixture(scope="session")
async def jobs_database(new_database):
    return await new_database()


@pytest.fixture
async def bench(jobs_database, redis_url) -> AsyncIterator[Workbench]:
    sql = await asyncpg.connect(jobs_database.superuser_url)
    await sql.execute("TRUNCATE jobs.jobs CASCADE")
    await sql.execute("UPDATE jobs.suite SET created_at = '2000-01-01'")
    producer = open_database(jobs_database.url("api_app"))
    database = open_database(jobs_database.url("worker_app"))
    yield Workbench(producer, database, sql, redis_settings(redis_url))
    await database.aclose()
    await producer.aclose()
    await sql.close()
