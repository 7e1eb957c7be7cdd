"""The Redis client of a process: connections, bounds and timeouts.

The modules that use the client own the keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import SpanKind
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from twelvefold.observability import metrics, spans
from twelvefold.settings import RedisSettings

_SPAN_ATTRIBUTES = {"db.system.name": "redis"}
HEALTH_CHECK_INTERVAL = 15  # idle seconds after which a connection is pinged before use


class WaitingPool(ConnectionPool):
    """Wait up to `timeout` seconds for a free connection, then raise ConnectionError.

    The library's BlockingConnectionPool wakes one waiter for each free connection. If that waiter
    was cancelled, the next one goes on waiting although a connection is free.
    """

    def __init__(self, max_connections: int, timeout: float, **arguments: Any) -> None:
        super().__init__(max_connections=max_connections, **arguments)
        self._timeout = timeout
        self.in_use = 0
        self._free = asyncio.Semaphore(max_connections)

    async def get_connection(
        self, command_name: Any = None, *keys: Any, **options: Any
    ) -> AbstractConnection:
        if self._free.locked():
            with metrics.track_wait("redis", RedisConnectionError):
                await self._wait_for_connection()
        else:
            await self._free.acquire()  # does not wait
        self.in_use += 1
        connection: AbstractConnection
        connection = self.get_available_connection()  # type: ignore[no-untyped-call]  # untyped in redis 5
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def _wait_for_connection(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._free.acquire()
        except TimeoutError as error:
            raise RedisConnectionError("no connection became free in time") from error

    async def release(self, connection: AbstractConnection) -> None:
        await super().release(connection)
        self.in_use -= 1
        self._free.release()


class TracedRedis(Redis):
    """Make a span of each command within recorded work.

    OpenTelemetry's own instrumentation wraps every command, also of unrecorded work.
    """

    def execute_command(self, *args: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        if spans.is_recording() and is_instrumentation_enabled():
            return self._traced(*args, **options)
        response: Coroutine[Any, Any, Any] = super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # untyped in redis 5
        return response

    async def _traced(self, *args: Any, **options: Any) -> Any:
        # The command's name only: keys hold ids, and values may hold secrets.
        with spans.span(str(args[0]), _SPAN_ATTRIBUTES, kind=SpanKind.CLIENT):
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


def create_redis(settings: RedisSettings) -> Redis:
    """Return a client of at most `redis_max_connections` connections; replies are bytes.

    It connects with the first command. Connecting, waiting for a free connection and waiting for a
    reply each take at most `redis_timeout` seconds. A subscriber therefore uses
    `get_message(timeout=…)`: `listen()` would end after that time without a message.

    A cancelled or timed-out command closes its connection, so that no other command reads its late
    reply. A connection that the server has closed is replaced before a command is sent. No command
    is sent twice, because not all commands are idempotent.
    """
    pool = WaitingPool.from_url(
        settings.redis_url.get_secret_value(),
        max_connections=settings.redis_max_connections,
        timeout=settings.redis_timeout,
        socket_timeout=settings.redis_timeout,
        socket_connect_timeout=settings.redis_timeout,
        socket_keepalive=True,
        health_check_interval=HEALTH_CHECK_INTERVAL,
        # From redis.asyncio: the other Retry is not awaitable and fails at the first error.
        retry=Retry(NoBackoff(), 0),
    )
    return TracedRedis.from_pool(pool)
