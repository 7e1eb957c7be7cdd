"""Who can open a connection to whom: the table of edges, and everything that is not in it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from tests.charts.edges import (
    INSTANCE,
    NAME,
    PORTS,
    Edge,
    edges,
    endpoints,
)
from tests.charts.policies import Endpoint, Network
from tests.charts.rendering import (
    BACKING,
    NAMESPACE,
    Object,
    World,
    title,
)

from .registry import COMMON, Fault, invariant

NETWORK, PEERS = f"{COMMON}/_network.tpl", f"{COMMON}/_peers.tpl"
DEFAULTS = "charts/common/values.yaml"


@invariant(
    Fault(
        "charts/api/values.yaml", "    worker: the worker reports", "    users: the worker reports"
    ),
    Fault("charts/users/values.yaml", "calls:\n", "calls:\n  s3: nothing that it needs\n"),
    Fault("charts/worker/values.yaml", "  mail: mail to users\n", ""),
    Fault(NETWORK, "policyTypes: [Ingress, Egress]", "policyTypes: [Ingress]"),
    Fault(
        "charts/platform/templates/networkpolicy.yaml",
        "podSelector: {}",
        "podSelector: {matchLabels: {a: b}}",
    ),
    Fault(
        NETWORK,
        '{{- include "common.peer" (dict "root" . "name" "dns") | trim | nindent 4 }}',
        "[]",
    ),
    Fault(NETWORK, "    - {protocol: UDP, port: {{ .Values.global.peers.dns.port }}}\n", ""),
    Fault(DEFAULTS, "        - 169.254.20.10/32\n", ""),
    Fault(PEERS, "      kubernetes.io/metadata.name: {{ .namespace }}", "      {}"),
    Fault(
        f"{COMMON}/_migration.tpl",
        '{{- include "common.egressTo" (dict "root" . "name" "postgres") | nindent 4 }}',
        '{{- include "common.egressTo" (dict "root" . "name" "redis") | nindent 4 }}',
    ),
    Fault("charts/site.example.yaml", "locations: [10.20.0.0/24]", "locations: [10.20.0.0/16]"),
    Fault(
        f"{COMMON}/_test.tpl",
        '{{- include "common.selector" . | nindent 14 }}',
        "app.kubernetes.io/part-of: twelvefold",
    ),
)
def each_needed_connection_is_allowed_and_every_other_is_denied(world: World) -> Iterator[str]:
    """Each side by itself: neither may rest on what the other one denies."""
    everybody = endpoints(world)
    yield from violations(world.of("NetworkPolicy"), everybody, edges(world.environment))


def violations(
    policies: list[Object],
    everybody: list[tuple[str, Endpoint]],
    allowed: set[Edge],
) -> Iterator[str]:
    """What policies deny against the table of edges by TCP, or allow; by UDP there is DNS only."""
    network = Network(policies)
    for role, source in everybody:
        for peer, target in everybody:
            if source is target:
                continue
            tcp = {port for port in PORTS if (role, peer, port) in allowed}
            for protocol, wanted in (("TCP", tcp), ("UDP", tcp & {53})):
                if source.namespace == NAMESPACE:
                    called = set() if _other_release(source, target) else wanted
                    for port in network.leaves(source, target, PORTS, protocol) ^ called:
                        verdict = f"{protocol} {port} {_verdict(port, called)}"
                        yield f"{source.name} to {target.name}: {verdict} at its start"
                if target.namespace in (NAMESPACE, BACKING) and not source.address:
                    for port in network.enters(source, target, PORTS, protocol) ^ wanted:
                        verdict = f"{protocol} {port} {_verdict(port, wanted)}"
                        yield f"{source.name} to {target.name}: {verdict} at its end"


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
    Fault(NETWORK, "  ports:\n    - {protocol: UDP, port:", "  port:\n    - {protocol: UDP, port:"),
    Fault(
        NETWORK, '    {{- include "common.peer" . | trim | nindent 4 }}', "    - podSelector: {}"
    ),
    Fault("charts/site.example.yaml", "locations: [52.219.0.0/16]", "locations: [0.0.0.0/0]"),
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
