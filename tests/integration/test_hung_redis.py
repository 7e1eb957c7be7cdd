"""A Redis that accepts and never answers: what it costs a process that can do without it."""

import asyncio
import time

from redis.asyncio import Redis

from twelvefold.breaker import Breaker
from twelvefold.cache import RedisCache
from twelvefold.security.rate_limit import Policy, RedisRateLimiter


async def test_a_hung_redis_costs_one_request_its_timeout_and_the_others_nothing():
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()  # accepts everything, answers nothing

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Redis(host="127.0.0.1", port=port) as hung:
        breaker = Breaker("redis")
        limiter = RedisRateLimiter(hung, timeout=0.2, breaker=breaker)
        cache = RedisCache(hung, timeout=0.2, breaker=breaker)
        times = []
        started = time.monotonic()
        while time.monotonic() - started < 1.0:
            began = time.monotonic()
            assert (await limiter.admit("caller", Policy("wide", 10**6, 60))).local
            assert await cache.get("user:x") is None
            times.append(time.monotonic() - began)
            await asyncio.sleep(0)
        await hung.connection_pool.disconnect()
    assert len([spent for spent in times if spent > 0.15]) == 1
