"""Rate limits by GCRA, one Redis round trip a decision, with a fallback inside the process.

The generic cell rate algorithm (ITU-T I.371, and as used by many gateways) keeps one number a
key: the theoretical arrival time. It allows a burst of the whole quota and then an even rate, has
no window edges, and is atomic in a short script. The same script reads the caller's revocation
marks, so that admitting a request costs one round trip and not two. With Redis away each process
limits by itself: never off, at most the quota times the number of processes.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from twelvefold.errors import DependencyUnavailable, LoopStalled

from .circuit_breaker import CircuitBreaker
from .redis_calls import RedisCalls

_MICROSECONDS = 1_000_000
_LOCAL_KEYS = 10_000  # most recent keys that the fallback remembers
_log = structlog.get_logger(__name__)

# KEYS[1] the bucket, KEYS[2..] revocation marks; ARGV: emission interval in µs, quota.
# Returns admitted, remaining, µs until the next is admitted, µs until the quota is whole, marks.
_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, quota = tonumber(ARGV[1]), tonumber(ARGV[2])
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local marks = {}
for index = 2, #KEYS do marks[index - 1] = redis.call('GET', KEYS[index]) or '' end
local following = arrival + interval
local wait = following - quota * interval - now
if wait > 0 then return {0, 0, wait, arrival - now, marks} end
redis.call('SET', KEYS[1], string.format('%.0f', following),
           'PX', math.ceil((following - now) / 1000))
return {1, math.floor(-wait / interval), 0, following - now, marks}
"""


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """`quota` requests in `window` seconds, under a name that clients see."""

    name: str
    quota: int
    window: int

    @property
    def interval(self) -> int:
        """Microseconds between two admissions at the even rate."""
        return self.window * _MICROSECONDS // self.quota


@dataclass(frozen=True, slots=True)
class Admission:
    """The decision on one request; times in seconds, rounded up."""

    policy: RatePolicy
    admitted: bool
    remaining: int
    retry_after: int
    reset_after: int
    marks: tuple[str, ...] = ()
    local: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """Draft header fields (draft-ietf-httpapi-ratelimit-headers), and Retry-After on refusal."""
        name = f'"{self.policy.name}"'
        fields = {
            "RateLimit-Policy": f"{name};q={self.policy.quota};w={self.policy.window}",
            "RateLimit": f"{name};r={self.remaining};t={self.reset_after}",
        }
        if not self.admitted:
            fields["Retry-After"] = str(max(1, self.retry_after))
        return fields


def _seconds(microseconds: float) -> int:
    return -int(-microseconds // _MICROSECONDS)


class RateLimiter(Protocol):
    async def admit(
        self, key: str, policy: RatePolicy, revocation_keys: Sequence[str] = ()
    ) -> Admission:
        """Counts one request of `key`; reads the values of the keys in `revocation_keys` beside it.

        Raises LoopStalled where our own loop stood still for so long that Redis could not be asked.
        """

    async def reset(self, key: str, *policies: RatePolicy) -> None:
        """Makes the quota of `key` whole again. Best effort where Redis is away."""


class LocalRateLimiter:
    """GCRA in memory, for one process, over the most recent keys only. Reads no marks."""

    def __init__(self) -> None:
        self._arrivals: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def admit(
        self, key: str, policy: RatePolicy, revocation_keys: Sequence[str] = ()
    ) -> Admission:
        # Whole numbers: a rounding error would refuse the first request of all.
        now = time.monotonic_ns() // 1000
        bucket = (policy.name, key)
        arrival = max(self._arrivals.get(bucket, 0), now)
        following = arrival + policy.interval
        wait = following - policy.quota * policy.interval - now
        if wait > 0:
            return Admission(policy, False, 0, _seconds(wait), _seconds(arrival - now), local=True)
        self._arrivals[bucket] = following
        self._arrivals.move_to_end(bucket)
        if len(self._arrivals) > _LOCAL_KEYS:
            self._arrivals.popitem(last=False)
        remaining = int(-wait // policy.interval)
        return Admission(policy, True, remaining, 0, _seconds(following - now), local=True)

    async def reset(self, key: str, *policies: RatePolicy) -> None:
        for policy in policies:
            self._arrivals.pop((policy.name, key), None)


class RedisRateLimiter:
    """GCRA in Redis, shared by every process; falls back to the process where Redis is away.

    `timeout` (seconds) bounds a whole call, the wait for a connection included. After a failure
    Redis is skipped for a second.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        timeout: float = 0.25,
        breaker: CircuitBreaker | None = None,
        prefix: str = "rate",
    ) -> None:
        self._redis = redis
        self._script = redis.register_script(_SCRIPT)
        self._calls = RedisCalls(timeout=timeout, breaker=breaker or CircuitBreaker("redis"))
        self._local = LocalRateLimiter()
        self._prefix = prefix

    async def admit(
        self, key: str, policy: RatePolicy, revocation_keys: Sequence[str] = ()
    ) -> Admission:
        keys = [f"{self._prefix}:{policy.name}:{key}", *revocation_keys]
        arguments = [policy.interval, policy.quota]
        try:
            # A try whose reply was lost may have counted: then the request counts twice.
            response = await self._calls.call(lambda: self._script(keys=keys, args=arguments))
        except DependencyUnavailable:
            return await self._local.admit(key, policy)
        except RedisError as error:
            # Redis answers, but refuses: out of memory, read-only.
            _log.warning("rate_limit_redis_error", error=type(error).__name__)
            return await self._local.admit(key, policy)
        admitted, remaining, wait, reset, values = response
        return Admission(
            policy,
            admitted == 1,
            int(remaining),
            _seconds(wait),
            _seconds(reset),
            tuple(value.decode() if isinstance(value, bytes) else value for value in values),
        )

    async def reset(self, key: str, *policies: RatePolicy) -> None:
        await self._local.reset(key, *policies)
        keys = [f"{self._prefix}:{policy.name}:{key}" for policy in policies]
        with suppress(DependencyUnavailable, LoopStalled):
            try:
                await self._calls.call(lambda: self._redis.delete(*keys))
            except RedisError as error:
                _log.warning("rate_limit_redis_error", error=type(error).__name__)
