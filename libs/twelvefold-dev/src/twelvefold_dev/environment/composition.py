"""Composition of the environment of each child process: exactly the settings that it declares.

Owns the value of each setting on a laptop; the settings classes define the names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from twelvefold.service.definition import account_data_hooks, further_scopes
from twelvefold.service.installed import settings_of
from twelvefold.settings import BootstrapSettings, MigrationSettings
from twelvefold_dev.servers.embedded import BUCKET
from twelvefold_dev.servers.object_store import REGION
from twelvefold_dev.servers.server import StackError

from .secret_store import SecretStore

if TYPE_CHECKING:
    from twelvefold.service.definition import Service
    from twelvefold.settings import EnvironmentSettings

# Values that the user's environment may override.
_DEFAULTS = {
    "LOG_LEVEL": "INFO",
    "HTTP_LAME_DUCK": "2",  # for a replaced process; a process that stops skips the phase
    "HTTP_GRACE": "5",
    "WORKER_GRACE": "5",  # a released job runs again at the next start
    "ENABLE_CACHING": "true",
    "S3_EAGER": "false",
    # A developer or a test is the only client, so per-client limits would reject its requests.
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
    # Fewer arenas save tens of megabytes in a process with several threads.
    "MALLOC_ARENA_MAX": "2",
    # Milliseconds until spans are sent (read by the SDK, default 5000), so that the console shows
    # a request shortly after it was made.
    "OTEL_BSP_SCHEDULE_DELAY": "500",
}
# Without bytecode files, every start and reload takes three times as long.
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
# Names in the user's environment that select an external server instead of an embedded one.
EXTERNAL_POSTGRES = "BOOTSTRAP_DATABASE_URL"
EXTERNAL_REDIS = "REDIS_URL"
EXTERNAL_S3 = "S3_ENDPOINT"
EXTERNAL_SMTP = "SMTP_URL"
OPERATOR = "operator"  # pseudo-process with the environment of backup and restore
TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT"


@dataclass(frozen=True, slots=True)
class Addresses:
    """The URLs of a stack. `postgres` contains the superuser's credentials."""

    postgres: str
    redis: str
    s3: Mapping[str, str]  # the settings whose names start with S3_
    smtp: str
    edge: str  # the public URL at which mailed links end
    console: str = ""  # receives the spans unless the user's environment names a collector
    internal: Mapping[str, str] = field(default_factory=dict)  # by service
    public: Mapping[str, str] = field(default_factory=dict)  # by service
    demo_account: str = ""  # path of the file that records it


class Environments:
    """The environments of a stack's processes, based on the user's environment."""

    def __init__(
        self,
        services: Mapping[str, Service],
        secrets: SecretStore,
        addresses: Addresses,
        user_environment: Mapping[str, str],
    ) -> None:
        self._services = services
        self._secrets = secrets
        self._addresses = addresses
        self._user_environment = user_environment
        classes = [settings_of(service) for service in services.values()]
        # A process rejects settings that it does not declare, so it must not inherit those of
        # another one.
        self._settings_names = _names([*classes, BootstrapSettings, MigrationSettings])

    def of_service(self, name: str, descriptors: Mapping[str, int]) -> dict[str, str]:
        """Return the environment of a service. `descriptors` by setting, such as HTTP_FD."""
        service = self._services[name]
        known = _names([settings_of(service)])
        composed = {
            **self._compose(service),
            **{setting: str(number) for setting, number in descriptors.items()},
        }
        overrides = {key: value for key, value in self._user_environment.items() if key in known}
        return {
            **self._inherit(),
            **{key: value for key, value in self._defaults().items() if key in known},
            **overrides,
            **{key: value for key, value in composed.items() if key in known},
        }

    def of_preparation(self) -> dict[str, str]:
        """Return the environment of the process that bootstraps and migrates the database."""
        return {
            **self._inherit(),
            "ENVIRONMENT": "development",
            "BOOTSTRAP_DATABASE_URL": self._addresses.postgres,
            "BOOTSTRAP_ROLE_PASSWORDS": json.dumps(self.role_passwords()),
        }

    def of(self, process: str) -> dict[str, str]:
        """Return the settings of a service or of OPERATOR, without inherited variables.

        Raises StackError for another name.
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
            names = ", ".join([*self._services, OPERATOR])
            raise StackError(f"no process {process!r}: choose from {names}")
        known = _names([settings_of(self._services[process])])
        environment = self.of_service(process, {})
        return {key: value for key, value in environment.items() if key in known}

    def role_passwords(self) -> dict[str, str]:
        """Return the passwords of the owner and app role of every schema, by role."""
        return {role: self._password(role) for role in self._roles()}

    def traces_to(self) -> str:
        """Return the URL to which the services send their spans; empty if they send none."""
        return (self._defaults() | dict(self._user_environment)).get(TRACES, "")

    def database_url(self, service: str) -> str:
        """Return the database URL with the app role of `service`."""
        return url_as(self._addresses.postgres, f"{service}_app", self._password(f"{service}_app"))

    def _defaults(self) -> dict[str, str]:
        name = self._user_environment.get("SUITE_NAME", "Twelvefold")
        return {
            **_DEFAULTS,
            "MAIL_FROM": f"{name} <no-reply@twelvefold.localhost>",
            TRACES: self._addresses.console,
        }

    def _inherit(self) -> dict[str, str]:
        # A misspelt name is inherited, so that the process reports it.
        dropped = self._settings_names | {_NO_BYTECODE}
        kept = {key: value for key, value in self._user_environment.items() if key not in dropped}
        return {**_PROCESS_DEFAULTS, **kept, "PYTHONUNBUFFERED": "1"}

    def _compose(self, service: Service) -> dict[str, str]:
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
            "JWT_SIGNING_KEYS": self._secrets.get("jwt.signing_keys", _generate_signing_keys),
            "JWT_SCOPES": ",".join(further_scopes(self._services.values())),
            "WEB_URL": addresses.edge,
            "ACCOUNT_DATA_URLS": ",".join(
                f"{callee}={url}"
                for callee, url in addresses.internal.items()
                if callee in account_data_hooks(self._services.values())
            ),
            **({"DOCS_DEMO_ACCOUNT": addresses.demo_account} if addresses.demo_account else {}),
        }

    def _roles(self) -> Iterable[str]:
        for service in self._services.values():
            if service.migrations is not None:
                yield service.migrations.owner_role
                yield service.migrations.app_role

    def _password(self, role: str) -> str:
        return self._secrets.get(f"role.{role}")


def url_as(url: str, role: str, password: str) -> str:
    """Return `url` with the credentials of another role."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{role}:{quote(password, safe='')}@{address}").geturl()


def external_s3(user_environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of the external S3 that the user's environment selects."""
    settings = {key: value for key, value in user_environment.items() if key.startswith("S3_")}
    return {"S3_REGION": REGION, "S3_BUCKET": BUCKET, **settings}


def _names(classes: Iterable[type[EnvironmentSettings]]) -> set[str]:
    fields = {name.upper() for settings in classes for name in settings.model_fields}
    return fields | {f"{name}_FILE" for name in fields}


def _generate_signing_keys() -> str:
    from twelvefold.security.rotation import generate

    return generate(datetime.now(UTC)).to_json()
