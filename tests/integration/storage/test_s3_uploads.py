"""Multipart uploads: what a failed or cancelled one leaves in S3, and the memory of one."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from tests.integration.storage.streams import unfinished, zeros

from twelvefold.errors import DependencyUnavailable
from twelvefold.storage.upload import PART_BYTES


@pytest.mark.parametrize("size", [2 * PART_BYTES, 4 * PART_BYTES + 1])
async def test_a_broken_stream_leaves_no_parts(s3, key, size) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        async for chunk in zeros(size):
            yield chunk
        raise ConnectionResetError("the client went away")

    with pytest.raises(ConnectionResetError):
        await s3.put(key, breaking(), "image/png")
    assert await unfinished(s3, key) == 0


@pytest.mark.parametrize("parts", [1, 2, 3])
async def test_a_cancelled_upload_leaves_no_parts(s3, key, parts) -> None:
    fed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        async for chunk in zeros(parts * PART_BYTES + 1):
            yield chunk
        fed.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(s3.put(key, endless(), "image/png"))
    await fed.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await unfinished(s3, key) == 0
    assert await s3.stat(key) is None


async def test_an_upload_cancelled_while_it_begins_leaves_no_parts(
    behind_proxy, proxy, key
) -> None:
    proxy.hold()
    putting = asyncio.create_task(behind_proxy.put(key, zeros(3 * PART_BYTES), "image/png"))
    await proxy.something_sent.wait()  # it has requested an upload, and its id has not arrived
    putting.cancel()
    proxy.release()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await unfinished(behind_proxy, key) == 0


async def test_closing_waits_until_cancelled_uploads_are_removed(open_store, s3, key) -> None:
    closing = open_store()
    fed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        async for chunk in zeros(2 * PART_BYTES + 1):
            yield chunk
        fed.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(closing.put(key, endless(), "image/png"))
    await fed.wait()
    putting.cancel()
    await asyncio.sleep(0)
    putting.cancel()  # a second time, during the removal
    await asyncio.gather(putting, return_exceptions=True)
    await closing.aclose()
    assert await unfinished(s3, key) == 0


async def test_s3_lost_during_an_upload_is_reported_and_leaves_no_object(
    behind_proxy, proxy, s3, key
) -> None:
    async def cut_off() -> AsyncIterator[bytes]:
        async for chunk in zeros(2 * PART_BYTES):
            yield chunk
        await proxy.refuse()
        yield b"the rest"

    with pytest.raises(DependencyUnavailable):
        await behind_proxy.put(key, cut_off(), "image/png")
    assert await s3.stat(key) is None


async def test_an_upload_never_holds_more_than_two_parts(s3, key) -> None:
    await s3.put(key, zeros(3 * PART_BYTES), "image/png")  # loads everything that is loaded once
    tracemalloc.start()
    try:
        await s3.put(key, zeros(6 * PART_BYTES), "image/png")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A buffer grows by an eighth, and is copied if it cannot grow in place.
    assert peak < 2.5 * PART_BYTES
