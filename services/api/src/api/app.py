"""The composition root of api: the only place that picks implementations.

Nothing is built at import, and what is slow to import is imported when a process is created.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from api.scopes import SCOPES
from api.settings import ApiCoreSettings, ApiSettings, ImageUploadSettings
from twelvefold.database.revisions import Migrations
from twelvefold.service.definition import Listener, Service

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from api.dependencies import Container
    from api.users_client import UsersClient
    from twelvefold.http.edge.edge import Edge
    from twelvefold.jobs import JobEvents, RedisWakeupPublisher
    from twelvefold.service.backing import BackingServices
    from twelvefold.service.process import ServiceProcess

MIGRATIONS = Migrations(service="api", schema="api", package="api.migrations", order=2)
DESCRIPTION = """\
Accounts, images and background jobs.

Errors are `application/problem+json` (RFC 9457); the token endpoints alone answer errors by
RFC 6749. Times are RFC 3339 in UTC, ids are UUIDs. Lists take `limit` and `cursor` and carry a
`Link` to the next page. `X-Request-ID` is on every response; quote it when you report a problem.
"""


def create_app(settings: ApiCoreSettings, *, users: UsersClient | None = None) -> ServiceProcess:
    """Build the api process: a public and an internal app. `users` replaces the HTTP client."""
    from api.documentation import DOCUMENTATION
    from api.rate_limits import AccountLimit
    from api.routes import INTERNAL, PUBLIC, pages
    from api.routes.auth import BODY_LIMIT
    from twelvefold.database.migrations import is_ready
    from twelvefold.http.app import create_service_app
    from twelvefold.http.edge.edge import create_edge
    from twelvefold.jobs import JobEvents, RedisWakeupPublisher
    from twelvefold.service.backing import BackingServices
    from twelvefold.service.health import Health
    from twelvefold.service.process import ServiceProcess

    backing = BackingServices(settings, application_name=MIGRATIONS.application_name)
    health = Health(backing)
    wakeups = RedisWakeupPublisher(settings)
    events = JobEvents(backing.database, settings)
    users = users or _http_users(settings, backing)
    edge = create_edge(
        settings,
        backing,
        health,
        users.key_set,
        name=SERVICE.name,
        limits=list(AccountLimit),
        rate_prefix="rate",  # of the time when there was one edge
    )
    use_cases = compose(settings, backing, wakeups, events, edge, users)
    public = edge.create_app(
        title=settings.suite_name,
        description=DESCRIPTION,
        routers=PUBLIC,
        state=use_cases,
        documentation=DOCUMENTATION,
        body_limits={
            **_upload_limits(settings),
            "/api/v1/auth": BODY_LIMIT,
            **dict.fromkeys(pages.PATHS, BODY_LIMIT),
        },
        public_url=settings.public_url,
    )
    internal = create_service_app(
        title=f"{settings.suite_name} api, internal",
        description="Reports and requests of the worker.",
        tags={"images": "Images, their objects, and what is left of them."},
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
            partial(edge.running, *_warm_ups(settings, backing)),
        ],
        schema_ready=partial(is_ready, backing.database, MIGRATIONS),
        drain=[use_cases.streams.drain],
    )


def compose(
    settings: ApiCoreSettings,
    backing: BackingServices,
    wakeups: RedisWakeupPublisher,
    events: JobEvents,
    edge: Edge,
    users: UsersClient,
) -> Container:
    """Build the use cases on their implementations."""
    from api.dependencies import Container, ImageFeature
    from api.event_stream import EventStreams
    from api.models import IDEMPOTENCY_KEYS
    from api.repository.images import ImageRepository
    from api.service.accounts import Accounts
    from api.service.avatars import Avatars
    from api.service.credentials import Credentials
    from api.service.image_maintenance import ImageMaintenance
    from api.service.images import Images
    from api.service.job_quota import JobQuota
    from api.service.job_rules import JobRules
    from api.service.jobs import Jobs
    from api.service.reports import Reports
    from api.service.uploads import Uploads
    from twelvefold.http.account_data import create_account_data_clients
    from twelvefold.http.rest.idempotency import IdempotencyStore
    from twelvefold.http.rest.pagination import CursorCodec
    from twelvefold.jobs import JobQueue

    queue = JobQueue(backing.database, wakeups)
    quota = JobQuota(queue, settings.jobs_max_waiting_per_owner)
    repository = ImageRepository()
    images, feature = None, None
    if isinstance(settings, ImageUploadSettings):
        store = backing.object_store
        uploads = Uploads(store, max_bytes=settings.images_max_bytes)
        images = Images(backing.database, repository, queue, store, uploads, quota)
        feature = ImageFeature(images, Avatars(users, store))
    further = create_account_data_clients(settings, backing, caller=SERVICE.name)
    return Container(
        authenticator=edge.authenticator,
        accounts=Accounts(users, backing.cache),
        credentials=Credentials(users, edge.keys),
        jobs=Jobs(backing.database, queue, events, images, JobRules(queue, users, images), quota),
        reports=Reports(users, backing.database, repository, queue, further),
        maintenance=ImageMaintenance(backing.database, repository, queue),
        streams=EventStreams(max_streams=settings.events_max_streams),
        image_cursors=CursorCodec(settings.secret_key, "images"),
        user_cursors=CursorCodec(settings.secret_key, "users"),
        job_cursors=CursorCodec(settings.secret_key, "jobs"),
        keys=IdempotencyStore(IDEMPOTENCY_KEYS, settings.secret_key.get_secret_value()),
        issuer=settings.jwt_issuer,
        public_url=settings.public_url,
        image_feature=feature,
    )


def _upload_limits(settings: ApiCoreSettings) -> dict[str, int]:
    if not isinstance(settings, ImageUploadSettings):
        return {}
    return dict.fromkeys(("/api/v1/images", "/api/v1/users/me/avatar"), settings.images_max_bytes)


def _warm_ups(
    settings: ApiCoreSettings, backing: BackingServices
) -> list[Callable[[], Awaitable[object]]]:
    if isinstance(settings, ImageUploadSettings) and settings.s3_eager:
        return [backing.object_store.warm_up]
    return []


def _http_users(settings: ApiCoreSettings, backing: BackingServices) -> UsersClient:
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


SERVICE = Service(
    "api",
    ApiSettings,
    create_app,
    MIGRATIONS,
    listeners=frozenset({Listener.PUBLIC, Listener.INTERNAL}),
    prefixes=(
        "/api/v1/users",
        "/api/v1/auth",
        "/api/v1/images",
        "/api/v1/jobs",
        "/api/v1/analytics",
        "/.well-known",
        "/docs",
        "/openapi.json",
        "/health",
        "/ready",
        "/verify-email",
        "/reset-password",
        "/undo-email-change",
    ),
    callers=("worker",),
    calls={"users": "accounts, sessions and the keys that tokens are signed with"},
    scopes=tuple(SCOPES),
    links={"API documentation": "/docs", "OpenAPI document": "/openapi.json"},
    account_data="own",
)
