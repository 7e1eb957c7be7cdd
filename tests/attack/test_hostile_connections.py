"""Connections that ask for much at once and read nothing, or whose heads are enormous."""

import asyncio
import contextlib
import re
import statistics
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest

pytestmark = pytest.mark.timeout(300)
HOST = b"Host: a\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
UPGRADE = b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
LARGE = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\n" + HOST + b"\r\n"
FLOOD = 250_000  # bytes of a hostile connection
SORTS = {
    "pipelined requests": GET * (FLOOD // len(GET)),
    "pipelined offers of an upgrade": UPGRADE * (FLOOD // len(UPGRADE)),
    "four large responses that are not read": LARGE * 4,
    "a head of 120,000 bytes": b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 120_000 + b"\r\n\r\n",
    "a URL of 70,000 bytes": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a head of 20,000 lines": b"GET / HTTP/1.1\r\n" + HOST + b"a:b\r\n" * 20_000 + b"\r\n",
}
PROBES = 300  # healthy requests of a round
MOST_MEGABYTES = 32
MOST_STALLED = 0.05  # seconds
CUT_WITHIN = 30.0  # seconds: the write deadline and a look at it


async def healthy(http: httpx.AsyncClient, rounds: int) -> tuple[float, float]:
    """The 99th percentile (the median of some rounds) and the longest of healthy requests."""
    found, longest = [], 0.0
    for _ in range(rounds):
        took = []
        for _ in range(PROBES):
            began = time.perf_counter()
            response = await http.get("/.well-known/jwks.json")
            took.append(time.perf_counter() - began)
            assert response.status_code == 200
        found.append(sorted(took)[int(PROBES * 0.99)])
        longest = max(longest, *took)
    return statistics.median(found), longest


async def rss(management: str) -> int:
    async with httpx.AsyncClient() as client:
        return int((await client.get(f"{management}/info")).json()["rss_bytes"])


async def stalls(management: str) -> int:
    """How often the loop was found later than MOST_STALLED since it started."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{management}/metrics")).text
    name = "event_loop_lag_seconds_"
    within = re.search(rf'^{name}bucket{{le="{MOST_STALLED}"}} (\S+)', text, re.MULTILINE)
    total = re.search(rf"^{name}count (\S+)", text, re.MULTILINE)
    assert within
    assert total
    return int(float(total.group(1)) - float(within.group(1)))


async def hostile(address: tuple[str, int], sent: bytes, gone: asyncio.Event) -> None:
    """Sends it all and reads nothing, for as long as the server bears with it."""
    # The stream stops reading once it holds twice its limit.
    _reader, writer = await asyncio.open_connection(*address, limit=1024)
    with contextlib.suppress(ConnectionError, asyncio.CancelledError):
        writer.write(sent)
        await gone.wait()
    writer.transport.abort()


Measured = Callable[..., None]


@pytest.mark.parametrize("sort", SORTS)
async def test_hostile_connections_hold_no_memory_and_nobody_up(
    suite, fast, scaled, figure: Measured, sort: str
) -> None:
    if not suite.management:
        pytest.skip("a suite by URL does not show its memory")
    count, rounds, management = scaled(5, 50), scaled(1, 5), suite.management["api"]
    parts = urlsplit(suite.url)
    address = (parts.hostname or "", parts.port or 80)
    warm = asyncio.Event()
    warm.set()
    await hostile(address, SORTS[sort], warm)  # what is made at first use is no leak
    started = await stalls(management)
    before, _ = await healthy(fast, rounds)
    memory, middle = await rss(management), await stalls(management)
    gone = asyncio.Event()
    clients: list[asyncio.Task[None]] = [
        asyncio.create_task(hostile(address, SORTS[sort], gone)) for _ in range(count)
    ]
    during, longest = await healthy(fast, rounds)
    grew = (await rss(management) - memory) / 1024 / 1024
    stalled, without = await stalls(management) - middle, middle - started
    gone.set()
    await asyncio.gather(*clients)
    figure(
        sort,
        connections=count,
        rss_grew_mb=grew,
        stalls_over_50_ms=stalled,
        without=without,
        healthy_p99_ms=before * 1000,
        during_ms=during * 1000,
        ratio=during / before,
        longest_ms=longest * 1000,
    )
    assert grew < MOST_MEGABYTES
    if scaled(0, 1):  # small counts run beside other tests
        assert stalled <= without  # what else runs on the machine stalls it as well
        assert during < 2 * before


async def test_who_reads_nothing_is_cut(suite, scaled, figure: Measured) -> None:
    count = scaled(5, 50)
    parts = urlsplit(suite.url)

    async def cut() -> float:
        _reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port or 80, limit=1024
        )
        began = time.perf_counter()
        writer.write(LARGE * 16)  # enough that the kernels' buffers do not hide it
        async with asyncio.timeout(120):
            while not writer.transport.is_closing():
                # A reset is seen by writing; line breaks before a request mean nothing.
                writer.write(b"\r\n")
                await asyncio.sleep(0.5)
        return time.perf_counter() - began

    took = await asyncio.gather(*(cut() for _ in range(count)))
    figure("clients that read nothing of 22 MB", connections=count, longest_s=max(took))
    if scaled(0, 1):
        assert max(took) < CUT_WITHIN
