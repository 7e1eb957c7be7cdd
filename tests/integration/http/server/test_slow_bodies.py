"""Bodies that come too slowly or after their answer, at a real socket with short periods."""

import asyncio
import json
import socket

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse

from twelvefold.http.server import protocol
from twelvefold.http.server.server import Server
from twelvefold.http.server.wire.framing import HEAD_BYTES
from twelvefold.settings import HttpSettings

PERIOD = 0.3


@pytest.fixture
async def ended() -> asyncio.Queue[str]:
    """What became of each request, as its app saw it."""
    return asyncio.Queue()


@pytest.fixture
async def address(monkeypatch, ended):
    monkeypatch.setattr(protocol, "BODY_SECONDS", PERIOD)

    async def app(scope, receive, send):
        if scope["path"] == "/unread":
            await PlainTextResponse("no need")(scope, receive, send)
            return
        try:
            body = await Request(scope, receive).body()
        except ClientDisconnect:
            ended.put_nowait("client gone")
            return
        ended.put_nowait("read")
        await PlainTextResponse(str(len(body)))(scope, receive, send)

    server = Server(app, HttpSettings(environment="testing"), proxied=False)
    listening = socket.create_server(("127.0.0.1", 0))
    await server.start(listening)
    yield listening.getsockname()
    await server.drain_and_close(grace=1)


async def sent(address, head: bytes, pieces: int, piece: bytes, pause: float) -> bytes:
    """The answer to a body that comes piece by piece, until it is there or the server is fed up."""
    reader, writer = await asyncio.open_connection(*address)
    response = asyncio.create_task(reader.read())
    writer.write(head)
    for _ in range(pieces):
        writer.write(piece)
        done, _ = await asyncio.wait([response], timeout=pause)
        if done:
            break
    try:
        async with asyncio.timeout(10):
            return await response
    finally:
        writer.close()


def head(length: str) -> bytes:
    return f"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{length}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("framing", "piece"),
    [("content-length: 1000", b"x"), ("transfer-encoding: chunked", b"1\r\nx\r\n")],
)
async def test_a_slow_body_is_refused_and_the_app_sees_a_disconnect(address, ended, framing, piece):
    response = await sent(address, head(framing), 1000, piece, PERIOD / 10)
    top, _, body = response.partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in top
    assert json.loads(body)["status"] == 408
    assert await ended.get() == "client gone"


async def test_a_missing_body_is_refused(address, ended):
    response = await sent(address, head("content-length: 10"), 0, b"", 0)
    assert response.startswith(b"HTTP/1.1 408 ")
    assert await ended.get() == "client gone"


async def test_a_slow_network_is_fast_enough(address, ended):
    pieces, piece = 10, b"x" * protocol.BODY_BYTES
    length = f"content-length: {pieces * len(piece)}"
    response = await sent(address, head(length), pieces, piece, PERIOD / 2)
    assert response.startswith(b"HTTP/1.1 200 ")
    assert response.endswith(str(pieces * len(piece)).encode())
    assert await ended.get() == "read"


async def test_the_rest_of_a_body_after_its_response_is_no_head(address):
    reader, writer = await asyncio.open_connection(*address)
    length = 3 * HEAD_BYTES
    writer.write(f"POST /unread HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n".encode())
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b"no need")).startswith(b"HTTP/1.1 200 ")
        for _ in range(3):
            writer.write(b"x" * HEAD_BYTES)
            await writer.drain()
        writer.write(b"GET /unread HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await reader.readuntil(b"no need")).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_a_connection_over_the_limit_gets_a_503_and_ends():
    async def app(scope, receive, send):
        await PlainTextResponse("welcome")(scope, receive, send)

    settings = HttpSettings(environment="testing", http_max_connections=2)
    server = Server(app, settings, proxied=False)
    listening = socket.create_server(("127.0.0.1", 0))
    await server.start(listening)
    address = listening.getsockname()
    held = [await asyncio.open_connection(*address) for _ in range(2)]
    while len(server.connections) < 2:
        await asyncio.sleep(0)
    reader, writer = await asyncio.open_connection(*address)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in head
    assert json.loads(body)["status"] == 503
    writer.close()
    held[0][1].close()
    while len(server.connections) > 1:
        await asyncio.sleep(0)
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).endswith(b"welcome")
    for _, open_one in [*held, (reader, writer)]:
        open_one.close()
    await server.drain_and_close(grace=1)
