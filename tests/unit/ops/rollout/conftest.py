"""A Kubernetes API server for the tests of what a rollout reads from one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.fakes.api_server import ApiServer, serving


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with serving() as found:
        yield found
