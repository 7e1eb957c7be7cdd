"""Rate limits by GCRA: one Redis round trip per decision, with a fallback inside the process.

The generic cell rate algorithm (ITU-T I.371) keeps one number per key: the theoretical arrival
time. It allows a burst of the whole quota and then an even rate, has no window edges, and is atomic
in a short script. The same script reads the caller's revocation marks, so that an admission costs
one round trip instead of two. While Redis is unavailable each process applies the limits by itself:
clients get at most the quota times the number of processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import structlog
from redis.exceptions import RedisError

from twelvefold.errors import DependencyUnavailable, LoopStalled

from .circuit_breaker import CircuitBreaker
from .local_rate_limiter import Admission, LocalRateLimiter, RatePolicy, to_seconds
from .redis_calls import RedisCalls, RedisClient

_log = structlog.get_logger(__name__)

# KEYS[1]: the bucket, KEYS[2..]: revocation marks; ARGV: emission interval in µs, quota.
# Returns admitted, remaining, µs until the next admission, µs until the quota is full, marks.
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


class RedisRateLimiter:
    """GCRA in Redis, shared by all processes; while Redis is unavailable, in this process alone.

    `timeout` (seconds) bounds a whole call, including connecting. After a failure
    Redis is skipped for a second.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        timeout: float = 0.25,
        breaker: CircuitBreaker | None = None,
        prefix: str = "rate",
    ) -> None:
        self._redis = redis
        self._script = redis.script(_SCRIPT)
        self._calls = RedisCalls(timeout=timeout, breaker=breaker or CircuitBreaker("redis"))
        self._local = LocalRateLimiter()
        self._prefix = prefix

    async def admit(
        self, key: str, policy: RatePolicy, revocation_keys: Sequence[str] = ()
    ) -> Admission:
        keys = [f"{self._prefix}:{policy.name}:{key}", *revocation_keys]
        arguments = [policy.interval, policy.quota]
        try:
            # A try whose reply was lost may have been counted: then the request counts twice.
            response = await self._calls.call(lambda: self._script(keys, arguments))
        except DependencyUnavailable:
            return await self._local.admit(key, policy)
        except RedisError as error:
            # Redis responds, but refuses the script: out of memory, read-only.
            _log.warning("rate_limit_redis_error", error=type(error).__name__)
            return await self._local.admit(key, policy)
        admitted, remaining, wait, reset, values = response
        return Admission(
            policy,
            admitted == 1,
            int(remaining),
            to_seconds(wait),
            to_seconds(reset),
            tuple(value.decode() if isinstance(value, bytes) else value for value in values),
        )

    async def reset(self, key: str, *policies: RatePolicy) -> None:
        await self._local.reset(key, *policies)
        keys = [f"{self._prefix}:{policy.name}:{key}" for policy in policies]
        with suppress(DependencyUnavailable, LoopStalled):
            try:
                await self._calls.call(lambda: self._redis.execute("DEL", *keys))
            except RedisError as error:
                _log.warning("rate_limit_redis_error", error=type(error).__name__)
