"""Bodies are counted while they stream, and nothing over its limit is kept."""

from collections.abc import AsyncIterator

import pytest
from tests.unit.http.demo import demo

JSON = {"Content-Type": "application/json"}


async def chunks(count: int, size: int = 1_000) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size


async def test_a_body_up_to_the_limit_passes_and_one_byte_more_does_not():
    async with demo() as it:
        fits = await it.client.post("/api/v1/upload", content=b"x" * 5_000)
        beyond = await it.client.post("/api/v1/upload", content=b"x" * 5_001)
    assert fits.json() == {"size": 5_000}
    assert beyond.status_code == 413
    assert beyond.headers["connection"] == "close"
    assert beyond.json()["type"] == "/problems/payload-too-large"


async def test_without_a_length_reading_ends_at_the_chunk_over_the_limit():
    taken = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal taken
        async for chunk in chunks(6):
            taken += 1
            yield chunk

    async with demo() as it:
        response = await it.client.post("/api/v1/upload", content=counted())
    assert response.status_code == 413
    assert taken == 6


async def test_a_path_without_its_own_limit_has_the_default():
    async with demo() as it:
        response = await it.client.post("/api/v1/anything", content=b" " * 1_001, headers=JSON)
        chunked = await it.client.post("/api/v1/anything", content=chunks(2), headers=JSON)
        unknown = await it.client.post("/nowhere", content=b" " * 1_001)
    assert response.status_code == chunked.status_code == unknown.status_code == 413


@pytest.mark.parametrize("split", range(1, 7))
async def test_a_nul_is_found_across_chunks(split):
    body = b'{"a":"\\u0000"}'
    at = body.index(b"\\") + split

    async def halves() -> AsyncIterator[bytes]:
        yield body[:at]
        yield body[at:]

    async with demo() as it:
        response = await it.client.post("/api/v1/anything", content=halves(), headers=JSON)
    assert response.status_code == 422


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
async def test_json_in_another_encoding_is_refused(encoding):
    async with demo() as it:
        body = '{"a":"\\u0000"}'.encode(encoding)
        response = await it.client.post("/api/v1/anything", content=body, headers=JSON)
    assert response.status_code == 400


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "identity, gzip", "x-unknown"])
async def test_a_compressed_body_is_refused_with_the_accepted_encoding(encoding):
    headers = {**JSON, "Content-Encoding": encoding}
    async with demo() as it:
        response = await it.client.post("/api/v1/anything", content=b"{}", headers=headers)
    assert response.status_code == 415
    assert response.headers["accept-encoding"] == "identity"
    assert response.json()["type"] == "/problems/unsupported-media-type"


async def test_one_encoding_of_several_lines_is_enough():
    headers = [("Content-Encoding", "gzip"), ("Content-Encoding", "identity")]
    async with demo() as it:
        response = await it.client.post("/api/v1/upload", content=b"x", headers=headers)
    assert response.status_code == 415


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
async def test_the_encoding_identity_is_accepted(encoding):
    headers = {**JSON, "Content-Encoding": encoding}
    async with demo() as it:
        response = await it.client.post("/api/v1/anything", content=b"{}", headers=headers)
    assert response.status_code == 200
