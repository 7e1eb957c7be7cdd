"""The api process on real PostgreSQL, Redis and S3; users alone is a fake."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest
import structlog
from tests.fakes.users_client import FakeUsersClient

from api.app import create_app
from api.rate_limits import AccountLimit
from api.settings import ApiSettings
from twelvefold.contracts.accounts import Role
from twelvefold.http.edge.rate_limits import RateLimitName
from twelvefold.identifiers import new_id
from twelvefold.service.process import ServiceProcess
from twelvefold.settings import without_disabled

WORKER_SECRET = "the-worker-shows-this-on-the-internal-port"


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks():
    """As in a real process: structlog's default prints every frame's variables, for seconds."""
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def api_environment(database, s3_settings, servers, worker_number) -> dict[str, Any]:
    """The settings' fields. Redis is this worker's database, not emptied between tests."""
    return {
        "environment": "testing",
        "database_url": database.url("api_app"),
        "redis_url": f"{servers.redis.rpartition('/')[0]}/{worker_number}",
        "secret_key": "a-key-for-cursors-of-the-tests-only",
        "users_url": "http://127.0.0.1:9",  # no process listens there
        "internal_secret": "the-edge-shows-this-to-users-in-tests",
        "internal_secrets_worker": [WORKER_SECRET],
        "images_max_bytes": 6 * 1024 * 1024,
        # Every test is the same client; tests of limits choose their own.
        **{f"rate_limit_{limit.value}": 1_000_000 for limit in (*RateLimitName, *AccountLimit)},
        **s3_settings,
    }


@pytest.fixture(scope="session")
def users() -> FakeUsersClient:
    return FakeUsersClient()


Open = Callable[..., Awaitable[ServiceProcess]]


@pytest.fixture(scope="session")
async def open_api(api_environment, users) -> AsyncIterator[Open]:
    """Opens processes of one's own, with some settings changed."""
    opened: list[tuple[Any, ServiceProcess]] = []

    async def open_one(*, wait: bool = True, **changed: Any) -> ServiceProcess:
        values = {**api_environment, **changed}
        settings = without_disabled(ApiSettings, **values)(**values)
        process = create_app(settings, users=users)
        context = process.open()
        await context.__aenter__()
        opened.append((context, process))
        async with asyncio.timeout(20):
            while wait and not process.health.ready:
                await asyncio.sleep(0.01)
        return process

    yield open_one
    for context, _ in reversed(opened):
        await context.__aexit__(None, None, None)


@pytest.fixture(scope="session")
async def api(open_api: Open) -> ServiceProcess:
    return await open_api()


def client_of(process: ServiceProcess, token: str | None = None) -> httpx.AsyncClient:
    """A client of the public app, signed in with `token`."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    assert process.public is not None
    transport = httpx.ASGITransport(process.public)
    return httpx.AsyncClient(transport=transport, base_url="http://api.test", headers=headers)


@pytest.fixture
async def anonymous(api) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(api) as client:
        yield client


@dataclass(frozen=True)
class Caller:
    """A client signed in to an account of its own."""

    id: uuid.UUID
    token: str
    client: httpx.AsyncClient


SignIn = Callable[..., Awaitable[Caller]]


@pytest.fixture
async def sign_in(api, users) -> AsyncIterator[SignIn]:
    """Makes a new account with a token of its own."""
    clients = []

    async def make(role: Role = Role.USER, scope: str | None = None, process: Any = None) -> Caller:
        user_id = new_id()
        token = users.token_for(user_id, role=role, scope=scope)
        client = client_of(process or api, token)
        clients.append(client)
        return Caller(user_id, token, client)

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def ada(sign_in: SignIn) -> Caller:
    return await sign_in()


@pytest.fixture
async def bob(sign_in: SignIn) -> Caller:
    return await sign_in()


@pytest.fixture
async def admin(sign_in: SignIn) -> Caller:
    return await sign_in(Role.ADMIN)


@pytest.fixture
async def worker(api) -> AsyncIterator[httpx.AsyncClient]:
    """The internal app, as the worker calls it."""
    headers = {"X-Caller": "worker", "X-Caller-Secret": WORKER_SECRET}
    transport = httpx.ASGITransport(api.internal)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://api.internal", headers=headers
    ) as client:
        yield client


@pytest.fixture
async def sql(database) -> AsyncIterator[asyncpg.Connection]:
    """The superuser's connection, to see and do what no service may."""
    connection = await asyncpg.connect(database.superuser_url)
    yield connection
    await connection.close()
