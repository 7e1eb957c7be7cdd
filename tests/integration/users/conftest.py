"""The users process on real PostgreSQL and Redis, and clients that speak as api and as worker."""

from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from tests.integration.users.running_users import API, WORKER, Caller, client_of, settings_for

from twelvefold.service.process import ServiceProcess
from users.app import create_app
from users.dependencies import Container


@pytest.fixture
async def process(database, redis_url) -> AsyncIterator[ServiceProcess]:
    async with create_app(settings_for(database, redis_url)).open() as running:
        yield running


@pytest.fixture
def use_cases(process) -> Container:
    found: Container = process.internal.state.container
    return found


@pytest.fixture
async def api(process) -> AsyncIterator[Caller]:
    async with client_of(process, API) as client:
        yield Caller(client)


@pytest.fixture
async def worker(process) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(process, WORKER) as client:
        yield client


@pytest.fixture
async def sql(database) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to the database."""
    connection = await asyncpg.connect(database.superuser_url)
    yield connection
    await connection.close()
