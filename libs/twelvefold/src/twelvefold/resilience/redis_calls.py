"""Calls of those who can do without Redis: bounded in time, skipped while it is unavailable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from twelvefold.errors import DependencyUnavailable, LoopStalled
from twelvefold.observability.loop_lag import LagWatch
from twelvefold.resilience.circuit_breaker import CircuitBreaker

T = TypeVar("T")

# What tells that Redis is not there or too slow, as against refusing one command.
UNAVAILABLE_ERRORS = (RedisConnectionError, RedisTimeoutError, TimeoutError, OSError)


class RedisCalls:
    """Calls of whoever can do without Redis: bounded in time, skipped while Redis is away.

    `timeout` (seconds) bounds one try, the wait for a connection included; `breaker` says when to
    skip, without one nothing is skipped. A failure while our own loop was late for over half of
    `timeout` says nothing about Redis: the call is tried again and opens no breaker, so that an
    outsider who stalls the loop switches off nothing that is kept in Redis.
    """

    def __init__(self, *, timeout: float, breaker: CircuitBreaker | None = None) -> None:
        self._timeout = timeout
        self._breaker = breaker

    async def call(self, command: Callable[[], Awaitable[T]], *, tries: int = 2) -> T:
        """The reply; `command` is called once for each try, so it must bear being repeated.

        Raises DependencyUnavailable where Redis is away, LoopStalled where each of `tries` fell
        into a stall of our own, RedisError where Redis answers but refuses.
        """
        if self._breaker is not None and not self._breaker.allow_call():
            raise DependencyUnavailable("redis")
        for _ in range(tries):
            with LagWatch() as watch:
                try:
                    async with asyncio.timeout(self._timeout):
                        reply = await command()
                except UNAVAILABLE_ERRORS as error:
                    if watch.excuses(self._timeout):
                        continue
                    if self._breaker is not None:
                        self._breaker.record_failure(error)
                    raise DependencyUnavailable("redis") from error
            if self._breaker is not None:
                self._breaker.record_success()
            return reply
        raise LoopStalled
