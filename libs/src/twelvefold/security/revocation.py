"""Marks of revoked sessions and accounts, kept in Redis for as long as a token may live.

Written by the service that owns sessions, read by whoever verifies tokens. Best effort on both
sides: with Redis away a revoked token works for its remaining minutes, and that is logged.
"""

from __future__ import annotations

from uuid import UUID

import structlog
from opentelemetry.trace import SpanKind
from redis.asyncio import Redis
from redis.exceptions import RedisError

from twelvefold import spans

from .tokens import LEEWAY, TOKEN_TTL

_IN_REDIS = {"db.system.name": "redis"}
_log = structlog.get_logger(__name__)


def revocation_key(subject: UUID) -> str:
    """The key of a session's (`sid`) or an account's (`sub`) mark."""
    return f"revoked:{subject}"


class Revocations:
    """Marks by session id or account id. Commands are bounded by the client's own timeout."""

    def __init__(self, redis: Redis, *, ttl: int = TOKEN_TTL) -> None:
        self._redis = redis
        self._lifetime = ttl + LEEWAY + 1

    async def revoke(self, *subjects: UUID) -> bool:
        """Marks them; False where Redis did not take it."""
        if not subjects:
            return True
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for subject in subjects:
                    pipe.set(revocation_key(subject), b"1", ex=self._lifetime)
                with spans.span("revocations.set", _IN_REDIS, kind=SpanKind.CLIENT):
                    await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            _log.warning("revocation_not_marked", count=len(subjects), reason=repr(error))
            return False
        return True

    async def restore(self, account_id: UUID) -> bool:
        """Takes an account's mark away, e.g. when it is enabled again."""
        try:
            await self._redis.delete(revocation_key(account_id))
        except (RedisError, OSError, TimeoutError) as error:
            _log.warning("revocation_not_lifted", reason=repr(error))
            return False
        return True

    async def is_revoked(self, *subjects: UUID) -> bool:
        """Whether any of them is marked; False where Redis does not answer."""
        try:
            return bool(await self._redis.exists(*map(revocation_key, subjects)))
        except (RedisError, OSError, TimeoutError) as error:
            _log.warning("revocation_not_read", reason=repr(error))
            return False
