"""Composes the environment of each child process: exactly the settings that it declares.

Owns which value a name gets on a laptop. What names there are is in the settings classes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from twelvefold.settings import BootstrapSettings, MigrationSettings
from twelvefold_dev.servers.object_store import REGION
from twelvefold_dev.servers.server import StackError

from .secret_store import SecretStore

if TYPE_CHECKING:
    from twelvefold.service.definition import Service
    from twelvefold.settings import EnvironmentSettings

# What the user's own environment may change.
_DEFAULTS = {
    "LOG_LEVEL": "INFO",
    "HTTP_LAME_DUCK": "2",  # of a process that is replaced; one that just ends leaves it out
    "HTTP_GRACE": "5",
    "WORKER_GRACE": "5",  # a released job runs again at the next start
    "MAIL_FROM": "Twelvefold <no-reply@twelvefold.localhost>",
    "ENABLE_CACHING": "true",
    "S3_EAGER": "false",
    # One developer is every client at once, and so is a test.
    "RATE_LIMIT_ANONYMOUS": "100000",
    "RATE_LIMIT_USER": "100000",
    "RATE_LIMIT_ADMIN": "100000",
    "RATE_LIMIT_CREDENTIALS": "100000",
    "RATE_LIMIT_REGISTRATION": "100000",
    "RATE_LIMIT_MAIL": "100000",
    "EMAILS_PER_RECIPIENT": "100000",
    "OTEL_TRACES_SAMPLER_ARG": "1",
}
_PROCESS_DEFAULTS = {
    # Few arenas: a process with some threads stays tens of megabytes smaller.
    "MALLOC_ARENA_MAX": "2",
    # Milliseconds after which spans are sent (the SDK reads it, default 5000): whoever looks at
    # the console has just made the request.
    "OTEL_BSP_SCHEDULE_DELAY": "500",
}
# Compiling every module again would triple the time of every start and reload.
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
# Names in the user's environment that say which server is used instead of an embedded one.
EXTERNAL_POSTGRES = "BOOTSTRAP_DATABASE_URL"
EXTERNAL_REDIS = "REDIS_URL"
EXTERNAL_S3 = "S3_ENDPOINT"
EXTERNAL_SMTP = "SMTP_URL"
OPERATOR = "operator"  # who backs up and restores
TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything is. `postgres` is a superuser's URL."""

    postgres: str
    redis: str
    s3: Mapping[str, str]  # the names S3_… and their values
    smtp: str
    public: str
    console: str = ""  # takes the spans, unless the user's own environment names a collector
    internal: Mapping[str, str] = field(default_factory=dict)  # by service


class Environments:
    """The environments of one stack's processes, made from the user's own."""

    def __init__(
        self,
        services: Mapping[str, Service],
        secrets: SecretStore,
        addresses: Addresses,
        own: Mapping[str, str],
    ) -> None:
        self._services = services
        self._secrets = secrets
        self._addresses = addresses
        self._own = own
        classes = [service.settings for service in services.values()]
        # Each process refuses names that it does not know, so it must not inherit another's.
        self._settings_names = _names([*classes, BootstrapSettings, MigrationSettings])

    def of_service(self, name: str, descriptors: Mapping[str, int]) -> dict[str, str]:
        """`descriptors` by setting, such as HTTP_FD."""
        service = self._services[name]
        known = _names([service.settings])
        composed = {
            **self._composed(service),
            **{setting: str(number) for setting, number in descriptors.items()},
        }
        chosen = {key: value for key, value in self._own.items() if key in known}
        return {
            **self._inherited(),
            **{key: value for key, value in self._defaults().items() if key in known},
            **chosen,
            **{key: value for key, value in composed.items() if key in known},
        }

    def of_preparation(self) -> dict[str, str]:
        """Of the process that bootstraps and migrates."""
        return {
            **self._inherited(),
            "ENVIRONMENT": "development",
            "BOOTSTRAP_DATABASE_URL": self._addresses.postgres,
            "BOOTSTRAP_ROLE_PASSWORDS": json.dumps(self.role_passwords()),
        }

    def of(self, process: str) -> dict[str, str]:
        """What a process is told, beside what it inherits: a service's, or an operator's command.

        Raises StackError for any other.
        """
        if process == OPERATOR:
            preparation = {
                key: value
                for key, value in self.of_preparation().items()
                if key.startswith("BOOTSTRAP_")
            }
            common = {"ENVIRONMENT": "development", **self._addresses.s3}
            return {**common, **preparation, "BACKUP_DATABASE_URL": self._addresses.postgres}
        if process not in self._services:
            raise StackError(f"no process {process!r}: {', '.join([*self._services, OPERATOR])}")
        known = _names([self._services[process].settings])
        told = self.of_service(process, {})
        return {key: value for key, value in told.items() if key in known}

    def role_passwords(self) -> dict[str, str]:
        """Of every schema's owner and app role."""
        return {role: self._password(role) for role in self._roles()}

    def traces_to(self) -> str:
        """Where the services send their spans; empty: nowhere."""
        return (self._defaults() | dict(self._own)).get(TRACES, "")

    def database_url(self, service: str) -> str:
        """As the app role of `service`."""
        return url_as(self._addresses.postgres, f"{service}_app", self._password(f"{service}_app"))

    def _defaults(self) -> dict[str, str]:
        return {**_DEFAULTS, TRACES: self._addresses.console}

    def _inherited(self) -> dict[str, str]:
        # A misspelt name stays in, for the process to report.
        dropped = self._settings_names | {_NO_BYTECODE}
        kept = {key: value for key, value in self._own.items() if key not in dropped}
        return {**_PROCESS_DEFAULTS, **kept, "PYTHONUNBUFFERED": "1"}

    def _composed(self, service: Service) -> dict[str, str]:
        addresses, name = self._addresses, service.name
        callers = {
            f"INTERNAL_SECRETS_{caller.upper()}": self._secrets.get(f"internal.{caller}")
            for caller in self._services
        }
        urls = {f"{callee.upper()}_URL": url for callee, url in addresses.internal.items()}
        return {
            **callers,
            **urls,
            "ENVIRONMENT": "development",
            "LOG_FORMAT": "json",
            "DATABASE_URL": self.database_url(name),
            "REDIS_URL": addresses.redis,
            **addresses.s3,
            "SMTP_URL": addresses.smtp,
            "SECRET_KEY": self._secrets.get(f"secret_key.{name}"),
            "INTERNAL_SECRET": self._secrets.get(f"internal.{name}"),
            "JWT_SIGNING_KEYS": self._secrets.get("jwt.signing_keys", _new_signing_keys),
            "WEB_URL": addresses.public,
        }

    def _roles(self) -> Iterable[str]:
        for service in self._services.values():
            if service.migrations is not None:
                yield service.migrations.owner_role
                yield service.migrations.app_role

    def _password(self, role: str) -> str:
        return self._secrets.get(f"role.{role}")


def url_as(url: str, role: str, password: str) -> str:
    """The same database, as another role."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{role}:{quote(password, safe='')}@{address}").geturl()


def external_s3(own: Mapping[str, str]) -> dict[str, str]:
    """What the user's environment says of an S3 that is used instead of the embedded one."""
    given = {key: value for key, value in own.items() if key.startswith("S3_")}
    return {"S3_REGION": REGION, "S3_BUCKET": "twelvefold", **given}


def _names(classes: Iterable[type[EnvironmentSettings]]) -> set[str]:
    fields = {name.upper() for settings in classes for name in settings.model_fields}
    return fields | {f"{name}_FILE" for name in fields}


def _new_signing_keys() -> str:
    from twelvefold.security.rotation import generate

    return generate(datetime.now(UTC)).to_json()
