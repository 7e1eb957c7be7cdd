"""Who may open a connection to whom: the table of edges, by what services declare, and all roles.

The invariants compare rendered policies with it, tests/cluster tries it with real pods.
"""

from __future__ import annotations

from tests.charts.policies import Endpoint
from tests.charts.rendering import NAMESPACE, World
from tests.suite import CALLS, PUBLIC, SERVICES, servers_of

NAME, INSTANCE = "app.kubernetes.io/name", "app.kubernetes.io/instance"
Edge = tuple[str, str, int]

_PORTS = {"postgres": 5432, "redis": 6379, "s3": 443, "mail": 587}
# From, to, port. `x-migrate` and `x-test` are the one-off pods of each release of x.
EDGES: set[Edge] = {
    *{("gateway", service, 8000) for service in PUBLIC},
    *{(caller, callee, 8001) for caller, callee in CALLS},
    *{("monitoring", service, 9000) for service in SERVICES},
    *{(service, server, _PORTS[server]) for service in SERVICES for server in servers_of(service)},
    *{(service, "istiod", 15012) for service in SERVICES},
    *{(service, "dns", 53) for service in SERVICES},
    *{(f"{service}-migrate", "postgres", 5432) for service in SERVICES},
    *{(f"{service}-migrate", "dns", 53) for service in SERVICES},
    *{(f"{service}-test", "dns", 53) for service in SERVICES},
    *{(f"{service}-test", service, 9000) for service in SERVICES},
    *{(service, "collector", 4318) for service in SERVICES},
}
_DEVELOPMENT_PORTS = {"s3": 8333, "mail": 1025}
# Of every cloud; and where EKS Pod Identity gives credentials to those that may have them.
METADATA_ADDRESSES = ("169.254.169.254", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254")
IDENTITY_ADDRESSES = ("169.254.170.23", "fd00:ec2::23")

_PODS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("gateway", "istio-system", {"istio": "ingressgateway"}),
    ("istiod", "istio-system", {"app": "istiod"}),
    ("dns", "kube-system", {"k8s-app": "kube-dns"}),
    ("dns", "kube-system", {"k8s-app": "node-local-dns"}),
    ("monitoring", "monitoring", {NAME: "prometheus"}),
    ("ingress", "ingress-nginx", {"app.kubernetes.io/component": "controller"}),
    ("collector", "observability", {NAME: "opentelemetry-collector"}),
    ("pooler", "databases", {"app": "pooler"}),
    # Somebody unknown among us.
    ("stranger", NAMESPACE, {NAME: "stranger"}),
)
# Labelled like somebody who may, but in another namespace.
_IMPOSTORS = tuple(
    (f"a false {name}", "default", labels)
    for name, labels in (
        *((name, labels) for name, _, labels in _PODS),
        *((service, {NAME: service, INSTANCE: service}) for service in SERVICES),
    )
)
_SERVERS = {"postgres": "10.20.0.7", "redis": "10.20.1.7", "s3": "52.219.1.1", "mail": "10.20.2.7"}
_OUTSIDE: tuple[tuple[str, str], ...] = (
    ("dns", "169.254.20.10"),
    ("neighbour", "10.20.3.7"),
    ("internet", "93.184.216.34"),
    ("internet", "2001:db8::7"),
    *(("metadata", address) for address in METADATA_ADDRESSES),
    *(("identity", address) for address in IDENTITY_ADDRESSES),
)
PORTS = (22, 25, 53, 80, 443, 587, 1025, 4318, 5432, 6379, 8000, 8001, 8333, 9000, 15012)


def edges(environment: str) -> set[Edge]:
    """The table, with the ports that development's own servers have, and no collector there."""
    if environment != "dev":
        return EDGES
    return {
        (source, target, _DEVELOPMENT_PORTS.get(target, port))
        for source, target, port in EDGES
        if target != "collector"
    }


def endpoints(world: World) -> list[tuple[str, Endpoint]]:
    """Every role with a pod or an address that has it; releases are several pods of one role."""
    found = [
        (workload.service, Endpoint(str(workload), workload.namespace, workload.labels))
        for workload in world.workloads()
    ]
    roles = {role for role, _ in found}
    found += [
        (role, Endpoint(f"{role} in {namespace}", namespace, labels))
        for role, namespace, labels in (*_PODS, *_IMPOSTORS)
    ]
    outside = [*_OUTSIDE, *((role, at) for role, at in _SERVERS.items() if role not in roles)]
    found += [(role, Endpoint(f"{role} at {at}", address=at)) for role, at in outside]
    return found
