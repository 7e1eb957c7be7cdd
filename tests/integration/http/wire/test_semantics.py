"""Odd but legal requests, HTTP/1.0, hosts and targets, and clients that half-close."""

import asyncio
import json

import pytest
from tests.integration.http.wire.conftest import ENOUGH

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLOSE = b"Connection: close\r\n\r\n"


def parts(response: bytes) -> tuple[bytes, bytes]:
    head, _, body = response.partition(b"\r\n\r\n")
    return head.lower(), body


# Half-closed connections.


async def test_a_half_closed_connection_gets_its_response_and_ends(running):
    response = await running.exchange(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", half_close=True)
    head, body = parts(response)
    assert head.startswith(b"http/1.1 200 ")
    assert json.loads(body)["path"] == "/a"


async def test_a_slow_answer_and_those_behind_it_reach_a_half_closed_connection(running):
    reader, writer = await running.connect()
    writer.write(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n")
    writer.write_eof()
    await running.until(lambda: running.app.seen == ["/held"])
    await running.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n" + CLOSE)
    running.app.released.set()
    async with asyncio.timeout(ENOUGH):
        response = await reader.read()
    assert response.count(b"HTTP/1.1 200 ") == 2
    assert b"held" in response
    writer.close()


async def test_a_post_takes_effect_and_is_answered_on_a_half_closed_connection(running):
    post = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    assert (await running.exchange(post, half_close=True)).endswith(b"abc")


@pytest.mark.parametrize(
    "cut",
    [b"GET /a HTTP/1.1\r\nHos", b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"],
)
async def test_an_incomplete_request_is_a_400(running, cut):
    head, body = parts(await running.exchange(cut, half_close=True))
    assert head.startswith(b"http/1.1 400 ")
    assert json.loads(body)["status"] == 400
    if b"POST" in cut:
        assert await running.app.gone.get() == "/echo"


async def test_an_event_stream_ends_with_its_clients_end(running):
    reader, writer = await running.connect()
    writer.write(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
    async with asyncio.timeout(ENOUGH):
        await reader.readuntil(b"data: 1")
        writer.write_eof()
        await reader.read()
        assert await running.app.gone.get() == "/events"
    writer.close()


# HTTP/1.0.


async def test_http_1_0_gets_no_chunks(running):
    reader, writer = await running.connect()
    writer.write(b"GET /events HTTP/1.0\r\n\r\n")
    async with asyncio.timeout(ENOUGH):
        first = await reader.readuntil(b"data: 1\n\n")
        running.app.released.set()
        rest = await reader.read()
    head, body = parts(first + rest)
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert body == b"data: 1\n\ndata: 2\n\n"
    writer.close()


async def test_http_1_0_gets_no_interim_response(running):
    post = b"POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    response = await running.exchange(post, b"abc")
    assert b" 100 " not in response
    assert response.endswith(b"abc")


async def test_http_1_1_gets_its_interim_response(running):
    reader, writer = await running.connect()
    post = b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n"
    writer.write(post + CLOSE)
    async with asyncio.timeout(ENOUGH):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert (await reader.read()).endswith(b"abc")
    writer.close()


async def test_an_offer_of_an_upgrade_does_not_change_http_1_0(running):
    offer = b"GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    head, _ = parts(await running.exchange(offer + offer))  # it ends by itself
    assert b"connection: close" in head
    assert running.app.seen == ["/"]


# Hosts and targets (RFC 9112 section 3).

BAD_HOSTS = {
    "none": b"",
    "two": b"Host: a\r\nHost: a\r\n",
    "empty": b"Host: \r\n",
    "half a literal": b"Host: [\r\n",
    "no literal": b"Host: [:::]\r\n",
    "a space": b"Host: a b\r\n",
    "a path": b"Host: a/b\r\n",
    "userinfo": b"Host: u@a\r\n",
    "a list": b"Host: a,b c\r\n",
    "no port": b"Host: a:b\r\n",
    "not ascii": b"Host: \xc3\xbc\r\n",
}


@pytest.mark.parametrize("name", BAD_HOSTS)
async def test_a_request_names_one_valid_host(running, name):
    head, body = parts(await running.exchange(b"GET / HTTP/1.1\r\n" + BAD_HOSTS[name] + CLOSE))
    assert head.startswith(b"http/1.1 400 ")
    assert json.loads(body)["status"] == 400
    assert running.app.seen == []


@pytest.mark.parametrize("host", [b"a", b"a_b.c:80", b"127.0.0.1:", b"[::1]:8000", b"x%2dy"])
async def test_valid_hosts_are_served(running, host):
    _, body = parts(await running.exchange(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n" + CLOSE))
    assert json.loads(body)["host"] == host.decode()


async def test_http_1_0_needs_no_host_and_may_not_send_two(running):
    assert (await running.exchange(b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    two = b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"
    assert (await running.exchange(two)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        (b"http://b:80", "b:80", "/"),
        (b"HTTP://b/x", "b", "/x"),
        (b"http://b?q=1", "b", "/"),
        (b"https://[::1]/x", "[::1]", "/x"),
    ],
)
async def test_the_host_of_an_absolute_target_wins(running, target, host, path):
    response = await running.exchange(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n" + CLOSE)
    found = json.loads(parts(response)[1])
    assert (found["hosts"], found["path"]) == ([host], path)


@pytest.mark.parametrize(
    "target", [b"*", b"http://", b"http://u@b/", b"ftp://b/", b"/a#b", b"b:80", b"b", b"/\xff"]
)
async def test_other_targets_are_refused(running, target):
    response = await running.exchange(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n" + CLOSE)
    assert response.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"FOO / HTTP/1.1", 501),
        (b"get / HTTP/1.1", 501),
        (b"PROPFIND / HTTP/1.1", 501),
        (b"CONNECT a:1 HTTP/1.1", 400),
        (b"TRACE / HTTP/1.1", 200),  # known: the app has the 405
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/1.2", 505),
        (b"GET / HTTP/0.9", 505),
        (b"GET /", 400),
        (b"G(T / HTTP/1.1", 400),
    ],
)
@pytest.mark.parametrize("in_pieces", [False, True])
async def test_methods_and_versions(running, line, status, in_pieces):
    sent = line + b"\r\nHost: a\r\n" + CLOSE
    pieces = [sent[at : at + 1] for at in range(len(sent))] if in_pieces else [sent]
    assert (await running.exchange(*pieces)).startswith(b"HTTP/1.1 %d " % status)


async def test_an_unknown_transfer_coding_is_a_501(running):
    post = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    assert (await running.exchange(post)).startswith(b"HTTP/1.1 501 ")


async def test_a_trailer_is_no_header(running):
    reader, writer = await running.connect()
    writer.write(b"POST /echo HTTP/1.1\r\nHost: a\r\nX: head\r\nTransfer-Encoding: chunked\r\n\r\n")
    await running.until(lambda: running.app.seen == ["/echo"])
    (connection,) = running.server.connections
    writer.write(b"0\r\nX: trailer\r\nHost: b\r\n\r\n")
    async with asyncio.timeout(ENOUGH):
        await reader.readuntil(b"\r\n\r\n")
    assert [value for name, value in connection.scope["headers"] if name in (b"x", b"host")] == [
        b"a",
        b"head",
    ]
    writer.close()
