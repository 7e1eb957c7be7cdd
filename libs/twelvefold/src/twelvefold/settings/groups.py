"""The groups of settings. A service inherits those that it uses; each adapter takes its group.

Every description here is a line of the settings table in the README.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from .addresses import check_http_url, check_proxy, check_smtp_url, parse_origin
from .base import CommaList, Environment, EnvironmentSettings, StrongSecret, deployed
from .database_url import parse_database_url


class HttpSettings(EnvironmentSettings):
    """Sockets, limits and the drain of an HTTP process."""

    prefixes: ClassVar[tuple[str, ...]] = ("HTTP_", "INTERNAL_", "MANAGEMENT_")

    http_host: str = Field("127.0.0.1", description="Address that the listeners bind.")
    port: int = Field(8000, ge=0, le=65535, description="Public port; 0 takes a free one.")
    internal_port: int = Field(8001, ge=0, le=65535, description="Port of /internal/v1.")
    management_port: int = Field(9000, ge=0, le=65535, description="Probes, metrics, info.")
    http_fd: int | None = Field(None, description="Inherited listening socket instead of PORT.")
    internal_fd: int | None = Field(None, description="The same for INTERNAL_PORT.")
    management_fd: int | None = Field(None, description="The same for MANAGEMENT_PORT.")
    http_max_body_bytes: int = Field(
        1_048_576, gt=0, description="Largest body outside uploads; beyond it 413."
    )
    http_request_timeout: float = Field(
        30.0, gt=0, description="Seconds within which a request must be answered."
    )
    http_max_concurrency: int = Field(
        32, gt=0, description="Requests that a process works on at a time; beyond it 503 at once."
    )
    http_max_connections: int = Field(
        2000, gt=0, description="Connections of one listener, idle ones included; beyond it 503."
    )
    http_lame_duck: float = Field(
        5.0, ge=0, description="Seconds of answering with Connection: close before draining."
    )
    http_grace: float = Field(
        30.0, ge=0, description="Seconds for requests in flight to end after that."
    )
    http_trusted_proxies: CommaList = Field(
        default_factory=list,
        description="Addresses or networks whose X-Forwarded-For and -Proto count.",
    )
    http_cors_origins: CommaList = Field(
        default_factory=list, description="Origins that browsers may call from; empty: none."
    )

    @field_validator("http_trusted_proxies")
    @classmethod
    def _known_proxies(cls, value: list[str], info: ValidationInfo) -> list[str]:
        return [check_proxy(proxy, is_deployed=deployed(info)) for proxy in value if proxy]

    @field_validator("http_cors_origins")
    @classmethod
    def _origins_as_browsers_send_them(cls, value: list[str], info: ValidationInfo) -> list[str]:
        return [parse_origin(origin, is_deployed=deployed(info)) for origin in value if origin]


def _checked_database_url(value: SecretStr, info: ValidationInfo) -> SecretStr:
    """Raises ValueError unless `value` is a PostgreSQL URL, over TLS where we are deployed."""
    url = parse_database_url(value.get_secret_value())
    if deployed(info) and not url.is_over_tls:
        raise ValueError("must use TLS outside development: add sslmode=verify-full (or require)")
    return value


DatabaseUrl = Annotated[SecretStr, AfterValidator(_checked_database_url)]


class PostgresSettings(EnvironmentSettings):
    prefixes: ClassVar[tuple[str, ...]] = ("DATABASE_",)

    database_url: DatabaseUrl = Field(
        description="postgres:// or postgresql:// URL of the service's own role; sslmode counts.",
        examples=["postgresql://api_app:…@db.internal/twelvefold?sslmode=verify-full"],
    )
    database_pool_size: int = Field(10, ge=1, le=200, description="Connections per process.")
    database_pool_timeout: float = Field(
        2.0, gt=0, description="Seconds to wait for a free connection; beyond it 503."
    )
    database_statement_timeout: float = Field(
        10.0, gt=0, description="Seconds after which PostgreSQL ends a statement."
    )
    database_pooled: bool = Field(
        False, description="The URL leads to PgBouncer: no prepared statements are kept."
    )


class RedisSettings(EnvironmentSettings):
    prefixes: ClassVar[tuple[str, ...]] = ("REDIS_",)

    redis_url: SecretStr = Field(
        description="redis:// or, outside development, rediss:// URL.",
        examples=["rediss://:…@redis.internal:6379/0"],
    )
    redis_timeout: float = Field(
        0.25, gt=0, description="Seconds for one command; a slower Redis counts as away."
    )
    redis_max_connections: int = Field(50, ge=1, description="Connections per process.")

    @field_validator("redis_url")
    @classmethod
    def _redis_over_tls(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        url = value.get_secret_value()
        if not url.startswith(("redis://", "rediss://")):
            raise ValueError("must be a redis:// or rediss:// URL")
        if deployed(info) and not url.startswith("rediss://"):
            raise ValueError("must use TLS outside development: rediss://")
        return value


class ObjectStoreSettings(EnvironmentSettings):
    prefixes: ClassVar[tuple[str, ...]] = ("S3_",)

    s3_endpoint: str | None = Field(None, description="S3 URL; none: AWS's of the region.")
    s3_public_endpoint: str | None = Field(
        None, description="URL under which clients reach S3; signs what they see."
    )
    s3_region: str = Field("us-east-1", description="Region that requests are signed for.")
    s3_bucket: str = Field(description="Bucket of images and their variants.", examples=["images"])
    s3_access_key_id: SecretStr | None = Field(
        None, description="None: the platform's own credentials (IRSA, instance role)."
    )
    s3_secret_access_key: SecretStr | None = Field(None, description="Goes with the key id.")
    s3_timeout: float = Field(10.0, gt=0, description="Seconds for one call to S3.")
    s3_eager: bool = Field(
        True,
        description="Loads the client of S3 (30 MB, a second) at the start, not at the first use.",
    )
    s3_max_connections: int = Field(20, ge=1, description="Connections per process.")

    @field_validator("s3_endpoint", "s3_public_endpoint")
    @classmethod
    def _s3_over_tls(cls, value: str | None, info: ValidationInfo) -> str | None:
        return value and check_http_url(value, is_deployed=deployed(info))


class MailSettings(EnvironmentSettings):
    prefixes: ClassVar[tuple[str, ...]] = ("MAIL_", "SMTP_", "SENDGRID_")

    mail_from: str = Field(
        description="Sender of every mail, e.g. `Twelvefold <no-reply@…>`.",
        examples=["Twelvefold <no-reply@example.com>"],
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="smtp://, smtp+starttls:// or smtps:// URL with optional credentials.",
        examples=["smtp+starttls://user:…@smtp.example.com:587"],
    )
    sendgrid_api_key: SecretStr | None = Field(
        None, description="Sends through SendGrid instead of SMTP."
    )
    mail_timeout: float = Field(10.0, gt=0, description="Seconds for sending one mail.")

    @field_validator("smtp_url")
    @classmethod
    def _password_over_tls(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            check_smtp_url(value.get_secret_value(), is_deployed=deployed(info))
        return value

    @field_validator("sendgrid_api_key")
    @classmethod
    def _some_way_to_send(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and info.data.get("smtp_url") is None:
            raise ValueError("is needed where SMTP_URL is not set: mail has no other way out")
        return value


class TelemetrySettings(EnvironmentSettings):
    otel_exporter_otlp_endpoint: str | None = Field(
        None, description="OTLP/HTTP collector; none: no exporter and next to no cost."
    )
    otel_traces_sampler_arg: float = Field(
        0.1, ge=0, le=1, description="Share of new traces that are sampled."
    )


class FeatureFlags(EnvironmentSettings):
    prefixes: ClassVar[tuple[str, ...]] = ("ENABLE_",)

    enable_caching: bool = Field(True, description="Reads go through Redis first.")
    enable_analytics: bool = Field(True, description="Serves /api/v1/analytics.")


class SecretKeySettings(EnvironmentSettings):
    secret_key: StrongSecret = Field(
        description="Keys cursors and request fingerprints only.",
        examples=["64-random-hexadecimal-characters"],
    )


class TokenSettings(EnvironmentSettings):
    prefixes: ClassVar[tuple[str, ...]] = ("JWT_",)

    jwt_issuer: str = Field(
        "twelvefold", description="`iss` of every token; deployed, the API's URL."
    )
    jwt_accepted_issuers: CommaList = Field(
        default_factory=list,
        description="Further issuers whose tokens verify: the old one while JWT_ISSUER changes.",
    )
    jwt_audience: str = Field("twelvefold-api", description="`aud` of every access token.")


class BillingSettings(EnvironmentSettings):
    prefixes: ClassVar[tuple[str, ...]] = ("STRIPE_",)

    stripe_api_key: SecretStr | None = Field(None, description="Must be live in production.")

    @field_validator("stripe_api_key")
    @classmethod
    def _live_in_production(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        production = info.data.get("environment", Environment.PRODUCTION) is Environment.PRODUCTION
        if production and value and not value.get_secret_value().startswith("sk_live_"):
            raise ValueError("must be a live key (sk_live_…) in production")
        return value


class CallerSettings(EnvironmentSettings):
    """How this service shows others on the internal port who it is."""

    prefixes: ClassVar[tuple[str, ...]] = ("INTERNAL_",)

    internal_secret: StrongSecret = Field(
        description="This service's own secret as a caller.",
        examples=["64-random-hexadecimal-characters"],
    )
    internal_timeout: float = Field(
        5.0, gt=0, description="Seconds for one call to another service, within the deadline."
    )


class ServiceSettings(HttpSettings, TelemetrySettings):
    """What every service with a process has."""


class MigrationSettings(EnvironmentSettings):
    """Read by the migration process only: the owner's URL never reaches a serving process."""

    prefixes: ClassVar[tuple[str, ...]] = ("MIGRATION_",)

    migration_database_url: DatabaseUrl = Field(description="URL of the schema's owner role.")


class BootstrapSettings(EnvironmentSettings):
    """Read by `twelvefold db bootstrap` and `restore` only."""

    prefixes: ClassVar[tuple[str, ...]] = ("BOOTSTRAP_",)

    bootstrap_database_url: DatabaseUrl = Field(description="URL of a role that may create roles.")
    bootstrap_role_passwords: dict[str, SecretStr] = Field(
        description='JSON object: `{"users_owner": "…", "users_app": "…", …}`.'
    )

    @property
    def passwords(self) -> dict[str, str]:
        """By the role, in the clear."""
        given = self.bootstrap_role_passwords.items()
        return {role: password.get_secret_value() for role, password in given}


class BackupSettings(EnvironmentSettings):
    """Read by `twelvefold backup` only."""

    prefixes: ClassVar[tuple[str, ...]] = ("BACKUP_",)

    backup_database_url: DatabaseUrl = Field(
        description="URL of a role that may read every schema of the suite."
    )
