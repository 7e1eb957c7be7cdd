"""Where peers may be: at networks and pods in one list, never at the cloud's metadata service."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import helm_python
from tests.charts.edges import METADATA_ADDRESSES, edges, endpoints
from tests.charts.rendering import Object, Release, Values, World, merged, title
from tests.suite import SERVICES, servers_of

from .network import DEFAULTS, NETWORK, PEERS, violations
from .registry import Fault, invariant

_WORLD = (("charts/site.example.yaml", "52.219.0.0/16", "160.0.0.0/4"),)
_WORLD_6 = (("charts/site.example.yaml", "52.219.0.0/16", "'fd00:e00::/24'"),)
_POOLER = {"namespace": "databases", "labels": {"app": "pooler"}}
# What a site may say of its cluster: a database at networks and at pods, and what GKE and EKS need.
LOCATED: Values = {
    "global": {
        "peers": {
            "postgres": {"locations": ["10.20.0.0/24", _POOLER]},
            "dns": {
                "locations": [
                    {"namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
                    {"namespace": "kube-system", "labels": {"k8s-app": "node-local-dns"}},
                    "169.254.20.10/32",
                    "169.254.169.254/32",
                ]
            },
            "cloudIdentity": {"host": "169.254.170.23"},
        }
    }
}
_DNS_BY_METADATA = METADATA_ADDRESSES[0]


def located(world: World) -> list[Object]:
    """The policies of a world whose site says that. Raises HelmError where a chart refuses."""
    releases = [
        Release(
            release.chart,
            release.name,
            release.namespace,
            release.environment,
            merged(release.values, LOCATED),
        )
        for release, _ in world.rendered
    ]
    objects = [one for release in releases for one in release.render(world.root)]
    return [one for one in objects if one["kind"] == "NetworkPolicy"]


@invariant(
    Fault(PEERS, "{{- else }}\n- namespaceSelector:", "{{- else if false }}\n- namespaceSelector:"),
    Fault(PEERS, '(eq $network "169.254.169.254/32")', '(eq $network "169.254.169.254/31")'),
    Fault(PEERS, '{{- if and $found (eq .name "dns")', '{{- if and $found (eq .name "s3")'),
    Fault(NETWORK, "    - {protocol: UDP, port: {{ .Values.global.peers.dns.port }}}\n", ""),
    Fault(
        NETWORK,
        "    - {protocol: TCP, port: {{ .Values.global.peers.dns.port }}}",
        "    - {protocol: TCP, port: 80}",
    ),
    Fault(
        DEFAULTS,
        'locations: [169.254.170.23/32, "fd00:ec2::23/128"]',
        "locations: [169.254.170.23/32]",
    ),
    Fault(DEFAULTS, "      port: 80\n", "      port: 443\n"),
    Fault("charts/worker/values.yaml", "  cloudIdentity: credentials for S3\n", ""),
    Fault("charts/users/values.yaml", "calls:\n", "calls:\n  cloudIdentity: nothing it needs\n"),
)
def a_peer_may_be_at_networks_and_at_pods_and_metadata_is_for_dns_alone(
    world: World,
) -> Iterator[str]:
    if world.environment == "dev":
        return  # whose servers are pods only
    try:
        policies = located(world)
    except helm_python.HelmError as refusal:
        yield f"peers at several places are refused: {refusal}"
        return
    allowed = {
        *edges(world.environment),
        *(
            (source, "pooler", port)
            for source, target, port in edges(world.environment)
            if target == "postgres"
        ),
        *((service, "identity", 80) for service in SERVICES if "s3" in servers_of(service)),
        *((source, "dns", 53) for source, target, _ in edges(world.environment) if target == "dns"),
    }
    everybody = [
        ("dns" if one.address == _DNS_BY_METADATA else role, one) for role, one in endpoints(world)
    ]
    yield from violations(policies, everybody, allowed)


@invariant(
    Fault(PEERS, "except: {{ toJson . }}", 'except: ["169.254.1.1/32"]', also=_WORLD),
    Fault(PEERS, '"169.254.169.254/32" "100', '"100', also=_WORLD),
    Fault(PEERS, "(sub 16 (min 16", "(sub 15 (min 15", also=_WORLD),
    Fault(PEERS, '"fd00:ec2::254/128" ', "", also=_WORLD_6),
    Fault(PEERS, "(sub $length (mul 16 $at))", "(sub $length (mul 15 $at))", also=_WORLD_6),
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


# Peers that say where the metadata service is, and the port of DNS there.
_FORBIDDEN: dict[str, Values] = {
    **{
        f"{name} at {address}": {name: {"locations": [f"{address}/{length}"]}}
        for name in ("s3", "cloudIdentity", "dns")
        for address, length in zip(METADATA_ADDRESSES, (32, 32, 128, 128), strict=True)
        if (name, address) != ("dns", _DNS_BY_METADATA)
    },
    "s3 by a mapped address": {"s3": {"locations": ["::ffff:a9fe:a9fe/128"]}},
    "mail on port 53": {"mail": {"port": 53, "locations": [f"{_DNS_BY_METADATA}/32"]}},
    "dns on port 80": {"dns": {"port": 80, "locations": [f"{_DNS_BY_METADATA}/32"]}},
}


@invariant(
    Fault(PEERS, "(ge $length (ternary 128 32", "(gt $length (ternary 128 32"),
    Fault(PEERS, "{{- if ne (int .port) 53 -}}", "{{- if false -}}"),
    Fault(PEERS, "{{- if and (ge $length 96)", "{{- if and (ge $length 129)"),
    Fault(PEERS, '(eq .name "dns")', '(ne .name "")'),
)
def a_peer_at_the_metadata_service_is_refused(world: World) -> Iterator[str]:
    for what, peers in _FORBIDDEN.items():
        image = {"image": {"tag": "1"}}
        values = merged(image, {"global": {"peers": {"cloudIdentity": {"host": "192.0.2.1"}}}})
        release = Release(
            "charts/worker", "worker", values=merged(values, {"global": {"peers": peers}})
        )
        try:
            release.render(world.root)
        except helm_python.HelmError as refusal:
            if "global.peers." not in str(refusal):
                yield f"{what} is refused as {refusal}"
        else:
            yield f"{what} is not refused"
