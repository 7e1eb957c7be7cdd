"""Calls to Redis for features that have a fallback: bounded in time, skipped while it is down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from twelvefold.errors import DependencyUnavailable, LoopStalled
from twelvefold.observability.loop_lag import LagWatch
from twelvefold.resilience.circuit_breaker import CircuitBreaker

T = TypeVar("T")

# Tries begin for so many times the timeout while the loop is stalled: by default four seconds. A
# process on a busy node has to ride out a stall of two, after which there must be another try. A
# client is better served late than refused.
_STALL_PATIENCE = 16

# Redis is unreachable or too slow; any other RedisError is its answer to one command.
UNAVAILABLE_ERRORS = (RedisConnectionError, RedisTimeoutError, TimeoutError, OSError)


Argument = str | int | float | bytes | memoryview


class RedisScript(Protocol):
    """A Lua script in Redis."""

    def __call__(
        self, keys: Sequence[str], arguments: Sequence[Argument] = (), /
    ) -> Awaitable[Any]:
        """Return the script's result. Raises as `RedisClient.execute`."""
        ...


class RedisClient(Protocol):
    """The part of a Redis client that features with a fallback need; replies are bytes."""

    def execute(self, *command: Argument) -> Awaitable[Any]:
        """Send a command and return its reply. Raises redis-py's RedisError."""
        ...

    def script(self, source: str) -> RedisScript:
        """Return the Lua script, which Redis loads at its first call."""
        ...


class RedisCalls:
    """Calls to Redis with a time limit and an optional circuit breaker.

    `timeout` (seconds) bounds one try, including connecting. A failure while the
    event loop of this process was late for over half of `timeout` says nothing about Redis: the
    call is tried again until sixteen times `timeout` have passed, and is not reported to `breaker`,
    so that a client that stalls the loop does not disable the features that are kept in Redis.
    """

    def __init__(self, *, timeout: float, breaker: CircuitBreaker | None = None) -> None:
        self._timeout = timeout
        self._breaker = breaker

    async def call(self, command: Callable[[], Awaitable[T]]) -> T:
        """Return the reply. `command` is called once for each try, so it must be repeatable.

        Raises DependencyUnavailable where Redis does not respond or the circuit is open,
        LoopStalled where the loop was stalled in every try, RedisError where Redis refuses the
        command.
        """
        if self._breaker is not None and not self._breaker.allow_call():
            raise DependencyUnavailable("redis")
        until = time.perf_counter() + _STALL_PATIENCE * self._timeout
        while True:
            with LagWatch() as watch:
                try:
                    async with asyncio.timeout(self._timeout):
                        reply = await command()
                except UNAVAILABLE_ERRORS as error:
                    if watch.excuses(self._timeout):
                        if time.perf_counter() < until:
                            continue
                        raise LoopStalled from error
                    if self._breaker is not None:
                        self._breaker.record_failure(error)
                    raise DependencyUnavailable("redis") from error
            if self._breaker is not None:
                self._breaker.record_success()
            return reply
