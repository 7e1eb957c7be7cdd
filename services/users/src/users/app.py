"""The composition root of users: the only place that picks implementations.

Nothing is built at import, and what is slow to import is imported when a process is created.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from twelvefold.revisions import Migrations
from twelvefold.service import Service
from users.settings import UsersSettings

if TYPE_CHECKING:
    from twelvefold.backing import BackingServices
    from twelvefold.jobs import Ringer
    from twelvefold.process import ServiceProcess
    from users.dependencies import Container

MIGRATIONS = Migrations(service="users", schema="users", package="users.migrations", order=1)


def create_app(settings: UsersSettings) -> ServiceProcess:
    """The users process: an internal app and no public one."""
    from twelvefold.backing import BackingServices
    from twelvefold.health import Health
    from twelvefold.http.app import create_service_app
    from twelvefold.jobs import Ringer
    from twelvefold.migrations import is_ready
    from twelvefold.process import ServiceProcess
    from users.routes import ROUTERS

    backing = BackingServices(settings, application_name=MIGRATIONS.announcement)
    health = Health(backing)
    ringer = Ringer(settings)
    use_cases = compose(settings, backing, ringer)
    internal = create_service_app(
        title="Twelvefold users, internal",
        description="Accounts, credentials and sessions, for the other services.",
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
        background=[ringer.running, partial(_closing, use_cases)],
        schema_ready=partial(is_ready, backing.database, MIGRATIONS),
    )


def compose(settings: UsersSettings, backing: BackingServices, ringer: Ringer) -> Container:
    """The use cases on their implementations."""
    from twelvefold.http.idempotency import IdempotencyKeys
    from twelvefold.jobs import JobQueue
    from twelvefold.security.common_passwords import CommonPasswords
    from twelvefold.security.keys import KeySet
    from twelvefold.security.passwords import PasswordHasher
    from twelvefold.security.rate_limit import RedisRateLimiter
    from twelvefold.security.revocation import Revocations
    from twelvefold.security.tokens import TokenIssuer, TokenVerifier
    from users.dependencies import Container
    from users.models import IDEMPOTENCY_KEYS
    from users.service.accounts import Accounts
    from users.service.analytics import Analytics
    from users.service.cached import CachedAccounts
    from users.service.email_changes import EmailChanges
    from users.service.emails import Emails
    from users.service.follow_ups import FollowUps
    from users.service.notices import Notices
    from users.service.password_rules import PasswordRules
    from users.service.passwords import Passwords
    from users.service.personal import PersonalData
    from users.service.recipients import RecipientLimit
    from users.service.sessions import Sessions
    from users.service.standing import Standing
    from users.service.throttle import Quotas, Throttle

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
    jobs = JobQueue(backing.database, ringer)
    revocations = Revocations(backing.redis)
    follow_ups = FollowUps()
    rules = PasswordRules(CommonPasswords())
    limiter = RedisRateLimiter(
        backing.redis,
        timeout=settings.redis_timeout,
        breaker=backing.redis_breaker,
        prefix="guess",
    )
    recipients = RecipientLimit(limiter, settings.emails_per_recipient)
    throttle = Throttle(limiter, Quotas(pair=settings.login_attempts))
    cached = CachedAccounts(backing.database, backing.cache, jobs, follow_ups)
    notices = Notices(jobs)
    sessions = Sessions(
        backing.database,
        hasher,
        TokenIssuer(keys, issuer, audience),
        verifier,
        revocations,
        follow_ups,
        throttle,
        count_active=settings.enable_analytics,
    )
    return Container(
        accounts=Accounts(backing.database, cached, jobs, hasher, revocations, rules, recipients),
        sessions=sessions,
        emails=Emails(
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
        standing=Standing(backing.database, cached, revocations),
        personal_data=PersonalData(backing.database, cached, revocations, sessions),
        analytics=Analytics(backing.database),
        keys=keys,
        verifier=verifier,
        idempotency=IdempotencyKeys(IDEMPOTENCY_KEYS, settings.secret_key.get_secret_value()),
        hasher=hasher,
        follow_ups=follow_ups,
    )


def _watch_key_age(content: str) -> None:
    import time

    from twelvefold import metrics
    from twelvefold.security.rotation import signing_since

    since = signing_since(content)
    made = float("nan") if since is None else since.timestamp()
    metrics.signing_key_age.set_function(lambda: time.time() - made)


@asynccontextmanager
async def _closing(use_cases: Container) -> AsyncIterator[None]:
    # Beside the start, so that nobody's request waits for the list.
    warming = use_cases.follow_ups.start(use_cases.accounts.rules.common.warm_up)
    try:
        yield
    finally:
        if warming is not None:
            warming.cancel()
        await use_cases.follow_ups.aclose()
        await use_cases.hasher.aclose()
        await use_cases.verifier.aclose()


SERVICE = Service("users", UsersSettings, create_app, MIGRATIONS)
