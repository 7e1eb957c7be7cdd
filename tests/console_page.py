"""The developer console of a running suite in a real browser, for tests of its views."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from tests.running_suite import Suite

LOADED = "main:not([aria-busy])"
READY = 60  # seconds for something to appear
PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def console(suite: Suite) -> str:
    """The console's URL."""
    if suite.checkout is None:
        pytest.skip("a suite by URL has no console")
    return str(suite.endpoints["console"])


@pytest.fixture
def link(suite: Suite, console: str) -> str:
    """The console's URL with its token, as the command prints it."""
    return suite.command("console").strip()


@pytest.fixture(scope="module")
async def suite_database(suite: Suite, console: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A superuser connection to the suite's database."""
    connection = await asyncpg.connect(str(suite.endpoints["postgres"]))
    yield connection
    await connection.close()


async def open_page(page: Any, url: str) -> None:
    """Open a view and wait until it shows its data."""
    await page.goto(url)
    await page.wait_for_selector(LOADED)


@asynccontextmanager
async def new_account(suite: Suite) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """A client with the token of a new account, and its address."""
    email = f"{uuid4()}@example.com"
    async with httpx.AsyncClient(base_url=suite.url, timeout=30) as client:
        body = {"email": email, "name": "Ada", "password": PASSWORD}
        assert (await client.post("/api/v1/users", json=body)).status_code == 201
        form = {"grant_type": "password", "username": email, "password": PASSWORD}
        token = (await client.post("/api/v1/auth/token", data=form)).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client, email
