"""Stores on real S3, directly and through a faulty proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
from tests.proxy import Proxy, open_proxy

from twelvefold.settings import Environment, ObjectStoreSettings
from twelvefold.storage.object_store import S3ObjectStore


@pytest.fixture(scope="session")
async def s3(s3_settings) -> AsyncIterator[S3ObjectStore]:
    """A store with pages of three, opened once for all tests because its import takes seconds."""
    settings = ObjectStoreSettings(environment=Environment.TESTING, **s3_settings)
    store = S3ObjectStore(settings, page_size=3)
    yield store
    await store.aclose()


@pytest.fixture
async def open_store(s3_settings) -> AsyncIterator[Callable[..., S3ObjectStore]]:
    """Create stores with changed settings, and close them after the test."""
    made: list[S3ObjectStore] = []

    def create(**changed: Any) -> S3ObjectStore:
        values = {"environment": Environment.TESTING, **s3_settings, **changed}
        made.append(S3ObjectStore(ObjectStoreSettings(**values)))
        return made[-1]

    yield create
    for store in made:
        await store.aclose()


@pytest.fixture
async def proxy(s3_settings) -> AsyncIterator[Proxy]:
    async with open_proxy(s3_settings["s3_endpoint"]) as proxy:
        yield proxy


@pytest.fixture
async def behind_proxy(open_store, proxy, s3_settings) -> S3ObjectStore:
    endpoint = proxy.url(s3_settings["s3_endpoint"])
    store: S3ObjectStore = open_store(s3_endpoint=endpoint, s3_timeout=1)
    await store.ping()  # opens the client, which the test must not measure
    return store


@pytest.fixture
def key() -> str:
    return f"images/{uuid4()}/original"
