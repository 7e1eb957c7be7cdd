"""What counts as an image at the door."""

from collections.abc import AsyncIterator

import pytest
from tests.fakes.object_store import InMemoryObjectStore

from api.service.uploads import Uploads, sniff
from twelvefold.errors import PayloadTooLarge, UnsupportedMedia

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 100
WEBP = b"RIFF\x10\0\0\0WEBP" + b"\0" * 100


async def chunks(content: bytes, size: int = 7) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (WEBP, "image/webp"),
        (b"GIF89a" + b"\0" * 100, None),
        (b"<html><script>", None),
        (b"RIFF\x10\0\0\0WAVE", None),
        (b"\xff\xd8", None),
        (b"", None),
    ],
)
def test_the_first_bytes_tell_the_type(content, expected):
    assert sniff(content[:12]) == expected


async def test_a_type_is_found_however_small_the_chunks_are():
    store = InMemoryObjectStore()
    async with Uploads(store, max_bytes=1000).receive(chunks(PNG, 1), "image/png") as upload:
        upload.keep()
    assert upload.content_type == "image/png"
    assert store.contents[upload.object_key] == PNG


@pytest.mark.parametrize("declared", ["image/jpeg", "application/octet-stream", None])
async def test_the_bytes_decide_and_not_the_header(declared):
    async with Uploads(InMemoryObjectStore(), max_bytes=1000).receive(
        chunks(PNG), declared
    ) as upload:
        assert upload.content_type == "image/png"


@pytest.mark.parametrize("declared", ["text/html", "image/gif", "image/svg+xml"])
async def test_a_type_that_is_not_taken_is_refused_before_a_byte_is_stored(declared):
    store = InMemoryObjectStore()
    with pytest.raises(UnsupportedMedia):
        async with Uploads(store, max_bytes=1000).receive(chunks(PNG), declared):
            pytest.fail("it was received")
    assert not store.contents


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PN"])
async def test_bytes_that_are_no_image_are_refused(content):
    with pytest.raises(UnsupportedMedia):
        async with Uploads(InMemoryObjectStore(), max_bytes=1000).receive(
            chunks(content), "image/png"
        ):
            pytest.fail("it was received")


async def test_the_limit_is_met_while_the_body_streams_and_nothing_stays():
    store = InMemoryObjectStore()
    pulled = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal pulled
        yield PNG
        while True:
            pulled += 1
            yield b"\0" * 100

    with pytest.raises(PayloadTooLarge):
        async with Uploads(store, max_bytes=1000).receive(endless(), "image/png"):
            pytest.fail("it was received")
    assert pulled < 12
    assert not store.contents


async def test_a_body_of_exactly_the_limit_is_taken():
    uploads = Uploads(InMemoryObjectStore(), max_bytes=len(PNG))
    async with uploads.receive(chunks(PNG), "image/png") as upload:
        assert upload.size == len(PNG)


async def test_a_failure_after_the_upload_deletes_the_object():
    store = InMemoryObjectStore()
    receiving = Uploads(store, max_bytes=1000).receive(chunks(PNG), "image/png")
    await receiving.__aenter__()
    assert store.contents
    error = RuntimeError("the transaction failed")
    assert not await receiving.__aexit__(RuntimeError, error, None)
    assert not store.contents


async def test_a_kept_object_outlives_a_commit_of_unknown_outcome():
    store = InMemoryObjectStore()
    receiving = Uploads(store, max_bytes=1000).receive(chunks(PNG), "image/png")
    (await receiving.__aenter__()).keep()
    error = RuntimeError("the connection was lost during the commit")
    assert not await receiving.__aexit__(RuntimeError, error, None)
    assert store.contents
