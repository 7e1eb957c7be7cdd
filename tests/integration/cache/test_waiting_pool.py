"""The pool of redis-py's client: its bound holds, and cancellations lose no connection."""

from __future__ import annotations

import asyncio
import random
from uuid import uuid4

import pytest
from tests.proxy import open_proxy

from twelvefold.cache.redis_client import create_redis
from twelvefold.settings import Environment, RedisSettings


def redis_settings(url: str, **values) -> RedisSettings:
    return RedisSettings(environment=Environment.TESTING, redis_url=url, redis_timeout=5, **values)


@pytest.fixture
def key() -> str:
    return f"pool:{uuid4()}"


async def test_cancellations_at_any_moment_mix_up_no_replies_and_lose_no_connection(
    redis_url, key
) -> None:
    """Cancel half of the readers at a random turn of the loop, with a pool that is too small."""
    chance = random.Random(12)  # noqa: S311  (repeatable, not secret)
    settings = redis_settings(redis_url, redis_max_connections=5)
    async with create_redis(settings) as client:
        for number in range(50):
            await client.set(f"{key}:{number}", str(number))

        async def read(number: int) -> None:
            assert await client.get(f"{key}:{number}") == str(number).encode()

        cancelled = 0
        for _ in range(300):
            clients = [asyncio.create_task(read(chance.randrange(50))) for _ in range(20)]
            for _ in range(chance.randrange(60)):
                await asyncio.sleep(0)
            for reader in clients:
                if chance.random() < 0.5:
                    reader.cancel()
            for result in await asyncio.gather(*clients, return_exceptions=True):
                cancelled += isinstance(result, asyncio.CancelledError)
                assert result is None or isinstance(result, asyncio.CancelledError)
        assert cancelled > 300
        # All five connections are still available at the same time.
        held = [await client.connection_pool.get_connection() for _ in range(5)]
        for connection in held:
            await client.connection_pool.release(connection)


async def test_a_free_connection_is_not_lost_with_a_cancelled_waiter(redis_url) -> None:
    settings = redis_settings(redis_url, redis_max_connections=1)
    async with create_redis(settings) as client:
        pool = client.connection_pool
        for _ in range(20):
            only = await pool.get_connection()
            first, second = (asyncio.create_task(pool.get_connection()) for _ in range(2))
            for _ in range(3):
                await asyncio.sleep(0)  # both wait
            await pool.release(only)
            first.cancel()
            async with asyncio.timeout(1):
                await pool.release(await second)


async def test_the_client_never_exceeds_its_maximum_of_connections(redis_url, key) -> None:
    async with open_proxy(redis_url) as proxy:
        settings = redis_settings(proxy.url(redis_url), redis_max_connections=3)
        async with create_redis(settings) as client:
            await asyncio.gather(*(client.get(key) for _ in range(200)))
        assert proxy.accepted == 3
