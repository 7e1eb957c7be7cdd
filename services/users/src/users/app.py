"""The composition root of users: the only place that picks implementations.

Nothing is built at import, and what is slow to import is imported when a process is created.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from twelvefold.database.revisions import Migrations
from twelvefold.service.definition import Listener, Service
from twelvefold.settings import AnalyticsSettings
from users.settings import UsersCoreSettings, UsersSettings

if TYPE_CHECKING:
    from twelvefold.jobs import RedisWakeupPublisher
    from twelvefold.service.backing import BackingServices
    from twelvefold.service.process import ServiceProcess
    from users.dependencies import Container

MIGRATIONS = Migrations(service="users", schema="users", package="users.migrations", order=1)


def create_app(settings: UsersCoreSettings) -> ServiceProcess:
    """Build the users process: an internal app and no public one."""
    from twelvefold.database.migrations import is_ready
    from twelvefold.http.app import create_service_app
    from twelvefold.jobs import RedisWakeupPublisher
    from twelvefold.service.backing import BackingServices
    from twelvefold.service.health import Health
    from twelvefold.service.process import ServiceProcess
    from users.routes import ROUTERS

    backing = BackingServices(settings, application_name=MIGRATIONS.application_name)
    health = Health(backing)
    wakeups = RedisWakeupPublisher(settings)
    use_cases = compose(settings, backing, wakeups)
    internal = create_service_app(
        title=f"{settings.suite_name} users, internal",
        description="Accounts, credentials and sessions, for the other services.",
        tags={
            "users": "Accounts and their avatars.",
            "objects": "Objects in S3 that belong to accounts.",
            "admin": "Operations for admins, and the counts of each day.",
            "sessions": "Tokens, and the keys that sign them.",
            "emails": "Links that are sent by email, and what they do.",
        },
        settings=settings,
        routers=ROUTERS,
        state=use_cases,
        public=False,
        health=health,
        callers={
            "api": [secret.get_secret_value() for secret in settings.internal_secrets_api],
            "worker": [secret.get_secret_value() for secret in settings.internal_secrets_worker],
        },
    )
    return ServiceProcess(
        name="users",
        settings=settings,
        health=health,
        backing=backing,
        internal=internal,
        background=[wakeups.running, partial(_closing, use_cases)],
        schema_ready=partial(is_ready, backing.database, MIGRATIONS),
    )


def compose(
    settings: UsersCoreSettings, backing: BackingServices, wakeups: RedisWakeupPublisher
) -> Container:
    """Build the use cases on their implementations."""
    from twelvefold.http.rest.idempotency import IdempotencyStore
    from twelvefold.jobs import JobQueue
    from twelvefold.resilience.rate_limit import RedisRateLimiter
    from twelvefold.security.common_passwords import CommonPasswords
    from twelvefold.security.keys import KeySet
    from twelvefold.security.passwords import PasswordHasher
    from twelvefold.security.revocation import RevocationList
    from twelvefold.security.tokens import TokenIssuer, TokenVerifier
    from users.dependencies import Container
    from users.models import IDEMPOTENCY_KEYS
    from users.service.account_admin import AccountAdmin
    from users.service.accounts import Accounts
    from users.service.analytics import Analytics
    from users.service.cached import CachedAccounts
    from users.service.emails.email_changes import EmailChanges
    from users.service.emails.email_links import EmailLinks
    from users.service.emails.recipients import RecipientLimit
    from users.service.emails.security_notifications import SecurityNotifications
    from users.service.password_rules import PasswordRules
    from users.service.passwords import Passwords
    from users.service.personal import PersonalData
    from users.service.post_commit import PostCommitTasks
    from users.service.sessions import Sessions
    from users.service.throttle import LoginThrottle, Quotas

    keys = KeySet.from_json(settings.jwt_signing_keys.get_secret_value())
    _watch_key_age(settings.jwt_signing_keys.get_secret_value())

    async def own_keys() -> dict[str, object]:
        return {**keys.public_jwks()}

    issuer, audience = settings.jwt_issuer, settings.jwt_audience
    verifier = TokenVerifier(
        own_keys,
        issuer=issuer,
        audience=audience,
        accepted_issuers=settings.jwt_accepted_issuers,
    )
    hasher = PasswordHasher(
        memory=settings.argon2_memory,
        passes=settings.argon2_passes,
        threads=settings.argon2_threads,
        queue=settings.argon2_queue,
        wait=settings.argon2_wait,
    )
    jobs = JobQueue(backing.database, wakeups)
    revocations = RevocationList(backing.multiplexed_redis)
    post_commit_tasks = PostCommitTasks()
    rules = PasswordRules(CommonPasswords())
    limiter = RedisRateLimiter(
        backing.multiplexed_redis,
        timeout=settings.redis_timeout,
        breaker=backing.redis_breaker,
        prefix="guess",
    )
    recipients = RecipientLimit(limiter, settings.emails_per_recipient)
    throttle = LoginThrottle(limiter, Quotas(pair=settings.login_attempts))
    cached = CachedAccounts(backing.database, backing.cache, jobs, post_commit_tasks)
    notices = SecurityNotifications(jobs)
    sessions = Sessions(
        backing.database,
        hasher,
        TokenIssuer(keys, issuer, audience),
        verifier,
        revocations,
        post_commit_tasks,
        throttle,
        count_active=isinstance(settings, AnalyticsSettings),
        scopes=settings.jwt_scopes,
    )
    return Container(
        accounts=Accounts(backing.database, cached, jobs, hasher, revocations, rules, recipients),
        sessions=sessions,
        email_links=EmailLinks(
            backing.database,
            cached,
            jobs,
            hasher,
            revocations,
            rules,
            notices,
            recipients,
            web_url=settings.web_url,
        ),
        email_changes=EmailChanges(backing.database, cached, jobs, hasher, revocations, recipients),
        passwords=Passwords(
            backing.database, cached, hasher, revocations, rules, throttle, notices
        ),
        account_admin=AccountAdmin(backing.database, cached, revocations),
        personal_data=PersonalData(backing.database, cached, revocations, sessions),
        analytics=Analytics(backing.database),
        keys=keys,
        verifier=verifier,
        idempotency=IdempotencyStore(IDEMPOTENCY_KEYS, settings.secret_key.get_secret_value()),
        hasher=hasher,
        post_commit_tasks=post_commit_tasks,
    )


def _watch_key_age(content: str) -> None:
    import time

    from twelvefold.observability import metrics
    from twelvefold.security.rotation import signing_since

    since = signing_since(content)
    made = float("nan") if since is None else since.timestamp()
    metrics.signing_key_age.set_function(lambda: time.time() - made)


@asynccontextmanager
async def _closing(use_cases: Container) -> AsyncIterator[None]:
    # The list loads while the process starts, so that no request waits for it.
    warming = use_cases.post_commit_tasks.start(use_cases.accounts.rules.common.warm_up)
    try:
        yield
    finally:
        if warming is not None:
            warming.cancel()
        await use_cases.post_commit_tasks.aclose()
        await use_cases.hasher.aclose()
        await use_cases.verifier.aclose()


SERVICE = Service(
    "users",
    UsersSettings,
    create_app,
    MIGRATIONS,
    listeners=frozenset({Listener.INTERNAL}),
    callers=("api", "worker"),
    account_data="own",
)
