"""GCRA in Redis and, without it, in the process: both behave alike."""

import asyncio
import time
import uuid

import pytest

from twelvefold.cache.multiplexed import MultiplexedRedis
from twelvefold.resilience.local_rate_limiter import LocalRateLimiter, RateLimiter, RatePolicy
from twelvefold.resilience.rate_limit import RedisRateLimiter

POLICY = RatePolicy("test", quota=5, window=60)

ONCE = RatePolicy("once", 1, 3600)


@pytest.fixture(params=["redis", "local"])
async def limiter(request, redis_url):
    if request.param == "local":
        yield LocalRateLimiter()
        return
    async with MultiplexedRedis(redis_url, timeout=5) as client:
        yield RedisRateLimiter(client)


async def test_the_quota_is_admitted_and_the_next_request_learns_when_to_retry(
    limiter: RateLimiter,
):
    decisions = [await limiter.admit("caller", POLICY) for _ in range(6)]
    assert [decision.admitted for decision in decisions] == [True] * 5 + [False]
    assert [decision.remaining for decision in decisions] == [4, 3, 2, 1, 0, 0]
    refused = decisions[-1]
    assert 1 <= refused.retry_after <= 12  # one in 60/5 seconds at the even rate
    assert refused.headers["Retry-After"] == str(refused.retry_after)
    assert refused.headers["RateLimit-Policy"] == '"test";q=5;w=60'
    assert refused.headers["RateLimit"].startswith('"test";r=0;t=')
    assert "Retry-After" not in decisions[0].headers


async def test_each_caller_has_its_own_quota(limiter: RateLimiter):
    for _ in range(6):
        await limiter.admit("first", POLICY)
    assert (await limiter.admit("second", POLICY)).admitted


async def test_a_quota_returns_at_an_even_rate(limiter: RateLimiter):
    """One request a second, neither all at once nor none before the window ends."""
    policy = RatePolicy("even", quota=10, window=10)
    began = time.monotonic()
    assert [(await limiter.admit("caller", policy)).admitted for _ in range(10)] == [True] * 10
    async with asyncio.timeout(policy.window - 2):
        while not (returned := await limiter.admit("caller", policy)).admitted:
            assert returned.retry_after == 1
            await asyncio.sleep(0.05)
    elapsed = time.monotonic() - began
    assert elapsed > 0.99  # Redis has a clock of its own
    assert returned.remaining <= elapsed - 0.99


async def test_exactly_the_quota_is_admitted_under_concurrency(redis_url):
    async with MultiplexedRedis(redis_url, timeout=5) as client:
        limiter = RedisRateLimiter(client)
        policy = RatePolicy("race", quota=20, window=3600)
        decisions = await asyncio.gather(*(limiter.admit("caller", policy) for _ in range(100)))
    assert sum(decision.admitted for decision in decisions) == 20


async def test_marks_are_read_in_the_same_round_trip(redis_url):
    mark, absent = f"revoked:{uuid.uuid4()}", f"revoked:{uuid.uuid4()}"
    async with MultiplexedRedis(redis_url, timeout=5) as client:
        await client.execute("SET", mark, "17")
        decision = await RedisRateLimiter(client).admit("caller", POLICY, [mark, absent])
    assert decision.marks == ("17", "")


async def test_without_redis_the_process_still_limits():
    async with MultiplexedRedis("redis://127.0.0.1:1", timeout=0.1) as unreachable:
        limiter = RedisRateLimiter(unreachable)
        decisions = [await limiter.admit("caller", POLICY) for _ in range(6)]
    assert [decision.admitted for decision in decisions] == [True] * 5 + [False]
    assert all(decision.local for decision in decisions)


async def test_a_reset_key_has_its_whole_quota_again(limiter: RateLimiter):
    for _ in range(2):
        assert [(await limiter.admit("a", ONCE)).admitted for _ in range(2)] == [True, False]
        await limiter.reset("a", ONCE)


async def test_the_first_request_is_admitted_whatever_time_it_is(monkeypatch):
    """A float cannot count single microseconds at the uptimes of common machines."""
    for nanoseconds in range(9_123_456_789_012_345, 9_123_456_789_912_345, 9_001):
        monkeypatch.setattr("time.monotonic_ns", lambda now=nanoseconds: now)
        assert (await LocalRateLimiter().admit("a", ONCE)).admitted
