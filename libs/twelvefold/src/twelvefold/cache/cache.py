"""The read cache: versioned entries in Redis, loaded once per process, lost without harm.

Owns the form of an entry and the rule that an older version never replaces a newer one. Not what
is cached or for how long, nor the Redis client, which others use too.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple, Protocol

import structlog
from opentelemetry.trace import Span, SpanKind
from redis.asyncio import Redis
from redis.exceptions import RedisError

from twelvefold.errors import DependencyUnavailable, LoopStalled
from twelvefold.observability import spans, telemetry
from twelvefold.resilience.circuit_breaker import CircuitBreaker
from twelvefold.resilience.redis_calls import UNAVAILABLE_ERRORS, RedisCalls

from .single_flight import SingleFlight

_log = structlog.get_logger(__name__)

Load = Callable[[], Awaitable["CacheEntry"]]
CacheOutcome = Literal["hit", "miss", "negative", "unavailable", "set", "stale"]

JITTER = 0.1  # share of a TTL by which it varies, so that entries set together expire apart
_VERSION = struct.Struct(">Q")


class CacheEntry(NamedTuple):
    """One row as it is cached.

    `version` is the row's, from 0. `body` is what is served, never empty; None says that the row
    is known to be absent (a tombstone after a delete, or a negative answer).
    """

    version: int
    body: bytes | None


class Cache(Protocol):
    """Entries by key. Nothing here raises because the cache is lost: a lost cache is a miss."""

    async def get(self, key: str) -> CacheEntry | None:
        """The entry, or None where there is none or the cache does not answer."""

    async def set(self, key: str, entry: CacheEntry, ttl: float) -> bool:
        """Keeps `entry` for `ttl` seconds ±10 %, unless a newer version is there.

        An equal version is kept anew, but a tombstone is not replaced by a body of its own
        version: a slow loader of the deleted row holds just that. Returns whether the cache now
        holds this version or a newer one; False means that an older one may still be served.
        """

    async def delete(self, key: str) -> bool:
        """Forgets the entry, its version included. Returns False where it may still be there."""

    async def get_or_load(
        self,
        key: str,
        load: Load,
        ttl: float,
        negative_ttl: float = 30.0,
        *,
        after_miss: bool = False,
    ) -> CacheEntry:
        """The entry; on a miss that of `load`, kept for `ttl` s (`negative_ttl` if absent).

        With `after_miss` the cache is not read: the caller, maybe another process, has just
        missed.

        Concurrent misses of one key in this process share one `load`, its result or its
        exception. It runs in a task of its own: a cancelled caller takes nothing from the others.
        `load` bounds its own time.
        """

    async def ping(self) -> None:
        """Raises DependencyUnavailable where the cache does not answer."""

    async def aclose(self) -> None:
        """Ends the loads that still run. The client is closed by whoever made it."""


# An entry is the version, 8 bytes big-endian, and the body. Compared byte by byte: Lua's numbers
# are exact to 2**53 only, and its order of strings follows the server's locale.
_SET_IF_NEWER = """
local held, given = redis.call('GETRANGE', KEYS[1], 0, 8), ARGV[1]
if #held >= 8 then
  local order = 0
  for i = 1, 8 do
    order = string.byte(held, i) - string.byte(given, i)
    if order ~= 0 then break end
  end
  if order > 0 or (order == 0 and #held == 8 and #given > 8) then return 0 end
end
redis.call('SET', KEYS[1], given, 'PX', ARGV[2])
return 1
"""


class RedisCache:
    """Entries in Redis; each call is one round trip.

    `timeout` (seconds) bounds a whole call, the wait for a connection included. After a failure
    Redis is skipped for a second. `observe` is told the outcome of each call: hit, negative, miss
    or unavailable of a get; set, stale (a newer version was there) or unavailable of a set.
    """

    def __init__(
        self,
        client: Redis,
        *,
        timeout: float,
        breaker: CircuitBreaker | None = None,
        observe: Callable[[CacheOutcome], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._timeout = timeout
        self._observe = observe
        self._calls = RedisCalls(timeout=timeout, breaker=breaker or CircuitBreaker("redis"))
        self._loads = SingleFlight[CacheEntry]()
        self._set_if_newer = client.register_script(_SET_IF_NEWER)

    async def get(self, key: str) -> CacheEntry | None:
        with spans.span("cache.get", kind=SpanKind.CLIENT) as span:
            answered, value = await self._call(lambda: self._client.get(key))
            entry = decode_entry(value)
            outcome: CacheOutcome = "hit"
            if not answered:
                outcome = "unavailable"
            elif entry is None:
                outcome = "miss"
            elif entry.body is None:
                outcome = "negative"
            self._observe(outcome)
            if span.is_recording():
                _report(span, key, outcome)
            return entry

    async def set(self, key: str, entry: CacheEntry, ttl: float) -> bool:
        self._loads.forget(key)
        return await self._store(key, entry, ttl)

    async def _store(self, key: str, entry: CacheEntry, ttl: float) -> bool:
        value, milliseconds = encode_entry(entry), jittered_milliseconds(ttl)
        ttl_seconds = {"cache.ttl_seconds": milliseconds / 1000}
        with spans.span("cache.set", ttl_seconds, kind=SpanKind.CLIENT) as span:
            answered, stored = await self._call(
                lambda: self._set_if_newer(keys=[key], args=[value, milliseconds])
            )
            outcome: CacheOutcome = "unavailable"
            if answered:
                outcome = "set" if stored else "stale"
            self._observe(outcome)
            _report(span, key, outcome)
            return answered

    async def delete(self, key: str) -> bool:
        self._loads.forget(key)
        answered, _ = await self._call(lambda: self._client.delete(key))
        return answered

    async def get_or_load(
        self,
        key: str,
        load: Load,
        ttl: float,
        negative_ttl: float = 30.0,
        *,
        after_miss: bool = False,
    ) -> CacheEntry:
        async def get() -> CacheEntry | None:
            return None if after_miss else await self.get(key)

        async def load_and_keep() -> CacheEntry:
            entry = await load()
            await self._store(key, entry, negative_ttl if entry.body is None else ttl)
            return entry

        return await self._loads.get_or_load(key, get, load_and_keep)

    async def ping(self) -> None:
        # Not through the breaker: this is how we learn that Redis is back.
        try:
            async with asyncio.timeout(self._timeout):
                await self._client.ping()
        except (RedisError, *UNAVAILABLE_ERRORS) as error:
            raise DependencyUnavailable("redis") from error

    async def aclose(self) -> None:
        await self._loads.aclose()

    async def _call(
        self, command: Callable[[], Awaitable[bytes | None]]
    ) -> tuple[bool, bytes | None]:
        """Whether Redis answered, and what."""
        try:
            # Its span is the cache's own: one call, one span.
            with telemetry.suppress_spans():
                return True, await self._calls.call(command)
        except (DependencyUnavailable, LoopStalled):
            return False, None
        except RedisError as error:
            # Redis answers, but refuses: out of memory, read-only, another type at the key.
            _log.warning("cache_refused", error=type(error).__name__)
            return False, None


class NullCache:
    """Keeps nothing: every read is a load, as with ENABLE_CACHING off."""

    async def get(self, key: str) -> CacheEntry | None:
        return None

    async def set(self, key: str, entry: CacheEntry, ttl: float) -> bool:
        return True  # there is no older version that could be served

    async def delete(self, key: str) -> bool:
        return True

    async def get_or_load(
        self,
        key: str,
        load: Load,
        ttl: float,
        negative_ttl: float = 30.0,
        *,
        after_miss: bool = False,
    ) -> CacheEntry:
        return await load()

    async def ping(self) -> None:
        return None

    async def aclose(self) -> None:
        return None


def _report(span: Span, key: str, outcome: CacheOutcome) -> None:
    span.set_attributes(
        {
            "db.system.name": "redis",
            "cache.key": key,
            "cache.outcome": outcome,
            "cache.hit": outcome == "hit",
        }
    )


def decode_entry(value: bytes | None) -> CacheEntry | None:
    """The entry that stands in Redis; None where there is none, or it is none of ours."""
    if value is None or len(value) < _VERSION.size:
        return None
    (version,) = _VERSION.unpack_from(value)
    return CacheEntry(version, value[_VERSION.size :] or None)


def encode_entry(entry: CacheEntry) -> bytes:
    """The bytes that stand in Redis. Raises ValueError for an empty body."""
    if entry.body == b"":
        raise ValueError("an entry's body is not empty; None says that the row is absent")
    return _VERSION.pack(entry.version) + (entry.body or b"")


def jittered_milliseconds(ttl: float) -> int:
    """`ttl` seconds, varied by JITTER, as whole milliseconds from 1."""
    spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  (spreads load, guards nothing)
    return max(1, round(ttl * spread * 1000))
