"""The definition of a service, by which the suite finds, connects and starts it.

Imports no large package, because the command line loads each service's `Service` to list it.
`http.server.lifecycle.main` starts its process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from twelvefold.security.principals import ADMIN_SCOPE, USER_SCOPES
from twelvefold.settings import ServiceSettings

if TYPE_CHECKING:
    from twelvefold.database.revisions import Migrations

    from .job_handlers import JobHandlers
    from .process import ServiceProcess


class Listener(StrEnum):
    """A listener of a service besides its management port, which every service has."""

    PUBLIC = "public"  # clients, through the gateway
    INTERNAL = "internal"  # other services


SHARED_QUEUE = "default"  # whose worker runs the kinds of all services without a queue
# Who calls the hooks of account data, and why.
_ACCOUNT_DATA_CALLERS = {
    "api": "what it keeps about an account, for its export",
    "worker": "what it keeps about an account, to be erased",
}
_ACCEPTED_CALLER = "what its internal API offers"


@dataclass(frozen=True, slots=True)
class Service:
    """One service, declared once. Every list of services is derived from these declarations.

    `create` is its composition root, `migrations` its schema. `prefixes` are the paths that clients
    may call; no two services share one. `calls` names the services whose internal ports it calls,
    each with the reason, `callers` those whose secrets its own internal port accepts. `scopes` are
    those that its routes require of a token. `links` are pages of its public listener that the
    console offers: paths by title.

    `queue` is what its own process works on: `SHARED_QUEUE`, or the service's name, for which its
    role needs the rights of a consumer (`Migrations.runs_jobs`). Without it, its kinds (`jobs`) are
    run by a worker of the shared queue that has the service's package installed.

    Raises ValueError where the parts contradict each other.
    """

    name: str
    settings: type[ServiceSettings]
    create: Callable[[Any], ServiceProcess]
    migrations: Migrations | None = None
    listeners: frozenset[Listener] = frozenset()
    prefixes: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()
    calls: Mapping[str, str] = field(default_factory=dict)
    scopes: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    jobs: tuple[JobHandlers, ...] = ()
    queue: str | None = None
    # Whether it keeps rows by account. `hooks`: export and erasure call `http.account_data` at its
    # internal port. `own`: they know the service and call routes of its own.
    account_data: Literal["hooks", "own"] | None = None

    def __post_init__(self) -> None:
        if self.prefixes and Listener.PUBLIC not in self.listeners:
            raise ValueError(f"{self.name}: public prefixes need a public listener")
        if self.callers and Listener.INTERNAL not in self.listeners:
            raise ValueError(f"{self.name}: callers need an internal listener")
        if self.name in self.calls:
            raise ValueError(f"{self.name} calls itself")
        if self.queue not in (None, SHARED_QUEUE, self.name):
            raise ValueError(f"{self.name}: a queue of its own has the service's name")
        if self.queue == self.name and not (self.migrations and self.migrations.runs_jobs):
            raise ValueError(f"{self.name}: a queue of its own requires Migrations(runs_jobs=True)")
        if self.account_data == "hooks" and not set(self.callers) >= _ACCOUNT_DATA_CALLERS.keys():
            raise ValueError(f"{self.name}: hooks of account data need the callers api and worker")

    @property
    def is_public(self) -> bool:
        return Listener.PUBLIC in self.listeners

    @property
    def is_internal(self) -> bool:
        return Listener.INTERNAL in self.listeners

    def declaration(self) -> dict[str, Any]:
        """Return what the service declares about itself as a JSON object."""
        return {
            "schema": self.migrations.schema if self.migrations else None,
            "listeners": sorted(self.listeners),
            "prefixes": list(self.prefixes),
            "callers": list(self.callers),
            "calls": dict(self.calls),
            "scopes": list(self.scopes),
            "links": dict(self.links),
            "queue": self.queue,
            "account_data": self.account_data,
        }

    def serves(self, path: str) -> bool:
        """Return whether clients reach `path` at this service."""
        return any(
            path == prefix or path.startswith(f"{prefix.rstrip('/')}/") for prefix in self.prefixes
        )


def further_scopes(services: Iterable[Service]) -> list[str]:
    """Return the scopes of services that a token has besides USER_SCOPES, sorted (JWT_SCOPES)."""
    required = {scope for service in services for scope in service.scopes}
    return sorted(required - {*USER_SCOPES, ADMIN_SCOPE})


def calls_of(service: Service, services: Mapping[str, Service]) -> dict[str, str]:
    """Return the services that a service may call, with the reasons.

    Those that it declares, those with hooks where it calls them, and those that declare it as a
    caller.
    """
    calls = dict(service.calls)
    if reason := _ACCOUNT_DATA_CALLERS.get(service.name):
        for name in account_data_hooks(services.values()):
            calls.setdefault(name, reason)
    for name, other in sorted(services.items()):
        if service.name in other.callers:
            calls.setdefault(name, _ACCEPTED_CALLER)
    return calls


def account_data_hooks(services: Iterable[Service]) -> list[str]:
    """Return the names of the services with hooks of account data, sorted (ACCOUNT_DATA_URLS)."""
    return sorted(service.name for service in services if service.account_data == "hooks")


def find_serving(services: Iterable[Service], path: str) -> Service | None:
    """Return the service at which clients reach `path`, or None where there is none."""
    return next((service for service in services if service.serves(path)), None)


def order_by_calls(services: Mapping[str, Service]) -> list[str]:
    """Return the names in an order in which callers come before the services that they call.

    Services that call each other keep their order in `services`. A call of a service that is not
    among them counts as none.
    """
    ordered: list[str] = []
    visiting: set[str] = set()

    def visit(name: str) -> None:
        if name in ordered or name in visiting or name not in services:
            return
        visiting.add(name)
        for callee in services[name].calls:
            visit(callee)
        ordered.insert(0, name)

    for name in reversed(list(services)):
        visit(name)
    return ordered
