"""Streams for the tests of object stores, and a look at S3's unfinished uploads."""

from __future__ import annotations

from collections.abc import AsyncIterator

from twelvefold.storage.object_store import ObjectStore, S3ObjectStore
from twelvefold.storage.upload import CHUNK_BYTES


async def stream(content: bytes, chunk: int = CHUNK_BYTES) -> AsyncIterator[bytes]:
    for start in range(0, len(content), chunk):
        yield content[start : start + chunk]


async def zeros(size: int) -> AsyncIterator[bytes]:
    """Yield `size` zero bytes in chunks."""
    for start in range(0, size, CHUNK_BYTES):
        yield bytes(min(CHUNK_BYTES, size - start))


async def content_of(store: ObjectStore, key: str) -> bytes:
    async with store.open(key) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def unfinished(store: S3ObjectStore, key: str) -> int:
    """Return the number of multipart uploads of `key` whose parts S3 still holds."""
    client = (await store._clients()).calls
    response = await client.list_multipart_uploads(Bucket=store._bucket, Prefix=key)
    return len(response.get("Uploads", ()))
