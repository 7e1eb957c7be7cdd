"""The groups of settings. A service inherits those that it uses; each adapter takes its group.

Every description is a line of docs/reference/settings.md.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from .addresses import check_http_url, check_proxy, check_smtp_url, parse_origin
from .base import CommaList, Environment, EnvironmentSettings, StrongSecret, is_deployed
from .database_url import parse_database_url


class HttpSettings(EnvironmentSettings):
    """Sockets, limits and shutdown of an HTTP process."""

    prefixes: ClassVar[tuple[str, ...]] = ("HTTP_", "INTERNAL_", "MANAGEMENT_")

    http_host: str = Field("127.0.0.1", description="Address to which the listeners bind.")
    port: int = Field(8000, ge=0, le=65535, description="Public port; 0 chooses a free one.")
    internal_port: int = Field(8001, ge=0, le=65535, description="Port of /internal/v1.")
    management_port: int = Field(
        9000, ge=0, le=65535, description="Port of probes, metrics and /info."
    )
    http_fd: int | None = Field(
        None, description="File descriptor of an inherited listening socket, instead of PORT."
    )
    internal_fd: int | None = Field(None, description="The same, instead of INTERNAL_PORT.")
    management_fd: int | None = Field(None, description="The same, instead of MANAGEMENT_PORT.")
    http_max_body_bytes: int = Field(
        1_048_576,
        gt=0,
        description="Maximum bytes of a body, except uploads; a larger body gets 413.",
    )
    http_request_timeout: float = Field(
        30.0, gt=0, description="Maximum seconds for a request; a slower one gets 503."
    )
    http_max_concurrency: int = Field(
        32, gt=0, description="Requests that a process works on at a time; further ones wait."
    )
    http_queue: int = Field(
        1000, ge=0, description="Requests waiting for that per listener; further ones get 503."
    )
    http_wait: float = Field(
        5.0, gt=0, description="Seconds that one may wait; who would wait longer gets 503 at once."
    )
    http_max_connections: int = Field(
        2000,
        gt=0,
        description="Connections per listener, idle ones included; further ones get 503.",
    )
    http_lame_duck: float = Field(
        5.0, ge=0, description="Seconds of responses with Connection: close before draining."
    )
    http_grace: float = Field(
        30.0, ge=0, description="Seconds for requests in flight to end while draining."
    )
    http_trusted_proxies: CommaList = Field(
        default_factory=list,
        description="Proxies (addresses or networks) whose X-Forwarded-For and -Proto are trusted.",
    )
    http_cors_origins: CommaList = Field(
        default_factory=list, description="Origins from which browsers may call; empty: none."
    )

    @field_validator("http_trusted_proxies")
    @classmethod
    def _check_proxies(cls, value: list[str], info: ValidationInfo) -> list[str]:
        return [check_proxy(proxy, is_deployed=is_deployed(info)) for proxy in value if proxy]

    @field_validator("http_cors_origins")
    @classmethod
    def _normalize_origins(cls, value: list[str], info: ValidationInfo) -> list[str]:
        return [parse_origin(origin, is_deployed=is_deployed(info)) for origin in value if origin]


def _check_database_url(value: SecretStr, info: ValidationInfo) -> SecretStr:
    """Raise ValueError unless `value` is a PostgreSQL URL, over TLS if deployed."""
    url = parse_database_url(value.get_secret_value())
    if is_deployed(info) and not url.is_over_tls:
        raise ValueError("must use TLS outside development: add sslmode=verify-full (or require)")
    return value


DatabaseUrl = Annotated[SecretStr, AfterValidator(_check_database_url)]


class PostgresSettings(EnvironmentSettings):
    prefixes: ClassVar[tuple[str, ...]] = ("DATABASE_",)

    database_url: DatabaseUrl = Field(
        description="postgres:// or postgresql:// URL with the service's own role and an sslmode.",
        examples=["postgresql://api_app:…@db.internal/twelvefold?sslmode=verify-full"],
    )
    database_pool_size: int = Field(
        10, ge=1, le=200, description="PostgreSQL connections per process."
    )
    database_pool_timeout: float = Field(
        2.0, gt=0, description="Seconds to wait for a free connection; then the request gets 503."
    )
    database_statement_timeout: float = Field(
        10.0, gt=0, description="Seconds after which PostgreSQL cancels a statement."
    )
    database_pooled: bool = Field(
        False, description="The URL is PgBouncer's: disables the cache of prepared statements."
    )


class RedisSettings(EnvironmentSettings):
    prefixes: ClassVar[tuple[str, ...]] = ("REDIS_",)

    redis_url: SecretStr = Field(
        description="redis:// or rediss:// URL; rediss:// in staging and production.",
        examples=["rediss://:…@redis.internal:6379/0"],
    )
    redis_timeout: float = Field(
        0.25, gt=0, description="Seconds for one command; a slower Redis counts as unavailable."
    )
    redis_max_connections: int = Field(
        50,
        ge=1,
        description="Redis connections per process, beside the one that short commands share.",
    )

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        url = value.get_secret_value()
        if not url.startswith(("redis://", "rediss://")):
            raise ValueError("must be a redis:// or rediss:// URL")
        if is_deployed(info) and not url.startswith("rediss://"):
            raise ValueError("must use TLS outside development: rediss://")
        return value


class ObjectStoreSettings(EnvironmentSettings):
    prefixes: ClassVar[tuple[str, ...]] = ("S3_",)

    s3_endpoint: str | None = Field(None, description="URL of S3. Default: AWS in S3_REGION.")
    s3_public_endpoint: str | None = Field(
        None, description="URL by which clients reach S3, in signed URLs. Default: S3_ENDPOINT."
    )
    s3_region: str = Field("us-east-1", description="Region for which requests are signed.")
    s3_bucket: str = Field(description="Bucket of images and their variants.", examples=["images"])
    s3_access_key_id: SecretStr | None = Field(
        None, description="Default: the platform's credentials (IRSA, instance role)."
    )
    s3_secret_access_key: SecretStr | None = Field(None, description="Secret of S3_ACCESS_KEY_ID.")
    s3_timeout: float = Field(
        10.0, gt=0, description="Seconds for one call to S3, retries included."
    )
    s3_eager: bool = Field(
        True,
        description="Loads the S3 client (30 MB, one second) at the start, not at its first use.",
    )
    s3_max_connections: int = Field(20, ge=1, description="S3 connections per process.")

    @field_validator("s3_endpoint", "s3_public_endpoint")
    @classmethod
    def _check_s3_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        return value and check_http_url(value, is_deployed=is_deployed(info))


class MailSettings(EnvironmentSettings):
    prefixes: ClassVar[tuple[str, ...]] = ("MAIL_", "SMTP_", "SENDGRID_")

    mail_from: str = Field(
        description="Sender of every email, such as `Twelvefold <no-reply@example.com>`.",
        examples=["Twelvefold <no-reply@example.com>"],
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="smtp://, smtp+starttls:// or smtps:// URL, with optional credentials.",
        examples=["smtp+starttls://user:…@smtp.example.com:587"],
    )
    sendgrid_api_key: SecretStr | None = Field(
        None, description="API key of SendGrid, which then replaces SMTP."
    )
    mail_timeout: float = Field(10.0, gt=0, description="Seconds for sending one email.")

    @field_validator("smtp_url")
    @classmethod
    def _check_smtp_url(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            check_smtp_url(value.get_secret_value(), is_deployed=is_deployed(info))
        return value

    @field_validator("sendgrid_api_key")
    @classmethod
    def _require_a_mailer(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and info.data.get("smtp_url") is None:
            raise ValueError("is missing: set it or SMTP_URL")
        return value


class TelemetrySettings(EnvironmentSettings):
    otel_exporter_otlp_endpoint: str | None = Field(
        None, description="URL of an OTLP/HTTP collector. Default: no spans are exported."
    )
    otel_traces_sampler_arg: float = Field(
        0.1, ge=0, le=1, description="Share of new traces that are sampled, from 0 to 1."
    )


class SecretKeySettings(EnvironmentSettings):
    secret_key: StrongSecret = Field(
        description="Signs cursors and request fingerprints.",
        examples=["64-random-hexadecimal-characters"],
    )


class TokenSettings(EnvironmentSettings):
    prefixes: ClassVar[tuple[str, ...]] = ("JWT_",)

    jwt_issuer: str = Field(
        "twelvefold", description="`iss` of every token; in staging and production the API's URL."
    )
    jwt_accepted_issuers: CommaList = Field(
        default_factory=list,
        description="Further accepted issuers, such as the old one while JWT_ISSUER changes.",
    )
    jwt_audience: str = Field("twelvefold-api", description="`aud` of every access token.")


class BillingSettings(EnvironmentSettings):
    prefixes: ClassVar[tuple[str, ...]] = ("STRIPE_",)

    stripe_api_key: SecretStr | None = Field(
        None, description="API key of Stripe; in production a live key."
    )

    @field_validator("stripe_api_key")
    @classmethod
    def _require_a_live_key(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        is_production = (
            info.data.get("environment", Environment.PRODUCTION) is Environment.PRODUCTION
        )
        if is_production and value and not value.get_secret_value().startswith("sk_live_"):
            raise ValueError("must be a live key (sk_live_…) in production")
        return value


class CallerSettings(EnvironmentSettings):
    """How this service authenticates as a caller of internal ports."""

    prefixes: ClassVar[tuple[str, ...]] = ("INTERNAL_",)

    internal_secret: StrongSecret = Field(
        description="Secret by which this service authenticates as a caller.",
        examples=["64-random-hexadecimal-characters"],
    )
    internal_timeout: float = Field(
        5.0,
        gt=0,
        description="Seconds for one call to another service, at most until the deadline.",
    )


class ServiceSettings(HttpSettings, TelemetrySettings):
    """Settings of every service with a process."""


class MigrationSettings(EnvironmentSettings):
    """Read by the migration process only: no serving process has the owner's URL."""

    prefixes: ClassVar[tuple[str, ...]] = ("MIGRATION_",)

    migration_database_url: DatabaseUrl = Field(description="URL of the schema's owner role.")


class BootstrapSettings(EnvironmentSettings):
    """Read by `twelvefold db bootstrap` and `restore` only."""

    prefixes: ClassVar[tuple[str, ...]] = ("BOOTSTRAP_",)

    bootstrap_database_url: DatabaseUrl = Field(description="URL of a role that may create roles.")
    bootstrap_role_passwords: dict[str, SecretStr] = Field(
        description='JSON object of role and password: `{"users_owner": "…", "users_app": "…"}`.'
    )

    @property
    def passwords(self) -> dict[str, str]:
        """Plain passwords by role."""
        secrets = self.bootstrap_role_passwords.items()
        return {role: password.get_secret_value() for role, password in secrets}


class BackupSettings(EnvironmentSettings):
    """Read by `twelvefold backup` only."""

    prefixes: ClassVar[tuple[str, ...]] = ("BACKUP_",)

    backup_database_url: DatabaseUrl = Field(
        description="URL of a role that may read every schema."
    )
