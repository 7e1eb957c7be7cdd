"""Clients that send a byte a second, to hold shared resources."""

import asyncio
import statistics
import time
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.timeout(300)
CLOSED_WITHIN = 15.0  # seconds
PROBES = 300  # healthy requests of a round
HEAD = b"GET /api/v1/users/me HTTP/1.1\r\nHost: slow.example\r\nX-Slow: " + b"a" * 60
BODY = (
    b"POST /api/v1/users HTTP/1.1\r\nHost: slow.example\r\n"
    b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
)


async def drip(
    address: tuple[str, int], at_once: bytes, slowly: bytes, phase: float
) -> tuple[float, bytes]:
    """Seconds until the server closed, and its output. Begins `phase` seconds later than now:
    bytes that all come in one instant would tell of this process more than of the server.
    """
    await asyncio.sleep(phase)
    reader, writer = await asyncio.open_connection(*address)
    began = time.perf_counter()
    writer.write(at_once)
    response = asyncio.create_task(reader.read())
    try:
        for byte in slowly:
            writer.write(bytes([byte]))
            done, _ = await asyncio.wait([response], timeout=1.0)
            if done:
                break
        output = await response if response.done() else b""
    except ConnectionError:
        output = b""
    finally:
        response.cancel()
        writer.close()
    return time.perf_counter() - began, output


async def healthy(http, rounds: int) -> float:
    """The 99th percentile of healthy requests, one after the other, in seconds: the median of
    several rounds, since three requests of one round that meet a busy machine make its figure.
    """
    found = []
    for _ in range(rounds):
        took = []
        for _ in range(PROBES):
            began = time.perf_counter()
            response = await http.get("/.well-known/jwks.json")
            took.append(time.perf_counter() - began)
            assert response.status_code == 200
        found.append(sorted(took)[int(PROBES * 0.99)])
    return statistics.median(found)


@pytest.mark.parametrize("slow", ["head", "body"])
async def test_slow_clients_are_closed_and_hold_nobody_up(suite, fast, scaled, figure, slow):
    count = scaled(40, 500)
    parts = urlsplit(suite.url)
    address = (parts.hostname or "", parts.port or 80)
    before = await healthy(fast, 5)
    first, rest = (b"", HEAD) if slow == "head" else (BODY, b"x" * 60)
    clients = [
        asyncio.create_task(drip(address, first, rest, number / count)) for number in range(count)
    ]
    await healthy(fast, 1)  # while they connect
    during = await healthy(fast, 5)
    ended = await asyncio.gather(*clients)
    longest = max(seconds for seconds, _ in ended)
    answered = sum(output.startswith(b"HTTP/1.1 408 ") for _, output in ended)
    figure(
        f"clients sending a byte of their {slow} a second",
        clients=count,
        longest_s=longest,
        answered_408=answered,
        healthy_p99_ms=before * 1000,
        during_ms=during * 1000,
        ratio=during / before,
    )
    assert longest < CLOSED_WITHIN
    assert answered == count
