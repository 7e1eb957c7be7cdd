"""The services of the suite, from their declarations: no test lists them by name."""

from __future__ import annotations

from twelvefold.service.definition import Service, calls_of
from twelvefold.service.installed import installed_services
from twelvefold.settings import (
    EnvironmentSettings,
    MailSettings,
    ObjectStoreSettings,
    PostgresSettings,
    RedisSettings,
)

DECLARED: dict[str, Service] = installed_services()
SERVICES = tuple(DECLARED)  # in the order of their migrations
PUBLIC = tuple(name for name, service in DECLARED.items() if service.is_public)
INTERNAL = tuple(name for name, service in DECLARED.items() if service.is_internal)
# What receives requests has weights, subsets and a Service; the rest runs jobs only.
ROUTED = tuple(name for name, service in DECLARED.items() if service.listeners)
# Caller and callee of each internal edge.
CALLS = {
    (name, callee) for name, service in DECLARED.items() for callee in calls_of(service, DECLARED)
}
_GROUPS: dict[type[EnvironmentSettings], str] = {
    PostgresSettings: "postgres",
    RedisSettings: "redis",
    ObjectStoreSettings: "s3",
    MailSettings: "mail",
}


def servers_of(service: str) -> set[str]:
    """Return the backing services that a service's settings connect it to."""
    settings = DECLARED[service].settings
    return {server for group, server in _GROUPS.items() if issubclass(settings, group)}
