"""The read cache: versioned entries in Redis.

Owns the format of an entry and the rule that an older version never replaces a newer one. Callers
choose keys and TTLs. An unavailable cache only makes reads slower.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple, Protocol

import structlog
from opentelemetry.trace import Span, SpanKind
from redis.exceptions import RedisError

from twelvefold.errors import DependencyUnavailable, LoopStalled
from twelvefold.observability import spans, telemetry
from twelvefold.resilience.circuit_breaker import CircuitBreaker
from twelvefold.resilience.redis_calls import UNAVAILABLE_ERRORS, RedisCalls, RedisClient

from .single_flight import SingleFlight

_log = structlog.get_logger(__name__)

Load = Callable[[], Awaitable["CacheEntry"]]
CacheOutcome = Literal["hit", "miss", "negative", "unavailable", "set", "stale"]

JITTER = 0.1  # share by which a TTL varies, so that entries set together do not expire together
_VERSION = struct.Struct(">Q")


class CacheEntry(NamedTuple):
    """A cached row.

    `version` is the row's version, from 0. `body` holds the bytes to serve, never empty; None
    means that the row is known to be absent (a tombstone after a delete, or a negative entry).
    """

    version: int
    body: bytes | None


class Cache(Protocol):
    """Entries by key. An unavailable cache counts as a miss; only `ping` raises for it."""

    async def get(self, key: str) -> CacheEntry | None:
        """Return the entry, or None where there is none or the cache is unavailable."""

    async def set(self, key: str, entry: CacheEntry, ttl: float) -> bool:
        """Store `entry` for `ttl` seconds ±10 %, unless the cache holds a newer version.

        An equal version is stored again, but a body does not replace a tombstone of its own
        version: a slow loader of a deleted row would store exactly that. Returns whether the cache
        now holds this version or a newer one; False means that it may still serve an older one.
        """

    async def delete(self, key: str) -> bool:
        """Delete the entry with its version. Returns False where it may still exist."""

    async def get_or_load(
        self,
        key: str,
        load: Load,
        ttl: float,
        negative_ttl: float = 30.0,
        *,
        after_miss: bool = False,
    ) -> CacheEntry:
        """Return the entry; on a miss call `load` and store its entry.

        With `after_miss` it does not read the cache, because the caller or another process has just
        had a miss. The entry is stored for `ttl` seconds, or `negative_ttl` where the row is
        absent. Concurrent misses of one key in this process share one `load`, with its result or
        exception. `load` runs in its own task, so that a cancelled caller does not affect the
        others, and must have its own timeout.
        """

    async def ping(self) -> None:
        """Raise DependencyUnavailable where the cache is unavailable."""

    async def aclose(self) -> None:
        """Cancel the running loads. The creator of the client closes it."""


# An entry is the version (8 bytes, big-endian) and the body. Versions are compared byte by byte:
# Lua's numbers are exact only up to 2**53, and its string order depends on the server's locale.
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

    `timeout` (seconds) bounds a whole call, the connecting included. After a failure the
    circuit breaker skips Redis for a second. `observe` receives the outcome of each call: hit,
    negative, miss or unavailable for a get; set, stale (Redis holds a newer version) or unavailable
    for a set.
    """

    def __init__(
        self,
        client: RedisClient,
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
        self._set_if_newer = client.script(_SET_IF_NEWER)

    async def get(self, key: str) -> CacheEntry | None:
        with spans.span("cache.get", kind=SpanKind.CLIENT) as span:
            succeeded, value = await self._call(lambda: self._client.execute("GET", key))
            entry = decode_entry(value)
            outcome: CacheOutcome = "hit"
            if not succeeded:
                outcome = "unavailable"
            elif entry is None:
                outcome = "miss"
            elif entry.body is None:
                outcome = "negative"
            self._observe(outcome)
            if span.is_recording():
                _set_outcome(span, key, outcome)
            return entry

    async def set(self, key: str, entry: CacheEntry, ttl: float) -> bool:
        self._loads.forget(key)
        return await self._store(key, entry, ttl)

    async def _store(self, key: str, entry: CacheEntry, ttl: float) -> bool:
        value, milliseconds = encode_entry(entry), jittered_milliseconds(ttl)
        ttl_seconds = {"cache.ttl_seconds": milliseconds / 1000}
        with spans.span("cache.set", ttl_seconds, kind=SpanKind.CLIENT) as span:
            succeeded, stored = await self._call(
                lambda: self._set_if_newer([key], [value, milliseconds])
            )
            outcome: CacheOutcome = "unavailable"
            if succeeded:
                outcome = "set" if stored else "stale"
            self._observe(outcome)
            _set_outcome(span, key, outcome)
            return succeeded

    async def delete(self, key: str) -> bool:
        self._loads.forget(key)
        succeeded, _ = await self._call(lambda: self._client.execute("DEL", key))
        return succeeded

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

        async def load_and_store() -> CacheEntry:
            entry = await load()
            await self._store(key, entry, negative_ttl if entry.body is None else ttl)
            return entry

        return await self._loads.get_or_load(key, get, load_and_store)

    async def ping(self) -> None:
        # Not through the circuit breaker: a ping finds out that Redis is available again.
        try:
            async with asyncio.timeout(self._timeout):
                await self._client.execute("PING")
        except (RedisError, *UNAVAILABLE_ERRORS) as error:
            raise DependencyUnavailable("redis") from error

    async def aclose(self) -> None:
        await self._loads.aclose()

    async def _call(
        self, command: Callable[[], Awaitable[bytes | None]]
    ) -> tuple[bool, bytes | None]:
        """Return whether the call succeeded, and its reply."""
        try:
            # The cache's own span suffices: one span for each call.
            with telemetry.suppress_spans():
                return True, await self._calls.call(command)
        except (DependencyUnavailable, LoopStalled):
            return False, None
        except RedisError as error:
            # Redis refuses: out of memory, read-only, or another type at the key.
            _log.warning("cache_refused", error=type(error).__name__)
            return False, None


class NullCache:
    """A cache that stores nothing, for ENABLE_CACHING=false."""

    async def get(self, key: str) -> CacheEntry | None:
        return None

    async def set(self, key: str, entry: CacheEntry, ttl: float) -> bool:
        return True  # no older version can be served

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


def _set_outcome(span: Span, key: str, outcome: CacheOutcome) -> None:
    span.set_attributes(
        {
            "db.system.name": "redis",
            "cache.key": key,
            "cache.outcome": outcome,
            "cache.hit": outcome == "hit",
        }
    )


def decode_entry(value: bytes | None) -> CacheEntry | None:
    """Decode an entry; return None for None and for bytes that are too short to be one."""
    if value is None or len(value) < _VERSION.size:
        return None
    (version,) = _VERSION.unpack_from(value)
    return CacheEntry(version, value[_VERSION.size :] or None)


def encode_entry(entry: CacheEntry) -> bytes:
    """Encode an entry for Redis. Raises ValueError for an empty body."""
    if entry.body == b"":
        raise ValueError("body must not be empty; None means that the row is absent")
    return _VERSION.pack(entry.version) + (entry.body or b"")


def jittered_milliseconds(ttl: float) -> int:
    """Return `ttl` seconds, varied by JITTER, in whole milliseconds, at least 1."""
    spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  (not for security)
    return max(1, round(ttl * spread * 1000))
