"""Revoked sessions and accounts, kept in Redis for the lifetime of a token.

The service that owns sessions writes them. Verifiers read a mark per subject in the round trip of
the rate limit, and follow all revocations by `revocation_feed`. Both are best effort: a token that
is revoked while Redis is unavailable works until it expires, and that is logged.
"""

from __future__ import annotations

from uuid import UUID

import structlog
from opentelemetry.trace import SpanKind
from redis.exceptions import RedisError

from twelvefold.errors import DependencyUnavailable, LoopStalled
from twelvefold.observability import spans
from twelvefold.resilience.redis_calls import RedisCalls, RedisClient

from .tokens import LEEWAY, TOKEN_TTL

LIFETIME = TOKEN_TTL + LEEWAY + 1  # seconds after which each earlier token has expired
REVOCATIONS = "revocations"  # sorted set and channel
RESTORED_PREFIX = "-"  # of a subject whose revocation was lifted
_TIMEOUT = 1.0  # seconds per try
_SPAN_ATTRIBUTES = {"db.system.name": "redis"}
_log = structlog.get_logger(__name__)

# KEYS[1] the sorted set, KEYS[2..] marks; ARGV: lifetime in seconds, then a subject for each mark.
# Times are those of Redis's clock. A restored subject stays in the set for as long, with the prefix
# `-`, so that a process that missed the message drops the revocation, too.
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
    """Return the key of the mark of a session (`sid`) or an account (`sub`)."""
    return f"revoked:{subject}"


class RevocationList:
    """The revocations of session ids and account ids in Redis; `ttl` of a token is in seconds."""

    def __init__(self, redis: RedisClient, *, ttl: int = TOKEN_TTL) -> None:
        self._redis = redis
        self._lifetime = ttl + LEEWAY + 1
        self._calls = RedisCalls(timeout=_TIMEOUT)
        self._revoke = redis.script(_REVOKE)
        self._restore = redis.script(_RESTORE)

    async def revoke(self, *subjects: UUID) -> bool:
        """Mark the subjects and publish them; return False where Redis failed."""
        if not subjects:
            return True
        keys = [REVOCATIONS, *map(revocation_key, subjects)]
        arguments: list[int | str] = [self._lifetime, *map(str, subjects)]
        try:
            with spans.span("revocations.set", _SPAN_ATTRIBUTES, kind=SpanKind.CLIENT):
                await self._calls.call(lambda: self._revoke(keys, arguments))
        except (RedisError, DependencyUnavailable, LoopStalled) as error:
            _log.warning("revocation_mark_failed", count=len(subjects), reason=repr(error))
            return False
        return True

    async def restore(self, account_id: UUID) -> bool:
        """Lift an account's revocation, e.g. when it is enabled again; False where Redis failed."""
        keys = [REVOCATIONS, revocation_key(account_id)]
        arguments: list[int | str] = [self._lifetime, str(account_id)]
        try:
            await self._calls.call(lambda: self._restore(keys, arguments))
        except (RedisError, DependencyUnavailable, LoopStalled) as error:
            _log.warning("revocation_lift_failed", reason=repr(error))
            return False
        return True

    async def is_revoked(self, *subjects: UUID) -> bool:
        """Return whether any subject is marked; False where Redis failed."""
        keys = [*map(revocation_key, subjects)]
        try:
            return bool(await self._calls.call(lambda: self._redis.execute("EXISTS", *keys)))
        except (RedisError, DependencyUnavailable, LoopStalled) as error:
            _log.warning("revocation_read_failed", reason=repr(error))
            return False
