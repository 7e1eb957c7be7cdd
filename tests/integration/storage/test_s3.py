"""S3: signed URLs, the bucket, and the opening of the client."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from botocore.exceptions import ClientError
from tests.integration.storage.streams import zeros

from twelvefold.errors import DependencyUnavailable
from twelvefold.settings import ObjectStoreSettings
from twelvefold.storage.client import open_clients
from twelvefold.storage.upload import CHUNK_BYTES


async def test_a_signed_url_needs_no_credentials(s3, key) -> None:
    await s3.put(key, zeros(CHUNK_BYTES + 1), "image/webp")
    url = await s3.presign(key, timedelta(minutes=5))
    async with httpx.AsyncClient() as client:
        response = await client.get(url)
        forged = await client.get(url.replace("original", "another"))
        bare = await client.get(url.partition("?")[0])
    assert response.status_code == 200
    assert response.content == bytes(CHUNK_BYTES + 1)
    assert response.headers["content-type"] == "image/webp"
    assert forged.status_code == bare.status_code == 403


async def test_a_url_is_signed_for_one_method(s3, key) -> None:
    await s3.put(key, zeros(5), "image/webp")
    url = await s3.presign(key, timedelta(minutes=5), method="HEAD")
    async with httpx.AsyncClient() as client:
        response = await client.head(url)
        assert (await client.get(url)).status_code == 403
        assert (await client.head(await s3.presign(key, timedelta(minutes=5)))).status_code == 403
    assert (response.status_code, response.headers["content-length"]) == (200, "5")
    assert response.headers["content-type"] == "image/webp"


async def test_a_signed_url_ends(s3, key) -> None:
    await s3.put(key, zeros(1), "image/webp")
    url = await s3.presign(key, timedelta(seconds=1))
    async with httpx.AsyncClient() as client, asyncio.timeout(10):
        while (await client.get(url)).status_code == 200:
            await asyncio.sleep(0.1)
        assert (await client.get(url)).status_code == 403


async def test_a_signed_url_can_carry_any_name_to_save_under(s3, key) -> None:
    await s3.put(key, zeros(1), "image/webp")
    url = await s3.presign(key, timedelta(minutes=5), filename='Zoë "1";\r\nX: y.webp')
    async with httpx.AsyncClient() as client:
        response = await client.get(url)
    assert response.headers["content-disposition"] == (
        "attachment; filename*=UTF-8''Zo%C3%AB%20%221%22%3B%0D%0AX%3A%20y.webp"
    )
    assert "x" not in response.headers


async def test_urls_are_signed_for_the_public_endpoint_without_any_network(
    open_store, s3_settings, key
) -> None:
    store = open_store(
        s3_endpoint="http://127.0.0.1:1", s3_public_endpoint="https://files.example.org"
    )
    url = await store.presign(key, timedelta(minutes=5))
    assert url.startswith(f"https://files.example.org/{s3_settings['s3_bucket']}/{key}?")
    assert "X-Amz-Expires=300" in url


async def test_a_refused_key_is_an_error_and_not_an_outage(open_store) -> None:
    store = open_store(s3_secret_access_key="wrong")
    await store.warm_up()
    with pytest.raises(ClientError):
        await store.ping()
    with pytest.raises(ClientError):
        await store.put("key", zeros(1), "image/png")


async def test_a_missing_bucket_is_created_once(open_store) -> None:
    store = open_store(s3_bucket=f"new-{uuid4()}")
    await store.warm_up()
    with pytest.raises(ClientError):
        await store.ping()
    await asyncio.gather(store.ensure_bucket(), store.ensure_bucket())
    await store.ping()


@pytest.fixture
def opened(monkeypatch) -> list[ObjectStoreSettings]:
    """The settings of each client that was opened."""
    opened: list[ObjectStoreSettings] = []

    def counted(settings: ObjectStoreSettings) -> Any:
        opened.append(settings)
        return open_clients(settings)

    monkeypatch.setattr("twelvefold.storage.object_store.open_clients", counted)
    return opened


async def test_the_first_caller_opens_the_client_for_all_even_when_cancelled(
    open_store, opened
) -> None:
    store = open_store()
    first = asyncio.create_task(store.warm_up())
    await asyncio.sleep(0)
    others = [asyncio.create_task(store.warm_up()) for _ in range(5)]
    first.cancel()
    await asyncio.gather(*others)
    assert len(opened) == 1


async def test_a_probe_alone_opens_no_client(open_store, opened) -> None:
    await open_store().ping()
    with pytest.raises(DependencyUnavailable):
        await open_store(s3_endpoint="http://127.0.0.1:1").ping()
    assert opened == []


async def test_closing_a_store_that_was_never_used_opens_no_client(open_store, opened) -> None:
    store = open_store()
    await store.aclose()
    await store.aclose()
    assert opened == []
