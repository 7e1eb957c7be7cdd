"""Composition of a stack: its servers, the addresses they listen on, the environment of each
process.

Starts no process.
"""

from __future__ import annotations

import secrets as random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twelvefold.database.revisions import JOBS_MIGRATIONS
from twelvefold.service.definition import Service, find_serving
from twelvefold_dev.checkout import Checkout
from twelvefold_dev.console.config import ConsoleConfig, link
from twelvefold_dev.console.server import ConsoleServer
from twelvefold_dev.environment.composition import (
    EXTERNAL_POSTGRES,
    EXTERNAL_REDIS,
    EXTERNAL_S3,
    EXTERNAL_SMTP,
    Addresses,
    Environments,
    external_s3,
)
from twelvefold_dev.environment.schema_record import SchemaRecord
from twelvefold_dev.environment.secret_store import SecretStore
from twelvefold_dev.servers.embedded import BUCKET, EmbeddedServers
from twelvefold_dev.servers.object_store import REGION
from twelvefold_dev.servers.object_store_access import S3Credentials
from twelvefold_dev.servers.server import EmbeddedServer, ExternalServer, Server
from twelvefold_dev.system.ports import PortPicker

from .public_ports import PublicPorts
from .service_process import INTERNAL, PUBLIC, ServiceProcess, ServiceSockets

_ACCOUNTS = "/api/v1/users"  # the path of registration, at the edge


class Wiring:
    """The servers, sockets and environments of one stack."""

    def __init__(
        self,
        checkout: Checkout,
        services: Mapping[str, Service],
        user_environment: Mapping[str, str],
    ) -> None:
        """Bind the sockets of the services. Raises StackError or OSError where that fails.

        `user_environment` may name external servers and override settings.
        """
        self.checkout = checkout
        self.services = services
        # The service at which accounts are registered and mailed links end.
        self.edge = find_serving(services.values(), _ACCOUNTS)
        secrets = SecretStore(checkout.secrets)
        credentials = secrets.server_credentials()
        embedded = EmbeddedServers(
            checkout.data, credentials, PortPicker(str(checkout.root)), mail_folder=checkout.mail
        )
        self.postgres = _select_server(user_environment, EXTERNAL_POSTGRES, embedded.postgres)
        self.redis = _select_server(user_environment, EXTERNAL_REDIS, embedded.redis)
        self.object_store = _select_server(user_environment, EXTERNAL_S3, embedded.object_store)
        self.mail = _select_server(user_environment, EXTERNAL_SMTP, embedded.mail)
        # The edge first: it gets the best-known port.
        bound = sorted(services, key=lambda name: services[name] is not self.edge)
        self.ports = PublicPorts(checkout.ports, user_environment)
        self.sockets = {name: ServiceSockets.bind(services[name], self.ports) for name in bound}
        self.console = ConsoleServer(checkout.run, self._configure_console)
        self._started = time.time()
        self._token = secrets.get("console.token", lambda: random.token_urlsafe(16))
        self.addresses = Addresses(
            postgres=self.postgres.url,
            redis=self.redis.url,
            s3=_s3(self.object_store, credentials.s3, user_environment),
            smtp=self.mail.url,
            edge=(self.edge and self.sockets[self.edge.name].url(PUBLIC)) or "",
            console=self.console.url,
            internal=self._urls(INTERNAL),
            public=self._urls(PUBLIC),
            demo_account=str(checkout.demo),
        )
        self.environments = Environments(services, secrets, self.addresses, user_environment)

    @property
    def servers(self) -> tuple[Server, ...]:
        return self.postgres, self.redis, self.object_store, self.mail, self.console

    def process(self, service: str, number: int) -> ServiceProcess:
        """Create one process of `service`, on the sockets that all of its processes share."""
        return ServiceProcess(
            self.sockets[service],
            number,
            lambda descriptors: self.environments.of_service(service, descriptors),
            self.checkout.root,
        )

    def endpoints(self, processes: Mapping[str, ServiceProcess]) -> dict[str, Any]:
        """Return the content of endpoints.json. `processes` holds the first of each service."""
        management = {name: process.url for name, process in processes.items()}
        return {**self._fixed_endpoints(), "management": management}

    def _fixed_endpoints(self) -> dict[str, Any]:
        return {
            "api": self.addresses.edge,
            "postgres": self.addresses.postgres,
            "redis": self.addresses.redis,
            "s3": self.object_store.url,
            "mail": self.addresses.smtp,
            "console": self.console.url,
            "public": dict(self.addresses.public),
            "internal": dict(self.addresses.internal),
        }

    def _configure_console(self, descriptor: int, url: str) -> ConsoleConfig:
        return ConsoleConfig(
            root=str(self.checkout.root),
            descriptor=descriptor,
            url=url,
            token=self._token,
            started=self._started,
            services=tuple(self.services),
            links={name: dict(service.links) for name, service in self.services.items()},
            jobs_url=self.environments.database_url(JOBS_MIGRATIONS.service),
            redis_url=self.addresses.redis,
            traces_to=self.environments.traces_to(),
            endpoints=self._fixed_endpoints(),
            mail_folder=str(self.checkout.mail) if isinstance(self.mail, EmbeddedServer) else None,
        )

    @property
    def console_link(self) -> str | None:
        """The console's URL with its token, or None while it does not run.

        endpoints.json does not contain the token.
        """
        return link(self.console.url, self._token) if self.console.is_alive else None

    def schema_record(self) -> SchemaRecord:
        passwords = self.environments.role_passwords()
        return SchemaRecord(self.checkout.schemas, self.postgres, self.services, passwords)

    def data_homes(self) -> list[Path]:
        """Return the data directories of the embedded servers."""
        return [server.home for server in self.servers if isinstance(server, EmbeddedServer)]

    def close(self) -> None:
        """Close the sockets of the console and of the services."""
        self.console.close()
        for sockets in self.sockets.values():
            sockets.close()

    def _urls(self, setting: str) -> dict[str, str]:
        """Return the URLs of one kind of listener by service."""
        urls = {name: sockets.url(setting) for name, sockets in self.sockets.items()}
        return {name: url for name, url in urls.items() if url is not None}


def _select_server(
    user_environment: Mapping[str, str], setting: str, embedded: EmbeddedServer
) -> Server:
    url = user_environment.get(setting)
    return ExternalServer(embedded.name, url) if url else embedded


def _s3(
    server: Server, credentials: S3Credentials, user_environment: Mapping[str, str]
) -> dict[str, str]:
    if isinstance(server, ExternalServer):
        return external_s3(user_environment)
    return {
        "S3_ENDPOINT": server.url,
        "S3_PUBLIC_ENDPOINT": server.url,
        "S3_REGION": REGION,
        "S3_BUCKET": BUCKET,
        "S3_ACCESS_KEY_ID": credentials.access_key_id,
        "S3_SECRET_ACCESS_KEY": credentials.secret_access_key,
    }


def mail_folder(checkout: Checkout, server: Server) -> str:
    """Return the folder of caught mail, or the URL of the external mail server."""
    return str(checkout.mail) if isinstance(server, EmbeddedServer) else server.url
