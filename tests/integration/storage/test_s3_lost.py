"""S3 unavailable, unresponsive, lost during a call, and available again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.integration.storage.streams import content_of, zeros

from twelvefold.errors import DependencyUnavailable
from twelvefold.storage.object_store import S3ObjectStore
from twelvefold.storage.upload import PART_BYTES


async def first_of(store: S3ObjectStore) -> None:
    async for _ in store.list(""):
        return


CALLS: dict[str, Callable[[S3ObjectStore], Awaitable[object]]] = {
    "put": lambda store: store.put("key", zeros(10), "image/png"),
    "put in parts": lambda store: store.put("key", zeros(2 * PART_BYTES), "image/png"),
    "open": lambda store: content_of(store, "key"),
    "stat": lambda store: store.stat("key"),
    "delete": lambda store: store.delete("key"),
    "list": first_of,
    "ensure_bucket": lambda store: store.ensure_bucket(),
    "ping": lambda store: store.ping(),
}


async def outcomes(store: S3ObjectStore) -> dict[str, str | None]:
    """Make every call at once; return the name of the service that each error reports."""
    results = await asyncio.gather(
        *(call(store) for call in CALLS.values()), return_exceptions=True
    )
    return {
        name: result.name if isinstance(result, DependencyUnavailable) else repr(result)
        for name, result in zip(CALLS, results, strict=True)
    }


async def test_every_call_reports_an_unavailable_s3(open_store) -> None:
    store = open_store(s3_endpoint="http://127.0.0.1:1")
    assert await outcomes(store) == dict.fromkeys(CALLS, "s3")


async def test_every_call_ends_within_its_timeout_when_s3_does_not_respond(
    open_store, proxy, s3_settings
) -> None:
    store = open_store(s3_endpoint=proxy.url(s3_settings["s3_endpoint"]), s3_timeout=4)
    await store.ping()
    proxy.hold()
    began = time.monotonic()
    assert await outcomes(store) == dict.fromkeys(CALLS, "s3")
    assert time.monotonic() - began < 11, "three attempts share one call's time"


async def drained(chunks: AsyncIterator[bytes]) -> None:
    async for _ in chunks:
        pass


async def test_s3_lost_while_an_object_is_read_is_reported(behind_proxy, proxy, s3, key) -> None:
    await s3.put(key, zeros(3 * PART_BYTES), "image/png")
    async with behind_proxy.open(key) as chunks:
        await anext(chunks)
        await proxy.refuse()
        with pytest.raises(DependencyUnavailable):
            await drained(chunks)


async def test_an_unresponsive_s3_while_an_object_is_read_is_reported(
    behind_proxy, proxy, s3, key
) -> None:
    await s3.put(key, zeros(3 * PART_BYTES), "image/png")
    async with behind_proxy.open(key) as chunks:
        await anext(chunks)
        proxy.hold()
        with pytest.raises(DependencyUnavailable):
            await drained(chunks)


async def test_s3_works_again_once_it_is_back(behind_proxy, proxy, key) -> None:
    await proxy.refuse()
    with pytest.raises(DependencyUnavailable):
        await behind_proxy.put(key, zeros(1), "image/png")
    await proxy.listen()
    await behind_proxy.put(key, zeros(1), "image/png")
    assert await content_of(behind_proxy, key) == b"\0"
