"""The parts of an edge, built from its settings, and its public app.

Owns what a service with a public API would otherwise copy. The service passes its routers, its
documentation and its own limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI

from twelvefold.errors import DependencyUnavailable
from twelvefold.http.app import create_service_app
from twelvefold.http.internal import InternalClient
from twelvefold.resilience.rate_limit import RedisRateLimiter
from twelvefold.security.jwks import JwksSource
from twelvefold.security.published_keys import PublishedKeys
from twelvefold.security.revocation import RevocationList
from twelvefold.security.revocation_feed import RevocationFeed
from twelvefold.security.tokens import TokenVerifier
from twelvefold.service.backing import BackingServices
from twelvefold.service.health import Health
from twelvefold.settings import EdgeSettings

from .authenticator import Authenticator
from .documentation import Documentation, document
from .policies import require_policies
from .rate_limits import RateLimitName, RateLimits, quotas_of

JWKS_PATH = "/internal/v1/jwks"  # of users, for every service
# Factor of the anonymous quota for unknown paths and the documentation: these requests cost little,
# and one page of the documentation alone takes five.
UNROUTED = 10
_READY_POLL = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class Edge:
    """The edge of one process. `running` belongs into the process's background work."""

    settings: EdgeSettings
    backing: BackingServices
    health: Health
    verifier: TokenVerifier
    keys: PublishedKeys
    feed: RevocationFeed
    authenticator: Authenticator

    def create_app(
        self,
        *,
        title: str,
        description: str,
        routers: Sequence[APIRouter],
        state: object,
        documentation: Documentation,
        body_limits: Mapping[str, int] | None = None,
        public_url: str | None = None,
    ) -> FastAPI:
        """Return the public app; arguments as of `create_service_app`.

        Raises RuntimeError naming each route without an access policy.
        """
        require_policies(routers)
        app = create_service_app(
            title=title,
            description=description,
            settings=self.settings,
            routers=routers,
            state=state,
            public=True,
            health=self.health,
            body_limits=body_limits,
            public_url=public_url,
            demo_account=self.settings.docs_demo_account,
            unrouted_quota=UNROUTED * self.settings.rate_limit_anonymous,
        )
        app.state.authenticator = self.authenticator
        document(app, documentation)
        return app

    @asynccontextmanager
    async def running(self, *warm_up: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
        """Follow revocations, and connect once the process is ready, so that no request waits.

        `warm_up` is called then, too; a DependencyUnavailable of any of them ends the warm-up.
        """

        async def warm() -> None:
            while not self.health.ready:  # noqa: ASYNC110 (health has no event; this is soon enough)
                await asyncio.sleep(_READY_POLL)
            await self.backing.ping()
            with suppress(DependencyUnavailable):
                await self.keys.current()
                for call in warm_up:
                    await call()

        async with self.feed.running():
            task = asyncio.create_task(warm(), name="warming")
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait([task])
                await self.verifier.aclose()


def create_edge(
    settings: EdgeSettings,
    backing: BackingServices,
    health: Health,
    source: JwksSource,
    *,
    name: str,
    limits: Sequence[str] = (),
    rate_prefix: str | None = None,
) -> Edge:
    """Return the edge of service `name`; `source` returns the issuer's JWK set.

    `limits` are the service's own policies beside RateLimitName, each with a setting
    RATE_LIMIT_<NAME> (requests per minute). Every edge counts for itself, below `rate_prefix` in
    Redis; by default `rate:<name>`.
    """
    keys = PublishedKeys(source)
    verifier = TokenVerifier(
        keys.fetch,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        accepted_issuers=settings.jwt_accepted_issuers,
    )
    limiter = RedisRateLimiter(
        backing.multiplexed_redis,
        timeout=settings.redis_timeout,
        breaker=backing.redis_breaker,
        prefix=rate_prefix or f"rate:{name}",
    )
    feed = RevocationFeed(backing.multiplexed_redis, settings)
    rate_limits = RateLimits(limiter, quotas_of(settings, [*RateLimitName, *limits]))
    return Edge(
        settings,
        backing,
        health,
        verifier,
        keys,
        feed,
        Authenticator(verifier, RevocationList(backing.multiplexed_redis), feed, rate_limits),
    )


def jwks_source(users: InternalClient) -> JwksSource:
    """Return the source of the keys of access tokens: users' internal port."""

    async def fetch() -> Mapping[str, Any]:
        keys: dict[str, Any] = (await users.request("GET", JWKS_PATH)).json()
        return keys

    return fetch
