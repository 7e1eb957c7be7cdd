"""The Redis client of a process: its bounds and timeouts.

Owns how we connect. What is kept there belongs to the modules that are given the client.
"""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from .settings import RedisSettings

HEALTH_CHECK_INTERVAL = 15  # seconds of silence after which a connection is pinged before use


def create_redis(settings: RedisSettings) -> Redis:
    """A client of at most `redis_max_connections` connections; replies are bytes.

    Nothing connects before the first command. Connecting, and waiting for a free connection or
    for a reply, each take at most `redis_timeout` seconds. A subscriber therefore waits by
    `get_message(timeout=…)`: `listen()` ends after as long a silence.

    A command that was cancelled or timed out closes its connection, so that its late reply is
    nobody else's. A connection that the server has closed is replaced before the command is
    sent. No command is sent twice: not all of them are idempotent.
    """
    pool = BlockingConnectionPool.from_url(
        settings.redis_url.get_secret_value(),
        max_connections=settings.redis_max_connections,
        timeout=settings.redis_timeout,
        socket_timeout=settings.redis_timeout,
        socket_connect_timeout=settings.redis_timeout,
        socket_keepalive=True,
        health_check_interval=HEALTH_CHECK_INTERVAL,
        # Of redis.asyncio: the other Retry is not awaitable and breaks on the first failure.
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)
