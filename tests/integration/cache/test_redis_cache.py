"""The cache when Redis is unavailable, slow, restarted, or replies to a cancelled caller."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from tests.proxy import Proxy, open_proxy

from twelvefold.cache.cache import CacheEntry, RedisCache, jittered_milliseconds
from twelvefold.cache.multiplexed import MultiplexedRedis, create_multiplexed_redis
from twelvefold.errors import DependencyUnavailable
from twelvefold.resilience.circuit_breaker import OPEN_SECONDS
from twelvefold.settings import Environment, RedisSettings

TIMEOUT = 0.25  # seconds, the default
SLACK = 0.4  # for a busy machine


def redis_settings(url: str, **values) -> RedisSettings:
    return RedisSettings(environment=Environment.TESTING, redis_url=url, **values)


@pytest.fixture
async def proxy(redis_url) -> AsyncIterator[Proxy]:
    async with open_proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy, redis_url) -> AsyncIterator[MultiplexedRedis]:
    async with create_multiplexed_redis(redis_settings(proxy.url(redis_url))) as client:
        yield client


@pytest.fixture
def outcomes() -> Counter[str]:
    return Counter()


@pytest.fixture
async def cache(client, outcomes) -> AsyncIterator[RedisCache]:
    def observe(outcome: str) -> None:
        outcomes[outcome] += 1

    cache = RedisCache(client, timeout=TIMEOUT, observe=observe)
    yield cache
    await cache.aclose()


@pytest.fixture
def key() -> str:
    return f"user:{uuid4()}"


async def row() -> CacheEntry:
    return CacheEntry(1, b"row")


async def regained(cache: RedisCache, key: str) -> None:
    """Wait until the circuit breaker lets a call through."""
    async with asyncio.timeout(OPEN_SECONDS * 3):
        while await cache.get(key) is None:
            await asyncio.sleep(0.01)


async def test_every_outcome_is_reported(cache, key, outcomes) -> None:
    await cache.get(key)
    await cache.set(key, CacheEntry(2, b"row"), ttl=60)
    await cache.get(key)
    await cache.set(key, CacheEntry(1, b"row"), ttl=60)
    await cache.set(key, CacheEntry(3, None), ttl=60)
    await cache.get(key)
    assert outcomes == {"miss": 1, "set": 2, "hit": 1, "stale": 1, "negative": 1}


async def test_a_get_is_one_round_trip(cache, key, proxy) -> None:
    await cache.set(key, CacheEntry(1, b"row"), ttl=60)
    before = proxy.sent
    for _ in range(10):
        await cache.get(key)
    assert proxy.sent - before == 10


async def test_a_miss_that_arrives_late_does_not_load_again(cache, key) -> None:
    """The last of many concurrent readers get their miss after the first load has ended."""
    loads = []

    async def load() -> CacheEntry:
        loads.append(key)
        return CacheEntry(1, b"row")

    await asyncio.gather(*(cache.get(key) for _ in range(40)))  # connected
    clients = [cache.get_or_load(key, load, ttl=60) for _ in range(400)]
    assert set(await asyncio.gather(*clients)) == {CacheEntry(1, b"row")}
    assert len(loads) == 1


async def test_a_ping_reaches_the_server(cache, key, proxy) -> None:
    await cache.get(key)  # connected
    before = proxy.sent
    await cache.ping()
    assert proxy.sent > before


async def test_a_lost_redis_is_a_miss_and_not_an_error(cache, key, proxy, outcomes) -> None:
    await cache.set(key, CacheEntry(1, b"row"), ttl=60)
    await proxy.refuse()
    assert await cache.get(key) is None
    assert await cache.set(key, CacheEntry(2, b"row"), ttl=60) is False
    assert await cache.delete(key) is False
    assert await cache.get_or_load(key, row, ttl=60) == CacheEntry(1, b"row")
    with pytest.raises(DependencyUnavailable):
        await cache.ping()
    assert set(outcomes) == {"set", "unavailable"}


async def test_a_refused_password_is_a_miss(redis_url, key) -> None:
    url = redis_url.replace("redis://:", "redis://:wrong")
    async with create_multiplexed_redis(redis_settings(url)) as client:
        cache = RedisCache(client, timeout=TIMEOUT)
        assert await cache.get(key) is None
        with pytest.raises(DependencyUnavailable):
            await cache.ping()


async def test_a_slow_redis_is_a_miss_within_its_timeout(cache, key, proxy) -> None:
    await cache.get(key)
    proxy.hold()
    began = time.monotonic()
    assert await cache.get_or_load(key, row, ttl=60) == CacheEntry(1, b"row")
    assert time.monotonic() - began < TIMEOUT + SLACK


async def test_the_timeout_includes_connecting(proxy, redis_url, key) -> None:
    async with MultiplexedRedis(proxy.url(redis_url), timeout=1) as client:
        cache = RedisCache(client, timeout=1)
        proxy.hold()
        began = time.monotonic()
        assert await cache.get(key) is None
        assert time.monotonic() - began < 1 + SLACK
    assert proxy.accepted == 1


async def test_after_a_failure_redis_is_skipped_and_then_probed_by_one_call(
    cache, key, proxy
) -> None:
    await cache.set(key, CacheEntry(1, b"row"), ttl=60)
    proxy.hold()
    await cache.get(key)
    before = proxy.sent
    began = time.monotonic()
    for _ in range(100):
        assert await cache.get(key) is None
    assert time.monotonic() - began < TIMEOUT, "no call waits for a Redis that is known to be slow"
    assert proxy.sent == before
    # Still slow when the pause is over: only the probe waits.
    async with asyncio.timeout(OPEN_SECONDS * 3):
        while proxy.sent == before:
            await asyncio.gather(*(cache.get(key) for _ in range(20)))
            await asyncio.sleep(0.01)
    assert proxy.accepted == 2, "one connection before and one for the probe"


async def test_redis_is_used_again_once_it_is_back(cache, key, proxy) -> None:
    await cache.set(key, CacheEntry(1, b"row"), ttl=60)
    await proxy.refuse()
    assert await cache.get(key) is None
    await proxy.listen()
    await regained(cache, key)
    assert await cache.set(key, CacheEntry(2, b"row"), ttl=60)


async def test_connections_that_the_server_has_closed_cost_no_miss(cache, key, proxy) -> None:
    await cache.set(key, CacheEntry(1, b"row"), ttl=60)
    await asyncio.gather(*(cache.get(key) for _ in range(10)))
    proxy.drop()
    async with asyncio.timeout(5):
        while not proxy.is_idle:
            await asyncio.sleep(0.01)
    assert (
        await asyncio.gather(*(cache.get(key) for _ in range(10))) == [CacheEntry(1, b"row")] * 10
    )


async def test_a_redis_without_the_script_gets_it_again(cache, client, key) -> None:
    await cache.set(key, CacheEntry(1, b"row"), ttl=60)
    await client.execute("SCRIPT", "FLUSH")
    assert await cache.set(key, CacheEntry(2, b"row"), ttl=60)
    assert await cache.get(key) == CacheEntry(2, b"row")


async def test_a_refused_command_is_a_miss_and_does_not_open_the_circuit_breaker(
    cache, client, key, outcomes
) -> None:
    await client.execute("RPUSH", key, "not an entry")
    assert await cache.get(key) is None
    assert await cache.set(key, CacheEntry(1, b"row"), ttl=60) is False
    assert await cache.get_or_load(key, row, ttl=60) == CacheEntry(1, b"row")
    assert outcomes == {"unavailable": 4}
    assert await cache.set(f"{key}:other", CacheEntry(1, b"row"), ttl=60)


async def test_a_value_that_is_no_entry_is_a_miss_and_is_replaced(cache, client, key) -> None:
    await client.execute("SET", key, b"short")
    assert await cache.get(key) is None
    assert await cache.set(key, CacheEntry(1, b"row"), ttl=60)
    assert await cache.get(key) == CacheEntry(1, b"row")


async def test_a_cancelled_read_does_not_leave_its_reply_to_the_next(cache, key, proxy) -> None:
    await cache.set(f"{key}:mine", CacheEntry(1, b"mine"), ttl=60)
    await cache.set(f"{key}:yours", CacheEntry(1, b"yours"), ttl=60)
    proxy.hold()
    mine = asyncio.create_task(cache.get(f"{key}:mine"))
    await proxy.something_sent.wait()
    mine.cancel()
    with pytest.raises(asyncio.CancelledError):
        await mine
    proxy.release()
    assert await cache.get(f"{key}:yours") == CacheEntry(1, b"yours")


def test_the_time_to_live_varies_by_a_tenth() -> None:
    drawn = {jittered_milliseconds(100) for _ in range(1000)}
    assert min(drawn) >= 90_000
    assert max(drawn) <= 110_000
    assert len(drawn) > 500
    assert jittered_milliseconds(0.0001) == 1
