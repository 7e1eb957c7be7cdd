"""The Redis client of a process: its bounds and timeouts.

Owns how we connect. What is kept there belongs to the modules that are given the client.
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

_IN_REDIS = {"db.system.name": "redis"}
HEALTH_CHECK_INTERVAL = 15  # seconds without traffic after which a connection is pinged before use


class WaitingPool(ConnectionPool):
    """Waits up to `timeout` seconds for a free connection, then raises ConnectionError.

    The library's BlockingConnectionPool does too, but wakes one waiter per free connection, and
    where that one was cancelled meanwhile, the next one waits in vain although one is free.
    """

    def __init__(self, max_connections: int, timeout: float, **arguments: Any) -> None:
        super().__init__(max_connections=max_connections, **arguments)
        self._timeout = timeout
        self.taken = 0
        self._free = asyncio.Semaphore(max_connections)

    async def get_connection(
        self, command_name: Any = None, *keys: Any, **options: Any
    ) -> AbstractConnection:
        if self._free.locked():
            with metrics.track_wait("redis", RedisConnectionError):
                await self._next()
        else:
            await self._free.acquire()  # at once
        self.taken += 1
        connection: AbstractConnection
        connection = self.get_available_connection()  # type: ignore[no-untyped-call]  # as in 5.3
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def _next(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._free.acquire()
        except TimeoutError as error:
            raise RedisConnectionError("no connection came free in time") from error

    async def release(self, connection: AbstractConnection) -> None:
        await super().release(connection)
        self.taken -= 1
        self._free.release()


class TracedRedis(Redis):
    """Makes a span of each command where the work in hand is being recorded, and costs a look where
    it is not: OpenTelemetry's instrumentation wraps every command of every client.
    """

    def execute_command(self, *args: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        if spans.is_recording() and is_instrumentation_enabled():
            return self._traced(*args, **options)
        response: Coroutine[Any, Any, Any] = super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # as in 5.3
        return response

    async def _traced(self, *args: Any, **options: Any) -> Any:
        # The command's name only: keys hold ids, values anything.
        with spans.span(str(args[0]), _IN_REDIS, kind=SpanKind.CLIENT):
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


def create_redis(settings: RedisSettings) -> Redis:
    """A client of at most `redis_max_connections` connections; replies are bytes.

    Nothing connects before the first command. Connecting, and waiting for a free connection or
    for a reply, each take at most `redis_timeout` seconds. A subscriber therefore waits by
    `get_message(timeout=…)`: `listen()` ends after as long without a message.

    A command that was cancelled or timed out closes its connection, so that its late reply is
    nobody else's. A connection that the server has closed is replaced before the command is
    sent. No command is sent twice: not all of them are idempotent.
    """
    pool = WaitingPool.from_url(
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
    return TracedRedis.from_pool(pool)
