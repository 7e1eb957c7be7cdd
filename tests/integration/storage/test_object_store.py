"""The conformance suite of object stores, run over each implementation, the fake included."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from tests.fakes.object_store import InMemoryObjectStore
from tests.integration.storage.streams import content_of, stream

from twelvefold.errors import NotFound
from twelvefold.storage.object_store import ObjectStore
from twelvefold.storage.upload import CHUNK_BYTES, PART_BYTES


@pytest.fixture(params=["s3", "memory"])
def store(request) -> ObjectStore:
    kind: str = request.param
    store: ObjectStore = (
        InMemoryObjectStore() if kind == "memory" else request.getfixturevalue(kind)
    )
    return store


SIZES = [0, 1, CHUNK_BYTES + 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 7]


@pytest.mark.parametrize("size", SIZES)
async def test_what_was_put_is_read_back_whatever_its_size(store, key, size) -> None:
    content = hashlib.shake_256(b"seed").digest(size)
    stored = await store.put(key, stream(content), "image/png")
    assert stored.key == key
    assert stored.size == size
    assert stored.sha256 == hashlib.sha256(content).hexdigest()
    assert stored.etag
    assert '"' not in stored.etag
    assert await content_of(store, key) == content


async def test_the_size_of_the_chunks_makes_no_difference(store, key) -> None:
    content = hashlib.shake_256(b"seed").digest(PART_BYTES + 4321)
    for chunk in (1_000_003, len(content)):
        stored = await store.put(key, stream(content, chunk), "image/png")
        assert stored.sha256 == hashlib.sha256(content).hexdigest()
        assert await content_of(store, key) == content


async def test_a_put_replaces_what_was_there(store, key) -> None:
    first = await store.put(key, stream(b"first"), "image/png")
    second = await store.put(key, stream(b"second"), "image/png")
    assert first.etag != second.etag
    assert await content_of(store, key) == b"second"


async def test_an_object_is_read_in_chunks_of_64_kib_at_most(store, key) -> None:
    await store.put(key, stream(bytes(3 * CHUNK_BYTES + 5)), "image/png")
    async with store.open(key) as chunks:
        sizes = [len(chunk) async for chunk in chunks]
    assert max(sizes) <= CHUNK_BYTES
    assert sum(sizes) == 3 * CHUNK_BYTES + 5


async def test_a_read_that_stops_early_leaves_the_store_usable(store, key) -> None:
    await store.put(key, stream(bytes(PART_BYTES)), "image/png")
    for _ in range(30):  # more than the pool has connections
        async with store.open(key) as chunks:
            assert await anext(chunks)
    assert await store.stat(key)


async def test_a_missing_object_is_not_found(store, key) -> None:
    with pytest.raises(NotFound):
        async with store.open(key):
            pytest.fail("there is nothing to read")
    assert await store.stat(key) is None


async def test_an_object_can_be_looked_at_without_reading_it(store, key) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    stored = await store.put(key, stream(b"content"), "image/png")
    found = await store.stat(key)
    assert found is not None
    assert (found.key, found.size, found.etag) == (key, 7, stored.etag)
    assert found.sha256 == hashlib.sha256(b"content").hexdigest()
    assert found.modified_at is not None
    assert found.modified_at > before


@pytest.mark.parametrize("size", [10, PART_BYTES + 10, 3 * PART_BYTES])
async def test_a_stream_that_breaks_leaves_no_object(store, key, size) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        async for chunk in stream(bytes(size)):
            yield chunk
        raise ConnectionResetError("the client went away")

    with pytest.raises(ConnectionResetError):
        await store.put(key, breaking(), "image/png")
    assert await store.stat(key) is None


@pytest.mark.parametrize("size", [10, PART_BYTES + 10, 3 * PART_BYTES])
async def test_a_cancelled_put_leaves_no_object(store, key, size) -> None:
    fed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        async for chunk in stream(bytes(size)):
            yield chunk
        fed.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(store.put(key, endless(), "image/png"))
    await fed.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await store.stat(key) is None


async def test_a_delete_is_the_same_the_second_time(store, key) -> None:
    await store.put(key, stream(b"content"), "image/png")
    await store.delete(key)
    await store.delete(key)
    assert await store.stat(key) is None


async def test_a_list_holds_every_object_of_the_prefix_and_no_other(store) -> None:
    prefix = f"{uuid4()}/"
    names = [f"{prefix}{number:02}" for number in range(8)]  # several pages of S3's
    for name in [*names, f"{uuid4()}/other", prefix.rstrip("/")]:
        await store.put(name, stream(name.encode()), "text/plain")
    found = [entry async for entry in store.list(prefix)]
    assert [entry.key for entry in found] == names
    assert {entry.size for entry in found} == {len(names[0])}
    assert all(entry.modified_at and entry.etag for entry in found)
    assert [entry async for entry in store.list(f"{uuid4()}/")] == []


@pytest.mark.parametrize("seconds", [0, 0.5, 7 * 24 * 3600 + 1])
async def test_a_url_is_signed_for_a_second_to_seven_days(store, key, seconds) -> None:
    with pytest.raises(ValueError, match="7 days"):
        await store.presign(key, timedelta(seconds=seconds))


async def test_a_url_is_signed_without_looking_for_the_object(store, key) -> None:
    assert key in await store.presign(key, timedelta(minutes=5))


async def test_the_bucket_can_be_ensured_again_and_again(store, key) -> None:
    await store.put(key, stream(b"content"), "image/png")
    await store.ensure_bucket()
    await store.ensure_bucket()
    await store.ping()
    assert await content_of(store, key) == b"content"
