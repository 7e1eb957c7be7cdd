"""A stalled event loop is no failure of Redis, and the state in Redis stays in force."""

import asyncio
import time

import pytest

from twelvefold.cache.cache import CacheEntry, RedisCache
from twelvefold.cache.multiplexed import MultiplexedRedis
from twelvefold.errors import LoopStalled
from twelvefold.resilience.circuit_breaker import CircuitBreaker
from twelvefold.resilience.local_rate_limiter import RatePolicy
from twelvefold.resilience.rate_limit import RedisRateLimiter
from twelvefold.resilience.redis_calls import RedisCalls

WIDE = RatePolicy("wide", 10**6, 60)
TIMEOUT = 0.1


@pytest.fixture
async def redis(redis_url):
    async with MultiplexedRedis(redis_url, timeout=TIMEOUT) as client:
        yield client


def stall_soon() -> None:
    """Stall the loop after the calls that have begun wait for their replies."""
    asyncio.get_running_loop().call_soon(time.sleep, 3 * TIMEOUT)


async def test_a_stall_opens_no_breaker_and_the_call_is_repeated(redis):
    breaker = CircuitBreaker("redis", open_seconds=60)
    limiter = RedisRateLimiter(redis, timeout=TIMEOUT, breaker=breaker)
    await limiter.admit("caller", WIDE)
    for _ in range(5):
        decision = asyncio.create_task(limiter.admit("caller", WIDE))
        await asyncio.sleep(0)  # the call is in flight
        stall_soon()
        assert not (await decision).local
    assert breaker.allow_call()


async def test_a_read_of_the_cache_is_repeated_after_a_stall(redis):
    cache = RedisCache(redis, timeout=TIMEOUT, breaker=CircuitBreaker("redis", open_seconds=60))
    await cache.set("stalled:key", CacheEntry(1, b"kept"), 60)
    read = asyncio.create_task(cache.get("stalled:key"))
    await asyncio.sleep(0)
    stall_soon()
    assert await read == CacheEntry(1, b"kept")


async def test_a_stall_of_two_seconds_is_ridden_out(redis):
    limiter = RedisRateLimiter(redis, timeout=0.25, breaker=CircuitBreaker("redis"))
    decision = asyncio.create_task(limiter.admit("caller", WIDE))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(time.sleep, 2.1)
    assert (await decision).admitted


async def test_a_loop_that_stays_stalled_is_503_and_not_a_failure_of_redis(redis):
    breaker = CircuitBreaker("redis", open_seconds=60)
    began = time.monotonic()
    tries = []

    async def stalled() -> None:
        tries.append(time.monotonic() - began)
        time.sleep(2 * TIMEOUT)  # noqa: ASYNC251  (the stall itself)
        await asyncio.sleep(TIMEOUT)

    with pytest.raises(LoopStalled) as refusal:
        await RedisCalls(timeout=TIMEOUT, breaker=breaker).call(stalled)
    assert len(tries) > 1
    assert tries[-1] < 16 * TIMEOUT
    assert refusal.value.status == 503
    assert refusal.value.headers["Retry-After"] == "1"
    assert breaker.allow_call()


async def test_an_unreachable_redis_opens_the_breaker_at_once():
    breaker = CircuitBreaker("redis", open_seconds=60)
    async with MultiplexedRedis("redis://127.0.0.1:1", timeout=TIMEOUT) as unreachable:
        limiter = RedisRateLimiter(unreachable, timeout=TIMEOUT, breaker=breaker)
        assert (await limiter.admit("caller", WIDE)).local
    assert not breaker.allow_call()
