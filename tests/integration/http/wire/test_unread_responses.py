"""Clients that do not read their responses."""

import asyncio
import socket

import pytest
from tests.integration.http.wire.conftest import ENOUGH, LARGE

from twelvefold.http.server.wire import flow

pytestmark = pytest.mark.asyncio(loop_scope="module")

LARGE_REQUEST = b"GET /large HTTP/1.1\r\nHost: a\r\n%s\r\n"


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"], ids=["kept alive", "closing"])
async def test_a_client_that_never_reads_is_cut(running, header):
    reader, writer = await running.connect()
    writer.transport.pause_reading()
    writer.write(LARGE_REQUEST % header)
    await running.until(lambda: running.app.seen == ["/large"])
    (connection,) = running.server.connections
    await running.until(lambda: connection.transport.get_write_buffer_size() > 0)
    now = asyncio.get_running_loop().time()
    connection.check_reader(now)
    connection.check_reader(now + flow.WRITE_SECONDS / 2)
    assert not connection.transport.is_closing() or header
    connection.check_reader(now + flow.WRITE_SECONDS)
    await running.until(lambda: not running.server.connections)
    assert reader
    writer.close()


async def test_a_client_that_reads_slowly_gets_all_of_its_response(running):
    reader, writer = await running.connect()
    writer.write(LARGE_REQUEST % b"Connection: close\r\n")
    await running.until(lambda: running.app.seen == ["/large"])
    (connection,) = running.server.connections
    got, now = 0, asyncio.get_running_loop().time()
    async with asyncio.timeout(ENOUGH):
        while not reader.at_eof():
            got += len(await reader.read(400_000))
            if running.server.connections:
                now += flow.WRITE_SECONDS - 1
                connection.check_reader(now)
    assert got > len(LARGE)
    writer.close()


async def test_the_server_looks_after_its_readers_with_every_tick(running, monkeypatch):
    monkeypatch.setattr(flow, "WRITE_SECONDS", 0.0)
    reader, writer = await running.connect()
    writer.transport.pause_reading()
    writer.write(LARGE_REQUEST % b"")
    await running.until(lambda: running.app.seen == ["/large"])
    async with asyncio.timeout(ENOUGH):
        while running.server.connections:
            await running.server.on_tick(0)
            await asyncio.sleep(0.01)
    assert reader
    writer.close()


async def test_the_next_pipelined_response_is_not_made_before_the_one_ahead_is_taken(running):
    reader, writer = await running.connect()
    writer.transport.pause_reading()
    writer.write(LARGE_REQUEST % b"" * 4)
    await running.until(lambda: running.app.seen == ["/large"])
    (connection,) = running.server.connections
    await running.until(lambda: connection.pipeline and connection.flow.write_paused)
    await running.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert running.app.seen == ["/large", "/"]
    writer.transport.resume_reading()
    async with asyncio.timeout(ENOUGH):
        await reader.readexactly(4 * len(LARGE))
    assert running.app.seen.count("/large") == 4
    writer.close()


async def test_the_kernel_takes_a_large_response_in_small_parts(running):
    _reader, writer = await running.connect()
    writer.transport.pause_reading()
    writer.write(LARGE_REQUEST % b"")
    await running.until(lambda: running.app.seen == ["/large"])
    (connection,) = running.server.connections
    sending = connection.transport.get_extra_info("socket")
    kept = sending.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    assert kept <= 2 * flow.SEND_BUFFER_BYTES
    writer.transport.abort()
