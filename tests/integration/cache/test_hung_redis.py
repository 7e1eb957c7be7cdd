"""A Redis that accepts connections and never replies."""

import asyncio

from twelvefold.cache.cache import RedisCache
from twelvefold.cache.multiplexed import MultiplexedRedis
from twelvefold.resilience.circuit_breaker import CircuitBreaker
from twelvefold.resilience.local_rate_limiter import RatePolicy
from twelvefold.resilience.rate_limit import RedisRateLimiter


async def test_a_hung_redis_costs_one_request_its_timeout_and_the_others_nothing():
    connected = 0

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal connected
        connected += 1  # a command that timed out closes its connection: one for each that is sent
        await reader.read()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, MultiplexedRedis(f"redis://127.0.0.1:{port}", timeout=0.2) as hung:
        breaker = CircuitBreaker("redis", open_seconds=60)
        limiter = RedisRateLimiter(hung, timeout=0.2, breaker=breaker)
        cache = RedisCache(hung, timeout=0.2, breaker=breaker)
        for _ in range(1000):
            assert (await limiter.admit("caller", RatePolicy("wide", 10**6, 60))).local
            assert await cache.get("user:x") is None
    assert connected == 1
