"""Revoked sessions and accounts, kept in Redis for as long as a token may live.

Written by the service that owns sessions, read by whoever verifies tokens: by a mark for each
subject, read in the round trip of the rate limit, and by `revocation_feed`, through which every
process remembers them all. Best effort on both sides: with Redis away a token that is revoked from
then on works for its remaining minutes, and that is logged.
"""

from __future__ import annotations

from uuid import UUID

import structlog
from opentelemetry.trace import SpanKind
from redis.asyncio import Redis
from redis.exceptions import RedisError

from twelvefold.errors import DependencyUnavailable, LoopStalled
from twelvefold.observability import spans
from twelvefold.resilience.redis_calls import RedisCalls

from .tokens import LEEWAY, TOKEN_TTL

LIFETIME = TOKEN_TTL + LEEWAY + 1  # seconds after which no token of before is valid any more
REVOCATIONS = "revocations"  # sorted set and channel
RESTORED = "-"  # before a subject that is revoked no more
_TRIES = 5  # through stalls of our own: a revocation that was acknowledged should be written
_TIMEOUT = 1.0  # seconds for each
_IN_REDIS = {"db.system.name": "redis"}
_log = structlog.get_logger(__name__)

# KEYS[1] the sorted set, KEYS[2..] marks; ARGV: lifetime in seconds, then a subject for each mark.
# Redis's clock alone counts. A restored subject stays for as long, so that a process that missed
# it forgets the revocation; `-` tells the two apart.
_REVOKE = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
for index = 2, #KEYS do
  redis.call('SET', KEYS[index], '1', 'EX', ARGV[1])
  redis.call('ZREM', KEYS[1], '-' .. ARGV[index])
  redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[index])
  redis.call('PUBLISH', KEYS[1], ARGV[index])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
"""
_RESTORE = """
local now = tonumber(redis.call('TIME')[1])
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[1], now + ARGV[1], '-' .. ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('PUBLISH', KEYS[1], '-' .. ARGV[2])
"""


def revocation_key(subject: UUID) -> str:
    """The key of a session's (`sid`) or an account's (`sub`) mark."""
    return f"revoked:{subject}"


class RevocationList:
    """Revokes session ids and account ids, and asks Redis for them."""

    def __init__(self, redis: Redis, *, ttl: int = TOKEN_TTL) -> None:
        self._redis = redis
        self._lifetime = ttl + LEEWAY + 1
        self._calls = RedisCalls(timeout=_TIMEOUT)
        self._revoke = redis.register_script(_REVOKE)
        self._restore = redis.register_script(_RESTORE)

    async def revoke(self, *subjects: UUID) -> bool:
        """Marks them and tells every process; False where Redis did not take it."""
        if not subjects:
            return True
        keys = [REVOCATIONS, *map(revocation_key, subjects)]
        arguments: list[int | str] = [self._lifetime, *map(str, subjects)]
        try:
            with spans.span("revocations.set", _IN_REDIS, kind=SpanKind.CLIENT):
                await self._calls.call(
                    lambda: self._revoke(keys=keys, args=arguments), tries=_TRIES
                )
        except (RedisError, DependencyUnavailable, LoopStalled) as error:
            _log.warning("revocation_mark_failed", count=len(subjects), reason=repr(error))
            return False
        return True

    async def restore(self, account_id: UUID) -> bool:
        """Takes an account's mark away, e.g. when it is enabled again."""
        keys = [REVOCATIONS, revocation_key(account_id)]
        arguments: list[int | str] = [self._lifetime, str(account_id)]
        try:
            await self._calls.call(lambda: self._restore(keys=keys, args=arguments), tries=_TRIES)
        except (RedisError, DependencyUnavailable, LoopStalled) as error:
            _log.warning("revocation_lift_failed", reason=repr(error))
            return False
        return True

    async def is_revoked(self, *subjects: UUID) -> bool:
        """Whether any of them is marked; False where Redis does not answer."""
        keys = [*map(revocation_key, subjects)]
        try:
            return bool(await self._calls.call(lambda: self._redis.exists(*keys)))
        except (RedisError, DependencyUnavailable, LoopStalled) as error:
            _log.warning("revocation_read_failed", reason=repr(error))
            return False
