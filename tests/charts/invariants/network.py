"""Who can open a connection to whom: the table of edges, and everything that is not in it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from tests.charts.policies import Endpoint, Network
from tests.charts.rendering import BACKING, NAMESPACE, Object, World, title
from tests.suite import CALLS, PUBLIC, SERVICES, servers_of

from .registry import COMMON, Fault, invariant
from .selection import INSTANCE, NAME

_NETWORK = f"{COMMON}/_network.tpl"
_WORLD = (("charts/site.example.yaml", "52.219.0.0/16", "160.0.0.0/4"),)
_WORLD_6 = (("charts/site.example.yaml", "52.219.0.0/16", "'::/0'"),)
METADATA_ADDRESSES = ("169.254.169.254", "fd00:ec2::254")
_PORTS = {"postgres": 5432, "redis": 6379, "s3": 443, "mail": 587}
# From, to, port. `x-migrate` and `x-test` are the one-off pods of each release of x.
EDGES = {
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
_IN_CLUSTER = {
    "gateway": ("istio-system", {"istio": "ingressgateway"}),
    "istiod": ("istio-system", {"app": "istiod"}),
    "dns": ("kube-system", {"k8s-app": "kube-dns"}),
    "monitoring": ("monitoring", {NAME: "prometheus"}),
    "ingress": ("ingress-nginx", {"app.kubernetes.io/component": "controller"}),
    "collector": ("observability", {NAME: "opentelemetry-collector"}),
    # Somebody unknown among us.
    "stranger": (NAMESPACE, {NAME: "stranger"}),
}
# Labelled like somebody who may, but in another namespace.
_IMPOSTORS = {
    f"a false {name}": ("default", labels)
    for name, (_, labels) in (
        *_IN_CLUSTER.items(),
        *((service, ("", {NAME: service, INSTANCE: service})) for service in SERVICES),
    )
}
_OUTSIDE = {
    "postgres": "10.20.0.7",
    "redis": "10.20.1.7",
    "s3": "52.219.1.1",
    "mail": "10.20.2.7",
    "neighbour": "10.20.3.7",
    "internet": "93.184.216.34",
    "metadata": METADATA_ADDRESSES[0],
}
PORTS = (22, 25, 53, 80, 443, 587, 1025, 4318, 5432, 6379, 8000, 8001, 8333, 9000, 15012)


def edges(world: World) -> set[tuple[str, str, int]]:
    """The table, with the ports that development's own servers have, and no collector there."""
    if world.environment != "dev":
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
    found += [
        (name, Endpoint(name, namespace, labels))
        for name, (namespace, labels) in (_IN_CLUSTER | _IMPOSTORS).items()
    ]
    roles = {name for name, _ in found}
    found += [
        (name, Endpoint(name, address=address))
        for name, address in _OUTSIDE.items()
        if name not in roles
    ]
    return found


@invariant(
    Fault(
        "charts/api/values.yaml", "    worker: the worker reports", "    users: the worker reports"
    ),
    Fault("charts/users/values.yaml", "calls:\n", "calls:\n  s3: nothing that it needs\n"),
    Fault("charts/worker/values.yaml", "  mail: mail to users\n", ""),
    Fault(_NETWORK, "policyTypes: [Ingress, Egress]", "policyTypes: [Ingress]"),
    Fault(
        "charts/platform/templates/networkpolicy.yaml",
        "podSelector: {}",
        "podSelector: {matchLabels: {a: b}}",
    ),
    Fault(
        _NETWORK,
        '{{- include "common.peer" (dict "root" . "name" "dns") | trim | nindent 4 }}',
        "[]",
    ),
    Fault(_NETWORK, "      kubernetes.io/metadata.name: {{ $peer.namespace }}", "      {}"),
    Fault(
        f"{COMMON}/_migration.tpl",
        '{{- include "common.egressTo" (dict "root" . "name" "postgres") | nindent 4 }}',
        '{{- include "common.egressTo" (dict "root" . "name" "redis") | nindent 4 }}',
    ),
    Fault("charts/site.example.yaml", "cidrs: [10.20.0.0/24]", "cidrs: [10.20.0.0/16]"),
    Fault(
        f"{COMMON}/_test.tpl",
        '{{- include "common.selector" . | nindent 14 }}',
        "app.kubernetes.io/part-of: twelvefold",
    ),
)
def each_needed_connection_is_allowed_and_every_other_is_denied(world: World) -> Iterator[str]:
    """Each side by itself: neither may rest on what the other one denies."""
    network = Network(world.of("NetworkPolicy"))
    allowed = edges(world)
    everybody = endpoints(world)
    for role, source in everybody:
        for peer, target in everybody:
            if source is target:
                continue
            wanted = {port for port in PORTS if (role, peer, port) in allowed}
            if source.namespace == NAMESPACE:
                called = set() if _other_release(source, target) else wanted
                for port in network.leaves(source, target, PORTS) ^ called:
                    verdict = _verdict(port, called)
                    yield f"{source.name} to {target.name}:{port} {verdict} at its start"
            if target.namespace in (NAMESPACE, BACKING) and not source.address:
                for port in network.enters(source, target, PORTS) ^ wanted:
                    verdict = _verdict(port, wanted)
                    yield f"{source.name} to {target.name}:{port} {verdict} at its end"


def _verdict(port: int, wanted: set[int]) -> str:
    return "is denied" if port in wanted else "is allowed"


def _other_release(source: Endpoint, target: Endpoint) -> bool:
    """A release's test asks its own pods only."""
    testing = source.labels.get(NAME, "").endswith("-test")
    return testing and target.labels.get(INSTANCE) not in (None, source.labels[INSTANCE])


@invariant(
    Fault(
        f"{COMMON}/_network.tpl", "    twelvefold.dev/to-{{ $peer }}: {{ $reason | quote }}\n", ""
    ),
    Fault(
        "istio/routing/templates/_policy.tpl",
        "    twelvefold.dev/to-{{ $peer }}: {{ $reason | quote }}\n",
        "",
    ),
)
def every_way_out_has_its_reason(world: World) -> Iterator[str]:
    for one in world.of("NetworkPolicy", "Sidecar"):
        ways = _ways_out(one)
        annotations = one["metadata"].get("annotations") or {}
        reasons = [name for name in annotations if name.startswith("twelvefold.dev/to-")]
        if ways > len(reasons):
            yield f"{title(one)} opens {ways} ways out and gives {len(reasons)} reasons"


def _ways_out(one: Object) -> int:
    """But for DNS and the control plane, which every pod has."""
    if one["kind"] == "Sidecar":
        hosts = [host for egress in one["spec"]["egress"] for host in egress["hosts"]]
        return sum(host != "./*" for host in hosts)
    ports = [rule["ports"][0]["port"] for rule in one["spec"].get("egress", [])]
    return sum(port not in (53, 15012) for port in ports)


@invariant(
    Fault(
        _NETWORK, "  ports:\n    - {protocol: UDP, port:", "  port:\n    - {protocol: UDP, port:"
    ),
    Fault(
        _NETWORK, '    {{- include "common.peer" . | trim | nindent 4 }}', "    - podSelector: {}"
    ),
    Fault("charts/site.example.yaml", "cidrs: [52.219.0.0/16]", "cidrs: [0.0.0.0/0]"),
)
def no_rule_is_for_everybody_or_for_every_port(world: World) -> Iterator[str]:
    for policy in world.of("NetworkPolicy"):
        for way, peers in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(way, []):
                if not rule.get("ports"):
                    yield f"{title(policy)}: {way} on every port"
                if not rule.get(peers) or {} in rule[peers]:
                    yield f"{title(policy)}: {way} for everybody"
                for peer in rule.get(peers) or []:
                    yield from (f"{title(policy)}: {found}" for found in _too_wide(peer))


def _too_wide(peer: Object) -> Iterator[str]:
    if "ipBlock" in peer:
        if ipaddress.ip_network(peer["ipBlock"]["cidr"]).prefixlen < 8:
            yield f"{peer['ipBlock']} is the internet"
    elif not peer.get("podSelector"):
        yield f"{peer} is every pod"


@invariant(
    Fault(_NETWORK, "except: [{{ . | quote }}]", 'except: ["169.254.1.1/32"]', also=_WORLD),
    Fault(_NETWORK, "(div 2852039166 $size)", "(div 2852039167 (mul $size 2))", also=_WORLD),
    Fault(_NETWORK, "(eq $length 0)", "(eq $length 1)", also=_WORLD_6),
)
def nobody_reaches_the_metadata_address(world: World) -> Iterator[str]:
    for policy in world.of("NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            for peer in rule["to"]:
                block = peer.get("ipBlock")
                if block and _holds_metadata(block):
                    yield f"{title(policy)} lets out to the metadata address by {block}"


def _holds_metadata(block: Object) -> bool:
    for address in map(ipaddress.ip_address, METADATA_ADDRESSES):
        inside = address in ipaddress.ip_network(block["cidr"])
        excepted = any(address in ipaddress.ip_network(net) for net in block.get("except", []))
        if inside and not excepted:
            return True
    return False
