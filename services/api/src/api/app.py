"""The composition root of api: the only place that picks implementations.

Nothing is built at import, and what is slow to import is imported when a process is created.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from api.settings import ApiSettings
from twelvefold.database.revisions import Migrations
from twelvefold.service.definition import Service

if TYPE_CHECKING:
    from api.dependencies import Container
    from api.users_client import UsersClient
    from twelvefold.jobs import JobEvents, RedisWakeupPublisher
    from twelvefold.security.revocation_feed import RevocationFeed
    from twelvefold.security.tokens import TokenVerifier
    from twelvefold.service.backing import BackingServices
    from twelvefold.service.health import Health
    from twelvefold.service.process import ServiceProcess

_READY_POLL = 0.1  # seconds
# Factor of the anonymous quota for unknown paths and the documentation: these requests cost little,
# and one page of the documentation alone takes five.
UNROUTED = 10
MIGRATIONS = Migrations(service="api", schema="api", package="api.migrations", order=2)
DESCRIPTION = """\
Accounts, images and background jobs.

Errors are `application/problem+json` (RFC 9457); the token endpoints alone answer errors by
RFC 6749. Times are RFC 3339 in UTC, ids are UUIDs. Lists take `limit` and `cursor` and carry a
`Link` to the next page. `X-Request-ID` is on every response; quote it when you report a problem.
"""


def create_app(settings: ApiSettings, *, users: UsersClient | None = None) -> ServiceProcess:
    """Build the api process: a public and an internal app. `users` replaces the HTTP client."""
    from api.auth import require_policies
    from api.documentation import document
    from api.routes import INTERNAL, PUBLIC, pages
    from api.routes.auth import BODY_LIMIT
    from twelvefold.database.migrations import is_ready
    from twelvefold.http.app import create_service_app
    from twelvefold.jobs import JobEvents, RedisWakeupPublisher
    from twelvefold.security.revocation_feed import RevocationFeed
    from twelvefold.service.backing import BackingServices
    from twelvefold.service.health import Health
    from twelvefold.service.process import ServiceProcess

    require_policies(PUBLIC)
    backing = BackingServices(settings, application_name=MIGRATIONS.application_name)
    health = Health(backing)
    wakeups = RedisWakeupPublisher(settings)
    events = JobEvents(backing.database, settings)
    revocations = RevocationFeed(backing.redis, settings)
    verifier, use_cases = compose(
        settings, backing, wakeups, events, revocations, users or _http_users(settings, backing)
    )
    public = create_service_app(
        title="Twelvefold",
        description=DESCRIPTION,
        settings=settings,
        routers=PUBLIC,
        state=use_cases,
        public=True,
        health=health,
        body_limits={
            "/api/v1/images": settings.images_max_bytes,
            "/api/v1/users/me/avatar": settings.images_max_bytes,
            "/api/v1/auth": BODY_LIMIT,
            **dict.fromkeys(pages.PATHS, BODY_LIMIT),
        },
        unrouted_quota=UNROUTED * settings.rate_limit_anonymous,
    )
    document(public)
    internal = create_service_app(
        title="Twelvefold api, internal",
        description="Reports and requests of the worker.",
        settings=settings,
        routers=INTERNAL,
        state=use_cases,
        public=False,
        health=health,
        callers={
            "worker": [secret.get_secret_value() for secret in settings.internal_secrets_worker]
        },
    )
    return ServiceProcess(
        name="api",
        settings=settings,
        health=health,
        backing=backing,
        public=public,
        internal=internal,
        background=[
            wakeups.running,
            events.running,
            revocations.running,
            partial(_closing, verifier),
            partial(_warming, health, backing, use_cases, eager=settings.s3_eager),
        ],
        schema_ready=partial(is_ready, backing.database, MIGRATIONS),
        drain=[use_cases.streams.drain],
    )


def compose(
    settings: ApiSettings,
    backing: BackingServices,
    wakeups: RedisWakeupPublisher,
    events: JobEvents,
    feed: RevocationFeed,
    users: UsersClient,
) -> tuple[TokenVerifier, Container]:
    """Build the use cases on their implementations, and the verifier, which must be closed."""
    from api.auth import Authenticator
    from api.dependencies import Container
    from api.event_stream import EventStreams
    from api.models import IDEMPOTENCY_KEYS
    from api.rate_limits import RateLimits, quotas_of
    from api.repository.images import ImageRepository
    from api.service.accounts import Accounts
    from api.service.credentials import Credentials, PublishedKeys
    from api.service.image_maintenance import ImageMaintenance
    from api.service.images import Images
    from api.service.job_quota import JobQuota
    from api.service.job_rules import JobRules
    from api.service.jobs import Jobs
    from api.service.reports import Reports
    from api.service.uploads import Uploads
    from twelvefold.http.rest.idempotency import IdempotencyStore
    from twelvefold.http.rest.pagination import CursorCodec
    from twelvefold.jobs import JobQueue
    from twelvefold.resilience.rate_limit import RedisRateLimiter
    from twelvefold.security.revocation import RevocationList
    from twelvefold.security.tokens import TokenVerifier

    keys = PublishedKeys(users)
    verifier = TokenVerifier(
        keys.fetch,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        accepted_issuers=settings.jwt_accepted_issuers,
    )
    queue = JobQueue(backing.database, wakeups)
    quota = JobQuota(queue, settings.jobs_max_waiting_per_owner)
    repository = ImageRepository()
    images = Images(
        backing.database,
        repository,
        queue,
        backing.object_store,
        Uploads(backing.object_store, max_bytes=settings.images_max_bytes),
        quota,
    )
    limiter = RedisRateLimiter(
        backing.redis, timeout=settings.redis_timeout, breaker=backing.redis_breaker
    )
    limits = RateLimits(limiter, quotas_of(settings))
    return verifier, Container(
        authenticator=Authenticator(verifier, RevocationList(backing.redis), feed, limits),
        accounts=Accounts(users, backing.cache, backing.object_store),
        credentials=Credentials(users, keys),
        images=images,
        jobs=Jobs(backing.database, queue, events, images, JobRules(queue, users, images), quota),
        reports=Reports(users, backing.database, repository, queue),
        maintenance=ImageMaintenance(backing.database, repository, queue),
        streams=EventStreams(max_streams=settings.events_max_streams),
        image_cursors=CursorCodec(settings.secret_key, "images"),
        user_cursors=CursorCodec(settings.secret_key, "users"),
        job_cursors=CursorCodec(settings.secret_key, "jobs"),
        keys=IdempotencyStore(IDEMPOTENCY_KEYS, settings.secret_key.get_secret_value()),
        issuer=settings.jwt_issuer,
        analytics=settings.enable_analytics,
        public_url=settings.public_url,
    )


def _http_users(settings: ApiSettings, backing: BackingServices) -> UsersClient:
    from api.users_client import HttpUsersClient
    from twelvefold.http.internal import InternalClient

    client = InternalClient(
        "users",
        settings.users_url,
        caller="api",
        secret=settings.internal_secret,
        timeout=settings.internal_timeout,
    )
    backing.register("users", client.ping, client.aclose)
    return HttpUsersClient(client)


@asynccontextmanager
async def _closing(verifier: TokenVerifier) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await verifier.aclose()


@asynccontextmanager
async def _warming(
    health: Health, backing: BackingServices, use_cases: Container, *, eager: bool
) -> AsyncIterator[None]:
    """Connect once the process is ready, so that no request waits for it.

    The import of the S3 client alone takes 1 s; until it is done, a request imports it itself.
    """
    from twelvefold.errors import DependencyUnavailable

    async def warm() -> None:
        while not health.ready:  # noqa: ASYNC110 (health has no event; polling is soon enough)
            await asyncio.sleep(_READY_POLL)
        await backing.ping()
        with suppress(DependencyUnavailable):
            await use_cases.credentials.key_set()
            if eager:
                await backing.object_store.warm_up()

    task = asyncio.create_task(warm(), name="warming")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


SERVICE = Service("api", ApiSettings, create_app, MIGRATIONS)
