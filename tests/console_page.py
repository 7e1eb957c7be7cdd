"""The developer console of a running suite in a real browser, for tests of its views."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from tests.running_suite import Suite

LOADED = "main:not([aria-busy])"
READY = 60  # seconds for something to appear


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
