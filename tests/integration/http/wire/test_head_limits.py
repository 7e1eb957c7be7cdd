"""How large a head may be: the same however its bytes arrive."""

import asyncio
import json

import pytest
from tests.integration.http.wire.conftest import ENOUGH

from twelvefold.http.server.wire.framing import HEAD_BYTES, LINE_BYTES
from twelvefold.http.server.wire.request_head import MAX_FIELDS

pytestmark = pytest.mark.asyncio(loop_scope="module")

START = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"


def in_pieces(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


def head_of(size: int) -> bytes:
    return START + b"X: " + b"a" * (size - len(START) - 7) + b"\r\n\r\n"


HEADS = {
    "one long line": (head_of(120_000), 431),
    "one byte too many": (head_of(HEAD_BYTES + 1), 431),
    "as large as may be": (head_of(HEAD_BYTES), 200),
    "many fields": (START + b"a:b\r\n" * MAX_FIELDS + b"\r\n", 431),
    "line breaks": (b"\r\n" * HEAD_BYTES + head_of(100), 431),
    "a long target": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "a target that never ends": (b"GET /" + b"a" * 70_000, 414),
    "a target of 8,000": (b"GET /" + b"a" * 8_000 + START[5:] + b"\r\n", 200),
    "a line one byte too long": (b"GET /" + b"a" * (LINE_BYTES - 15) + START[5:] + b"\r\n", 414),
}


@pytest.mark.parametrize("piece", [4_001, 200_000], ids=["in pieces", "at once"])
@pytest.mark.parametrize("name", HEADS)
async def test_a_head_is_refused_by_its_size(running, name, piece):
    head, status = HEADS[name]
    response = await running.exchange(*in_pieces(head, piece))
    assert response.startswith(b"HTTP/1.1 %d " % status)
    if status != 200:
        top, _, body = response.partition(b"\r\n\r\n")
        assert b"application/problem+json" in top
        assert json.loads(body)["status"] == status


async def test_a_body_does_not_count_as_head(running):
    body = b"x" * (2 * HEAD_BYTES)
    post = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    assert (await running.exchange(post % len(body) + body)).endswith(body)


@pytest.mark.parametrize("rest", [b"0\r\nX: " + b"a" * 99_000, b"0;" + b"a" * 99_000])
async def test_trailers_and_extensions_of_chunks_are_bounded(running, rest):
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    response = await running.exchange(head, *in_pieces(rest, 4_001))
    assert response.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_requests_in_pieces_of_any_size_are_separated(running, size):
    chunked = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    requests = (
        b"\r\n" + chunked + b"\r\n4\r\n\r\n\r\n\r\n3;e=1\r\nabc\r\n0\r\nX: y\r\n\r\n"
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\r\n\r\n"
        + chunked
        + b"Connection: close\r\n\r\n0\r\n\r\n"
    )
    response = await running.exchange(*in_pieces(requests, size))
    assert response.count(b"HTTP/1.1 200 ") == 3
    assert b"\r\n\r\n\r\n\r\nabc" in response


async def test_tiny_chunks_do_not_block_other_connections(running):
    chunks = 40_000
    reader, writer = await running.connect()
    writer.write(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(b"1\r\nx\r\n" * chunks + b"0\r\n\r\n")
    async with asyncio.timeout(ENOUGH):
        await reader.readuntil(b"x" * chunks)
    writer.close()
