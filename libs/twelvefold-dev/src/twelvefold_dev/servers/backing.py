"""One embedded server in the foreground, for the pods of a development cluster.

Owns the settings of `twelvefold backing` and its run: start, wait, stop. Not for production: these
servers do not support TLS, and the internal gRPC ports of S3 require no authentication.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr, field_validator

from twelvefold.settings import Environment, EnvironmentSettings
from twelvefold_dev.supervisor.shutdown import ShutdownRequest, run_unless
from twelvefold_dev.system.ports import PortPicker

from .embedded import BUCKET
from .mail_catcher import MailCatcher
from .object_store import SeaweedPorts, SeaweedServer
from .object_store_access import S3Credentials
from .postgres import PostgresServer
from .redis import RedisServer
from .server import EmbeddedServer, ServerFailed

_STDOUT = 1
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+")  # characters that need no escape in a URL (RFC 3986)


class BackingKind(StrEnum):
    """The servers that `twelvefold backing` can run."""

    POSTGRES = "postgres"
    REDIS = "redis"
    S3 = "s3"
    MAIL = "mail"


class BackingSettings(EnvironmentSettings):
    """The settings of every backing server."""

    prefixes: ClassVar[tuple[str, ...]] = ("BACKING_",)

    # Declared again to validate its default too.
    environment: Environment = Field(
        Environment.PRODUCTION, validate_default=True, description="development or testing."
    )
    backing_host: str = Field("0.0.0.0", description="Address to bind.")  # noqa: S104 (a pod's)
    backing_port: int | None = Field(None, ge=1, le=65535, description="None: the default port.")
    backing_data: Path = Field(Path("/data"), description="Directory to keep data under.")

    @field_validator("environment")
    @classmethod
    def _never_deployed(cls, value: Environment) -> Environment:
        if value.is_deployed:
            raise ValueError("must be development or testing")
        return value


class PasswordSettings(BackingSettings):
    """The settings of PostgreSQL and Redis."""

    backing_password: SecretStr = Field(description="Of PostgreSQL's superuser, or of Redis.")

    @field_validator("backing_password")
    @classmethod
    def _fits_urls(cls, value: SecretStr) -> SecretStr:
        if not _UNRESERVED.fullmatch(value.get_secret_value()):
            raise ValueError("must contain only letters, digits and . _ ~ -, at least one")
        return value


class S3Settings(BackingSettings):
    """The settings of S3."""

    backing_s3_access_key_id: str = Field(min_length=1, description="Of the only S3 account.")
    backing_s3_secret_access_key: SecretStr = Field(min_length=1, description="Of that account.")
    backing_s3_bucket: str = Field(BUCKET, description="Created at the start.")


def settings_class(kind: BackingKind) -> type[BackingSettings]:
    """Return the settings class that `create_server` requires for `kind`."""
    if kind is BackingKind.S3:
        return S3Settings
    return BackingSettings if kind is BackingKind.MAIL else PasswordSettings


def create_server(kind: BackingKind, settings: BackingSettings) -> EmbeddedServer:
    """Create the server of that kind, with its data in a directory under `backing_data`."""
    directory, host = settings.backing_data / kind, settings.backing_host
    if isinstance(settings, PasswordSettings):
        password = settings.backing_password.get_secret_value()
        if kind is BackingKind.POSTGRES:
            port = settings.backing_port or 5432
            return PostgresServer(directory, port=port, password=password, host=host)
        port = settings.backing_port or 6379
        return RedisServer(directory, port=port, password=password, host=host)
    if isinstance(settings, S3Settings):
        inner = SeaweedPorts.take(PortPicker(kind))
        return SeaweedServer(
            directory,
            ports=dataclasses.replace(inner, s3=settings.backing_port or 8333),
            credentials=S3Credentials(
                settings.backing_s3_access_key_id,
                settings.backing_s3_secret_access_key.get_secret_value(),
            ),
            bucket=settings.backing_s3_bucket,
            host=host,
        )
    return MailCatcher(directory, port=settings.backing_port or 1025, host=host)


async def serve(server: EmbeddedServer, on_ready: Callable[[], None]) -> None:
    """Run `server` until SIGTERM or SIGINT, its output on stdout. Call `on_ready` once it runs.

    Raises ServerFailed where the server does not start or ends without a request.
    """
    shutdown = ShutdownRequest(force=lambda: None)  # `server.stop` has its own time limit
    shutdown.listen()
    try:
        await run_unless(shutdown.requested, server.start(_STDOUT))
        if shutdown.requested.is_set():
            return
        on_ready()
        code = await run_unless(shutdown.requested, server.wait())
        if not shutdown.requested.is_set():
            raise ServerFailed(server.name, f"ended unexpectedly with code {code}")
    finally:
        await server.stop()
