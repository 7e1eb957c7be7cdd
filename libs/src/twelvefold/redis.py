"""The Redis client of a process: its bounds and timeouts, and calls that can do without it.

Owns how we connect, and when Redis counts as away. What is kept there belongs to the modules that are given the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import SpanKind
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from . import metrics, spans
from .breaker import Breaker
from .errors import DependencyUnavailable, LoopStalled
from .loop_lag import LagWatch
from .settings import RedisSettings

T = TypeVar("T")

# What tells that Redis is not there or too slow, as against refusing one command.
AWAY = (RedisConnectionError, RedisTimeoutError, TimeoutError, OSError)
_IN_REDIS = {"db.system.name": "redis"}
HEALTH_CHECK_INTERVAL = 15  # seconds of silence after which a connection is pinged before use


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
            with metrics.waiting_for("redis", RedisConnectionError):
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
        answer: Coroutine[Any, Any, Any] = super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # as in 5.3
        return answer

    async def _traced(self, *args: Any, **options: Any) -> Any:
        # The command's name only: keys hold ids, values anything.
        with spans.span(str(args[0]), _IN_REDIS, kind=SpanKind.CLIENT):
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


def create_redis(settings: RedisSettings) -> Redis:
    """A client of at most `redis_max_connections` connections; replies are bytes.

    Nothing connects before the first command. Connecting, and waiting for a free connection or
    for a reply, each take at most `redis_timeout` seconds. A subscriber therefore waits by
    `get_message(timeout=…)`: `listen()` ends after as long a silence.

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


class RedisCalls:
    """Calls of whoever can do without Redis: bounded in time, skipped while Redis is away.

    `timeout` (seconds) bounds one try, the wait for a connection included; `breaker` says when to
    skip, without one nothing is skipped. A failure while our own loop was late for over half of
    `timeout` says nothing about Redis: the call is tried again and opens no breaker, so that an
    outsider who stalls the loop switches off nothing that is kept in Redis.
    """

    def __init__(self, *, timeout: float, breaker: Breaker | None = None) -> None:
        self._timeout = timeout
        self._breaker = breaker

    async def call(self, command: Callable[[], Awaitable[T]], *, tries: int = 2) -> T:
        """The reply; `command` is called once for each try, so it must bear being repeated.

        Raises DependencyUnavailable where Redis is away, LoopStalled where each of `tries` fell
        into a stall of our own, RedisError where Redis answers but refuses.
        """
        if self._breaker is not None and not self._breaker.allows():
            raise DependencyUnavailable("redis")
        for _ in range(tries):
            with LagWatch() as watch:
                try:
                    async with asyncio.timeout(self._timeout):
                        reply = await command()
                except AWAY as error:
                    if watch.excuses(self._timeout):
                        continue
                    if self._breaker is not None:
                        self._breaker.failed(error)
                    raise DependencyUnavailable("redis") from error
            if self._breaker is not None:
                self._breaker.succeeded()
            return reply
        raise LoopStalled
