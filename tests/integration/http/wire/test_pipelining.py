"""Pipelined requests: sent before the responses to the requests ahead of them."""

import asyncio
import json

import pytest
from tests.integration.http.wire.conftest import ENOUGH

from twelvefold.http.server.wire.pipeline import MAX_AHEAD

pytestmark = pytest.mark.asyncio(loop_scope="module")

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HELD = b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def test_only_a_few_pipelined_requests_are_parsed_ahead(running):
    reader, writer = await running.connect()
    writer.write(HELD + GET * 10_000)
    await running.until(lambda: running.app.seen == ["/held"])
    (connection,) = running.server.connections
    await running.until(lambda: len(connection.pipeline) == MAX_AHEAD)
    # Another connection's exchange: what the flood could do by now, it has done.
    await running.exchange(LAST)
    assert len(connection.pipeline) == MAX_AHEAD
    assert not connection.transport.is_reading()
    writer.transport.abort()
    assert reader


async def test_pipelined_requests_are_answered_in_their_order(running):
    count = 3 * MAX_AHEAD
    requests = [f"GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for number in range(count)]
    response = await running.exchange(b"".join(requests) + LAST)
    bodies = [
        json.loads(part.partition(b"\r\n\r\n")[2]) for part in response.split(b"HTTP/1.1 200")[1:]
    ]
    assert [body["path"] for body in bodies] == [
        *(f"/{number}" for number in range(count)),
        "/last",
    ]


async def test_pipelined_offers_of_an_upgrade_are_served(running):
    offer = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    response = await running.exchange(offer * 20 + LAST)
    assert response.count(b"HTTP/1.1 200 ") == 21


async def test_a_body_that_waits_in_the_pipeline_is_read_in_its_turn(running):
    body = b"x" * 300_000
    post = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + body
    reader, writer = await running.connect()
    writer.write(HELD + post + LAST)
    await running.until(lambda: running.app.seen == ["/held"])
    running.app.released.set()
    async with asyncio.timeout(ENOUGH):
        response = await reader.read()
    assert response.count(body) == 1
    assert response.count(b"HTTP/1.1 200 ") == 3
    writer.close()


async def test_an_error_after_other_requests_is_sent_after_their_responses(running):
    reader, writer = await running.connect()
    writer.write(HELD + b"NONSENSE\r\n\r\n")
    await running.until(lambda: running.app.seen == ["/held"])
    await running.exchange(LAST)
    running.app.released.set()
    async with asyncio.timeout(ENOUGH):
        first, _, second = (await reader.read()).partition(b"held")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_what_follows_the_last_request_of_a_connection_is_not_served(running):
    response = await running.exchange(LAST + GET)
    assert response.count(b"HTTP/1.1 ") == 1
    assert running.app.seen == ["/last"]


async def test_a_stream_before_another_request_sees_the_disconnect(running):
    reader, writer = await running.connect()
    writer.write(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
    async with asyncio.timeout(ENOUGH):
        await reader.readuntil(b"data: 1")
        writer.transport.abort()
        assert await running.app.gone.get() == "/events"
