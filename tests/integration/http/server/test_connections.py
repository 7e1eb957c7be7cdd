"""What may come at a socket: sizes, speeds, other protocols, forged headers. Nothing is mocked."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.integration.http.server.running_child import Child, raw_exchange, running


@pytest.fixture(scope="module")
async def child(tmp_path_factory) -> AsyncIterator[Child]:
    """One process for the tests that leave it as it was."""
    async with running(tmp_path_factory.mktemp("child")) as child:
        yield child


async def test_a_body_over_the_limit_gets_its_413_and_is_not_read_to_the_end(child):
    url = httpx.URL(await child.url("public"))
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        b"POST /api/v1/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 5000000000\r\n\r\n"
    )
    # The answer is there before a byte of the body is.
    head, _, body = (await reader.readuntil(b"}")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in head.lower()
    assert json.loads(body)["type"] == "/problems/payload-too-large"
    with pytest.raises(ConnectionError):
        await send_megabytes(writer, 300)
    writer.close()


async def send_megabytes(writer: asyncio.StreamWriter, count: int) -> None:
    for _ in range(count):
        writer.write(b" " * 1_000_000)
        await writer.drain()


async def test_a_client_that_sends_all_before_it_reads_gets_the_413(child):
    async with httpx.AsyncClient() as client:
        response = await client.post(
            await child.url("public") + "/api/v1/echo",
            content=b" " * 20_000_000,
            headers={"Content-Type": "application/json"},
        )
    assert response.status_code == 413


async def test_a_chunked_body_is_refused_at_the_chunk_over_the_limit(child):
    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 1_000_000

    async with httpx.AsyncClient() as client:
        url = await child.url("public") + "/api/v1/upload"
        response = await client.post(url, content=chunks(5))
        assert response.json() == {"size": 5_000_000}
        refused = await client.post(url, content=chunks(6))
        assert refused.status_code == 413


async def test_an_unread_body_does_not_break_its_connection(child):
    async with httpx.AsyncClient() as client:
        url = await child.url("public")
        for _ in range(2):
            response = await client.post(f"{url}/api/v1/refused", content=b" " * 900_000)
            assert response.status_code == 401
        assert (await client.get(f"{url}/api/v1/quick")).status_code == 200


async def test_a_body_that_continues_after_its_response_is_cut_off(child):
    url = httpx.URL(await child.url("public"))
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /api/v1/refused HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n")
    async with asyncio.timeout(15):
        assert (await reader.read()).startswith(b"HTTP/1.1 401 ")  # to its end
    writer.close()


async def test_a_malformed_request_gets_a_problem(child):
    response = await raw_exchange(await child.url("public"), b"NONSENSE\r\n\r\n")
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["status"] == 400


async def test_an_endless_head_is_refused(child):
    sent = b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 200_000
    response = await raw_exchange(await child.url("public"), sent)
    assert response.startswith(b"HTTP/1.1 431 ")


async def test_a_page_can_read_an_error_of_the_socket(tmp_path):
    page = b"https://app.example.com"
    head = b"GET /api/v1/quick HTTP/1.1\r\nHost: x\r\nOrigin: %s\r\n"
    async with running(tmp_path, HTTP_CORS_ORIGINS=page.decode()) as child:
        url = await child.url("public")
        endless = b"X-A: b\r\n" * 2000  # lines: as far as they were read, they say whose page it is
        for origin, rest, status in (
            (page, endless, b"431"),
            (page, b"X-A: b\r\nNo Header\r\n\r\n", b"400"),
            (b"https://evil.example", endless, b"431"),
        ):
            response = (await raw_exchange(url, head % origin + rest)).lower()
            assert response.startswith(b"http/1.1 %s " % status)
            allowed = b"access-control-allow-origin: %s\r\n" % page
            assert (allowed in response) is (origin == page)
            assert b"vary: origin\r\n" in response


async def test_an_encoded_slash_of_a_path_is_no_separator(child):
    url = await child.url("public")
    plain = await raw_exchange(url, b"GET /api/v1/quick HTTP/1.0\r\nHost: x\r\n\r\n")
    encoded = await raw_exchange(url, b"GET /api/v1%2fquick HTTP/1.0\r\nHost: x\r\n\r\n")
    assert (plain[9:12], encoded[9:12]) == (b"200", b"404")


async def test_a_head_of_single_bytes_is_cut_off(child):
    url = httpx.URL(await child.url("public"))
    reader, writer = await asyncio.open_connection(url.host, url.port)
    started = time.monotonic()
    response = asyncio.create_task(reader.read())
    for byte in b"GET /api/v1/quick HTTP/1.1\r\nHost: x" + b"x" * 60:
        writer.write(bytes([byte]))
        done, _ = await asyncio.wait([response], timeout=0.3)
        if done:
            break
    assert (await response).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - started < 15
    writer.close()


async def test_a_post_that_offers_http2_is_served(child):
    body = b'{"a":1}'
    sent = (
        b"POST /api/v1/echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        b"Content-Type: application/json\r\nContent-Length: 7\r\n\r\n" + body
    )
    response = await raw_exchange(await child.url("public"), sent)
    assert response.startswith(b"HTTP/1.1 200 ")
    assert response.endswith(body)


async def test_a_connection_serves_on_after_an_offer_of_http2(child):
    offer = b"Host: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    first = b"GET /api/v1/quick HTTP/1.1\r\n" + offer + b"\r\n"
    second = b"GET /api/v1/quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    response = await raw_exchange(await child.url("public"), first + first + second)
    assert response.count(b"HTTP/1.1 200 ") == 3


async def test_a_connect_is_refused(child):
    sent = b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n"
    response = await raw_exchange(await child.url("public"), sent)
    assert response.startswith(b"HTTP/1.1 400 ")


async def test_forwarded_headers_count_only_from_a_trusted_proxy(tmp_path):
    headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    async with running(tmp_path) as child, httpx.AsyncClient() as client:
        response = await client.get(await child.url("public") + "/api/v1/quick", headers=headers)
        assert response.json() == {"client": "127.0.0.1", "scheme": "http"}
    trusted = running(tmp_path, HTTP_TRUSTED_PROXIES="127.0.0.1,10.0.0.0/8")
    async with trusted as child, httpx.AsyncClient() as client:
        response = await client.get(await child.url("public") + "/api/v1/quick", headers=headers)
        assert response.json() == {"client": "203.0.113.9", "scheme": "https"}
