"""Accounts to attack with, the databases behind the suite, and the watch over what leaks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx
import pytest
from httpx_aiohttp import AiohttpTransport
from tests.running_suite import Suite

SESSIONS = 10  # of one account
T = TypeVar("T")


class Planted:
    """Secrets that these tests have used: none may be found in what the suite writes."""

    def __init__(self) -> None:
        self.secrets: set[str] = set()

    def add(self, secret: str) -> str:
        self.secrets.add(secret)
        return secret

    def found_in(self, files: Iterable[Path]) -> list[str]:
        """`file: secret` for each that is there, the secret cut short."""
        found = []
        for file in files:
            content = file.read_text(errors="replace")
            found += [f"{file.name}: {one[:16]}…" for one in self.secrets if one in content]
        return found


def logs_of(suite: Suite) -> list[Path]:
    """Every file in which the suite's processes and servers have written."""
    assert suite.checkout is not None
    return [file for file in (suite.checkout / ".twelvefold/logs").iterdir() if file.is_file()]


@pytest.fixture(scope="session")
def planted(suite: Suite) -> Iterator[Planted]:
    """Looked for in all logs when everything has been tried."""
    planted = Planted()
    yield planted
    if suite.checkout is not None:
        assert not planted.found_in(logs_of(suite))


@dataclass
class Attacker:
    """Somebody with an account, and a client that is as fast as it can be."""

    http: httpx.AsyncClient
    planted: Planted
    email: str = field(default_factory=lambda: f"mallory.{uuid.uuid4().hex}@example.com")
    password: str = field(default_factory=lambda: f"planted-password-{uuid.uuid4().hex}")
    id: str = ""
    tokens: dict[str, Any] = field(default_factory=dict)

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    async def register(self) -> None:
        self.planted.add(self.password)
        profile = {"email": self.email, "name": "Mallory", "password": self.password}
        response = await self.http.post("/api/v1/users", json=profile)
        assert response.status_code == 201, response.text
        self.id = response.json()["id"]

    async def log_in(self, **headers: str) -> dict[str, Any]:
        """The tokens of a new session, which become the account's."""
        response = await self.token(
            "password", username=self.email, password=self.password, **headers
        )
        assert response.status_code == 200, response.text
        self.tokens = response.json()
        for name in ("access_token", "refresh_token"):
            self.planted.add(self.tokens[name])
        return self.tokens

    async def refresh(self, token: str) -> httpx.Response:
        """The answer; a 503 says that nothing was done and that one shall come again."""
        async with asyncio.timeout(60):
            while True:
                response = await self.token("refresh_token", refresh_token=token)
                if response.status_code != 503:
                    return response
                assert "retry-after" in response.headers

    async def token(self, grant: str, **fields: str) -> httpx.Response:
        form = {"grant_type": grant, **fields}
        response = await self.http.post("/api/v1/auth/token", data=form)
        if response.status_code == 200:
            self.planted.add(response.json()["refresh_token"])
        return response


@pytest.fixture(scope="session")
async def fast(suite: Suite) -> AsyncIterator[httpx.AsyncClient]:
    """A client for many requests at once, whose pool of connections is no bottleneck."""
    transport = AiohttpTransport()
    async with httpx.AsyncClient(base_url=suite.url, timeout=60, transport=transport) as client:
        yield client


@pytest.fixture
async def attacker(fast: httpx.AsyncClient, planted: Planted) -> Attacker:
    """Registered and logged in."""
    mallory = Attacker(fast, planted)
    await mallory.register()
    await mallory.log_in()
    return mallory


@pytest.fixture
def clients(
    fast: httpx.AsyncClient, planted: Planted, at_once: Callable[..., Awaitable[list[Any]]]
) -> Callable[[int], Awaitable[list[Attacker]]]:
    """Registers several: one alone would soon meet the throttle of logins."""

    async def register(count: int) -> list[Attacker]:
        mallories = [Attacker(fast, planted) for _ in range(count)]
        await at_once((mallory.register for mallory in mallories), 4)
        return mallories

    return register


@pytest.fixture
def logged_in(
    clients: Callable[[int], Awaitable[list[Attacker]]],
    at_once: Callable[..., Awaitable[list[Any]]],
) -> Callable[[int], Awaitable[list[dict[str, Any]]]]:
    """The tokens of so many sessions, some of them of one account."""

    async def log_in(count: int) -> list[dict[str, Any]]:
        async def some(mallory: Attacker) -> list[dict[str, Any]]:
            return [await mallory.log_in() for _ in range(SESSIONS)]

        mallories = await clients(-(-count // SESSIONS))
        found = await at_once((partial(some, mallory) for mallory in mallories), 4)
        return [tokens for each in found for tokens in each][:count]

    return log_in


@pytest.fixture
async def postgres(suite: Suite) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """The suite's database, as its superuser."""
    if suite.checkout is None:
        pytest.skip("a suite by URL shows no database")
    connection = await asyncpg.connect(str(suite.endpoints["postgres"]))
    yield connection
    await connection.close()


@pytest.fixture
async def stoppable_api(suite: Suite) -> AsyncIterator[int]:
    """The process id of api, which runs on when the test ends."""
    if suite.checkout is None:
        pytest.skip("a suite by URL cannot be stopped")
    async with httpx.AsyncClient() as client:
        process_id: int = (await client.get(f"{suite.management['api']}/info")).json()["process_id"]
    yield process_id
    os.kill(process_id, signal.SIGCONT)


@pytest.fixture
def secrets_of_suite(suite: Suite) -> dict[str, str]:
    if suite.checkout is None:
        pytest.skip("a suite by URL shows no secrets")
    found: dict[str, str] = json.loads((suite.checkout / ".twelvefold/secrets.json").read_text())
    return found


@pytest.fixture(scope="session")
def at_once() -> Callable[..., Awaitable[list[Any]]]:
    """Runs the calls, at most `width` of them at a time; results in order."""

    async def run(calls: Iterable[Callable[[], Awaitable[T]]], width: int) -> list[T]:
        turn = asyncio.Semaphore(width)

        async def one(call: Callable[[], Awaitable[T]]) -> T:
            async with turn:
                return await call()

        return await asyncio.gather(*(one(call) for call in calls))

    return run


def assert_problem(response: httpx.Response, *statuses: int) -> None:
    """The answer is a problem document with one of these statuses that repeats itself."""
    assert response.status_code in statuses, f"{response.status_code}: {response.text[:300]}"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == response.status_code
    assert response.json()["request_id"] == response.headers["x-request-id"]
