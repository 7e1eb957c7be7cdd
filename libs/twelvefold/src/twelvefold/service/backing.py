"""The factory of a process's backing services.

Owns their opening, their pings and the order of closing. The groups of settings that a service's
settings class inherits decide which of them it uses.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar, cast, get_args

import structlog

from twelvefold.extras import require_extra
from twelvefold.observability import metrics
from twelvefold.resilience.circuit_breaker import CircuitBreaker
from twelvefold.settings import (
    EnvironmentSettings,
    FeatureFlags,
    MailSettings,
    ObjectStoreSettings,
    PostgresSettings,
    RedisSettings,
)

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from twelvefold.cache.cache import Cache, CacheOutcome
    from twelvefold.cache.multiplexed import MultiplexedRedis
    from twelvefold.cache.redis_client import WaitingPool
    from twelvefold.database.database import Database
    from twelvefold.mail.mailer import Mailer
    from twelvefold.storage.object_store import ObjectStore

_log = structlog.get_logger(__name__)
G = TypeVar("G", bound=EnvironmentSettings)

BackingState = Literal["ok", "unavailable"]

PING_TIMEOUT = 1.0  # seconds per service
PING_MAX_AGE = 2.0  # seconds for which a result is reused
CLOSE_TIMEOUT = 5.0  # seconds per service
# The drivers of each group, which a service without the group need not install.
_EXTRAS: Mapping[type[EnvironmentSettings], str] = {
    PostgresSettings: "postgres",
    RedisSettings: "redis",
    ObjectStoreSettings: "s3",
    MailSettings: "mail",
}


class _Opened(NamedTuple):
    name: str
    ping: Callable[[], Awaitable[object]] | None
    aclose: Callable[[], Awaitable[object]]


class BackingServices:
    """The clients of a process's backing services; may be created outside an event loop.

    Each property creates its client at the first use, without connecting, and raises TypeError
    where the settings lack its group.
    """

    def __init__(self, settings: EnvironmentSettings, *, application_name: str) -> None:
        """Raise MissingExtra where the driver of a group of the settings is not installed."""
        for group, extra in _EXTRAS.items():
            if isinstance(settings, group):
                require_extra(extra, group.__name__)
        self._settings = settings
        self._application_name = application_name
        self._opened: list[_Opened] = []
        self._ping_lock = asyncio.Lock()
        self._states: dict[str, BackingState] = {}
        self._pinged_at: float | None = None
        self._closed = False

    @cached_property
    def database(self) -> Database:
        from twelvefold.database.database import Database

        database = Database(self._group(PostgresSettings), application_name=self._application_name)
        self.register("postgres", database.ping, database.aclose)
        return database

    @cached_property
    def multiplexed_redis(self) -> MultiplexedRedis:
        """The client of the features with short commands: cache, rate limits, revocations."""
        from twelvefold.cache.multiplexed import create_multiplexed_redis

        client = create_multiplexed_redis(self._group(RedisSettings))
        self.register("redis", client.ping, client.aclose)
        return client

    @cached_property
    def redis(self) -> Redis:
        """The client of everything else, over a pool of connections."""
        from twelvefold.cache.redis_client import create_redis

        settings = self._group(RedisSettings)
        client = create_redis(settings)
        pool = cast("WaitingPool", client.connection_pool)
        metrics.register_pool("redis", settings.redis_max_connections, lambda: pool.in_use)
        self._opened.append(_Opened("redis", None, client.aclose))  # the other one is pinged
        return client

    @cached_property
    def redis_breaker(self) -> CircuitBreaker:
        """The breaker that all features with a fallback for Redis share."""
        return CircuitBreaker("redis")

    @cached_property
    def cache(self) -> Cache:
        """The cache in Redis; a NullCache where ENABLE_CACHING is off."""
        from twelvefold.cache.cache import NullCache, RedisCache

        cache: Cache
        if isinstance(self._settings, FeatureFlags) and not self._settings.enable_caching:
            cache = NullCache()
        else:
            timeout = self._group(RedisSettings).redis_timeout
            cache = RedisCache(
                self.multiplexed_redis,
                timeout=timeout,
                breaker=self.redis_breaker,
                observe=_create_observer(),
            )
        self._opened.append(_Opened("cache", None, cache.aclose))  # `redis` is pinged
        return cache

    @cached_property
    def object_store(self) -> ObjectStore:
        from twelvefold.storage.object_store import S3ObjectStore

        store = S3ObjectStore(self._group(ObjectStoreSettings))
        self.register("s3", store.ping, store.aclose)
        return store

    @cached_property
    def mailer(self) -> Mailer:
        """The mailer: SendGrid where its key is set, else SMTP."""
        from twelvefold.mail.mailer import SmtpMailer
        from twelvefold.mail.sendgrid import SendGridMailer

        settings = self._group(MailSettings)
        mailer: Mailer = (
            SendGridMailer(settings) if settings.sendgrid_api_key else SmtpMailer(settings)
        )
        self.register("mail", mailer.ping, mailer.aclose)
        return mailer

    def register(
        self,
        name: str,
        ping: Callable[[], Awaitable[object]],
        aclose: Callable[[], Awaitable[object]],
    ) -> None:
        """Ping and close a client that was created elsewhere, e.g. that of another service.

        `ping` raises any exception where the service does not respond.
        """
        self._opened.append(_Opened(name, ping, aclose))

    async def ping(self) -> dict[str, BackingState]:
        """Return the state of each service in the settings or registered; never raise.

        All are pinged concurrently, so within a second, and at most once in two seconds.
        """
        async with self._ping_lock:
            now = time.monotonic()
            stale = self._pinged_at is None or now - self._pinged_at >= PING_MAX_AGE
            if stale and not self._closed:
                self._open_all()
                opened = [(entry.name, entry.ping) for entry in self._opened if entry.ping]
                states = await asyncio.gather(*(self._ping(*entry) for entry in opened))
                self._states = {
                    name: state for (name, _), state in zip(opened, states, strict=True)
                }
                self._pinged_at = time.monotonic()
            return dict(self._states)

    async def aclose(self) -> None:
        """Close all in reverse order of opening, each within 5 s; a failure is logged."""
        self._closed = True
        while self._opened:
            name, _, aclose = self._opened.pop()
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await aclose()
            except Exception as error:
                _log.warning("backing_service_not_closed", name=name, error=type(error).__name__)

    async def _ping(self, name: str, ping: Callable[[], Awaitable[object]]) -> BackingState:
        state: BackingState = "ok"
        reason = None
        try:
            async with asyncio.timeout(PING_TIMEOUT):
                await ping()
        except Exception as error:
            state, reason = "unavailable", type(error).__name__
        metrics.backing_up.labels(name).set(state == "ok")
        if state != self._states.get(name, "ok"):
            _log.warning("backing_service", name=name, state=state, error=reason)
        return state

    def _open_all(self) -> None:
        """Create each client of the settings, so that a report includes the unused ones."""
        if isinstance(self._settings, PostgresSettings):
            _ = self.database
        if isinstance(self._settings, RedisSettings):
            _ = self.multiplexed_redis
        if isinstance(self._settings, ObjectStoreSettings):
            _ = self.object_store
        if isinstance(self._settings, MailSettings):
            _ = self.mailer

    def _group(self, group: type[G]) -> G:
        if not isinstance(self._settings, group):
            raise TypeError(f"{type(self._settings).__name__} has no {group.__name__}")
        return self._settings


def _create_observer() -> Callable[[CacheOutcome], None]:
    """Return a counter of cache outcomes; its labels are bound once, since each read calls it."""
    from twelvefold.cache.cache import CacheOutcome

    counters = {
        outcome: metrics.cache_requests.labels(outcome) for outcome in get_args(CacheOutcome)
    }
    return lambda outcome: counters[outcome].inc()
