"""The factory of a process's backing services.

Owns their opening, their pings and the order of closing. Not which of them a service uses: that
is said by the groups of settings that its settings class inherits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Literal, NamedTuple, TypeVar, cast, get_args

import structlog
from redis.asyncio import Redis

from twelvefold.cache.cache import Cache, CacheOutcome, NullCache, RedisCache
from twelvefold.cache.redis_client import WaitingPool, create_redis
from twelvefold.database.database import Database
from twelvefold.mail.mailer import Mailer, SmtpMailer
from twelvefold.mail.sendgrid import SendGridMailer
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
from twelvefold.storage.object_store import ObjectStore, S3ObjectStore

_log = structlog.get_logger(__name__)
G = TypeVar("G", bound=EnvironmentSettings)

BackingState = Literal["ok", "unavailable"]

PING_TIMEOUT = 1.0  # seconds for each
PING_KEPT = 2.0  # seconds for which a result is answered again
CLOSE_TIMEOUT = 5.0  # seconds for each


class _Opened(NamedTuple):
    name: str
    ping: Callable[[], Awaitable[object]] | None
    aclose: Callable[[], Awaitable[object]]


class BackingServices:
    """What a process reaches beyond itself. Created by the composition root, without a loop.

    Each property opens its service at the first use and connects to nothing by that. It raises
    TypeError where the settings lack the group that it takes.
    """

    def __init__(self, settings: EnvironmentSettings, *, application_name: str) -> None:
        self._settings = settings
        self._application_name = application_name
        self._opened: list[_Opened] = []
        self._pinging = asyncio.Lock()
        self._states: dict[str, BackingState] = {}
        self._pinged_at: float | None = None
        self._closed = False

    @cached_property
    def database(self) -> Database:
        database = Database(self._group(PostgresSettings), application_name=self._application_name)
        self.register("postgres", database.ping, database.aclose)
        return database

    @cached_property
    def redis(self) -> Redis:
        settings = self._group(RedisSettings)
        client = create_redis(settings)
        pool = cast("WaitingPool", client.connection_pool)
        metrics.register_pool("redis", settings.redis_max_connections, lambda: pool.taken)
        self.register("redis", client.ping, client.aclose)
        return client

    @cached_property
    def redis_breaker(self) -> CircuitBreaker:
        """For everything that does without Redis where it is away."""
        return CircuitBreaker("redis")

    @cached_property
    def cache(self) -> Cache:
        """Where ENABLE_CACHING is off, one that keeps nothing."""
        cache: Cache
        if isinstance(self._settings, FeatureFlags) and not self._settings.enable_caching:
            cache = NullCache()
        else:
            timeout = self._group(RedisSettings).redis_timeout
            cache = RedisCache(
                self.redis, timeout=timeout, breaker=self.redis_breaker, observe=_counted()
            )
        self._opened.append(_Opened("cache", None, cache.aclose))  # `redis` is pinged
        return cache

    @cached_property
    def object_store(self) -> ObjectStore:
        store = S3ObjectStore(self._group(ObjectStoreSettings))
        self.register("s3", store.ping, store.aclose)
        return store

    @cached_property
    def mailer(self) -> Mailer:
        """SendGrid where its key is set, else SMTP."""
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
        """Takes over what somebody else has opened, such as the client of another service.

        `ping` raises, whatever it likes, where the service does not answer.
        """
        self._opened.append(_Opened(name, ping, aclose))

    async def ping(self) -> dict[str, BackingState]:
        """The state of everything that the settings name or that was registered. Never raises.

        All at once, so within a second; asked at most every two.
        """
        async with self._pinging:
            now = time.monotonic()
            stale = self._pinged_at is None or now - self._pinged_at >= PING_KEPT
            if stale and not self._closed:
                self._open_all()
                opened = [(entry.name, entry.ping) for entry in self._opened if entry.ping]
                states = await asyncio.gather(*(self._ping(*one) for one in opened))
                self._states = {
                    name: state for (name, _), state in zip(opened, states, strict=True)
                }
                self._pinged_at = time.monotonic()
            return dict(self._states)

    async def aclose(self) -> None:
        """Closes in reverse order of opening, each within 5 s; a failure does not stop the rest."""
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
        """So that a report names also what was not used yet."""
        if isinstance(self._settings, PostgresSettings):
            _ = self.database
        if isinstance(self._settings, RedisSettings):
            _ = self.redis
        if isinstance(self._settings, ObjectStoreSettings):
            _ = self.object_store
        if isinstance(self._settings, MailSettings):
            _ = self.mailer

    def _group(self, group: type[G]) -> G:
        if not isinstance(self._settings, group):
            raise TypeError(f"{type(self._settings).__name__} has no {group.__name__}")
        return self._settings


def _counted() -> Callable[[CacheOutcome], None]:
    """Counts the outcomes of the cache; bound once, since it is called for every read."""
    counters = {
        outcome: metrics.cache_requests.labels(outcome) for outcome in get_args(CacheOutcome)
    }
    return lambda outcome: counters[outcome].inc()
