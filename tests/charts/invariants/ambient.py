"""Ambient: what ztunnel admits by identity, and what the waypoint admits by request."""

from __future__ import annotations

from collections.abc import Iterator

from tests.charts.edges import EDGES
from tests.charts.entrances import like
from tests.charts.policies import Endpoint, Network, Request, authorized
from tests.charts.rendering import NAMESPACE, Object, World, title
from tests.suite import INTERNAL, PUBLIC, SERVICES

from .identities import AUDIENCE, GATEWAY, ISSUERS, account, public_operations
from .registry import COMMON, Fault, invariant

_AMBIENT = "istio/routing/templates/_ambient.tpl"
_MESH = f"{COMMON}/_mesh.tpl"
_HBONE, _MANAGEMENT = 15008, 9000
_PROBES = ("169.254.7.127", "fd16:9254:7127:1337:ffff:ffff:ffff:ffff")  # the kubelet's, for ambient
_OF_SIDECARS = ("EnvoyFilter", "Sidecar", "ServiceEntry")
_OF_HTTP = ("RequestAuthentication", "Telemetry")


def _ambients(world: World) -> Iterator[tuple[str, World]]:
    for gateway, mesh in (("istio", "ambient"), ("gateway-api", "ambient")):
        yield f"{mesh} behind {gateway}", like(world, gateway, mesh)
    yield "ambient with a waypoint", like(world, "gateway-api", "waypoint")


@invariant(
    Fault(
        "istio/mesh/templates/problems.yaml",
        '{{- if include "common.isSidecar" . }}',
        '{{- if include "common.isMeshed" . }}',
    ),
    Fault(
        "istio/mesh/templates/serviceentries.yaml",
        '{{- if include "common.isSidecar" . }}',
        "{{- if true }}",
    ),
    Fault(
        "istio/mesh/templates/_init.tpl",
        '{{- if or (include "common.isSidecar" .) .Values.global.mesh.waypoint -}}true',
        '{{- if include "common.isMeshed" . -}}true',
    ),
    Fault(
        f"{COMMON}/_deployment.tpl",
        '{{- if include "common.isSidecar" . }}',
        '{{- if include "common.isMeshed" . }}',
    ),
    Fault(
        "charts/platform/templates/namespace.yaml",
        "    istio.io/dataplane-mode: ambient\n",
        "    istio-injection: enabled\n",
    ),
)
def ambient_has_no_object_of_sidecars_and_none_of_http_without_a_waypoint(
    world: World,
) -> Iterator[str]:
    for name, found in _ambients(world):
        kinds = _OF_SIDECARS if "waypoint" in name else (*_OF_SIDECARS, *_OF_HTTP)
        yield from (f"{title(one)} has no effect in {name}" for one in found.of(*kinds))
        for one in found.of("VirtualService"):
            if "mesh" in one["spec"]["gateways"]:
                yield f"{title(one)} is for sidecars, in {name}"
        for workload in found.services():
            of_sidecars = [
                key for key in workload.template["metadata"]["annotations"] if "istio.io/" in key
            ]
            if of_sidecars:
                yield f"{workload} is annotated with {of_sidecars}"
        for one in found.of("Namespace"):
            labels = one["metadata"]["labels"]
            if labels.get("istio.io/dataplane-mode") != "ambient" or "istio-injection" in labels:
                yield f"{title(one)} is not in {name}"


def _of_ztunnel(world: World) -> list[Object]:
    return [
        one
        for one in world.of("AuthorizationPolicy")
        if "targetRefs" not in (one.get("spec") or {})
    ]


def _at_waypoint(world: World, service: str) -> list[Object]:
    """The policies that hold for requests to a Service, in the form that `authorized` takes."""
    found = []
    for one in world.of("AuthorizationPolicy"):
        spec = dict(one.get("spec") or {})
        names = {ref["name"] for ref in spec.pop("targetRefs", [])}
        if names & {service, "waypoint"}:
            found.append({**one, "spec": spec})
    return found


def _labels(service: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": service}


@invariant(
    Fault(_AMBIENT, 'operation: {ports: ["8000"]}', 'operation: {ports: ["8000", "8001"]}'),
    Fault(
        _AMBIENT, 'operation: {ports: ["8000"]}', 'operation: {ports: ["8000"], paths: [/api/*]}'
    ),
    Fault(
        _AMBIENT,
        '        ports: [{{ index $root.Values.global.peers $root.Chart.Name "port" | quote }}]',
        '        ports: ["9999"]',
    ),
    Fault(
        _AMBIENT,
        "ternary $waypoint (include",
        'ternary (include "routing.gatewayPrincipal" .) (include',
    ),
    Fault(_AMBIENT, "          - {{ $waypoint }}\n", '          - "*"\n'),
    Fault("istio/users/values.yaml", ", worker]", "]"),
    Fault("istio/mesh/templates/policy.yaml", "spec: {}", "spec: {rules: [{}]}"),
)
def ztunnel_admits_each_edge_by_identity_and_port_and_no_other(world: World) -> Iterator[str]:
    principals = {name: account(name) for name in (*SERVICES, "default", "waypoint")}
    principals |= {"gateway": GATEWAY, "impostor": "cluster.local/ns/default/sa/api"}
    for name, found in _ambients(world):
        policies = _of_ztunnel(found)
        for policy in policies:
            if of_http := set(_attributes(policy)) - {"principals", "ports"}:
                yield f"{title(policy)} has {sorted(of_http)}: such a rule admits nobody in {name}"
                return
        for service in (*SERVICES, "a-fourth"):
            for caller, principal in principals.items():
                for port in (8000, 8001, 80):
                    wanted = (caller, service, port) in EDGES
                    if "waypoint" in name:
                        served = (service in PUBLIC and port == 8000) or (
                            service in INTERNAL and port == 8001
                        )
                        wanted = caller == "waypoint" and served
                    request = Request(principal, port, "GET", "/")
                    if authorized(policies, NAMESPACE, _labels(service), request) != wanted:
                        verdict = "refused" if wanted else "admitted"
                        yield f"{caller} to {service}:{port} is {verdict} in {name}"


def _attributes(policy: Object) -> Iterator[str]:
    for rule in (policy.get("spec") or {}).get("rules", []):
        for one in rule.get("from", []):
            yield from one["source"]
        for one in rule.get("to", []):
            yield from one["operation"]
        yield from (one["key"] for one in rule.get("when", []))


@invariant(
    Fault(_AMBIENT, "{mode: PERMISSIVE}", "{mode: UNSET}"),
    Fault(_AMBIENT, "  mtls: {mode: STRICT}\n", "  mtls: {mode: PERMISSIVE}\n"),
    Fault(_AMBIENT, '- operation: {ports: [\\"%d\\"]}', '- operation: {ports: [\\"1%d\\"]}'),
    Fault(_MESH, "    - ipBlock: {cidr: 169.254.7.127/32}\n", ""),
)
def the_management_port_is_reached_from_outside_the_mesh_and_no_other(
    world: World,
) -> Iterator[str]:
    """Prometheus and tests scrape in plain text; NetworkPolicies say who may, and admit probes."""
    for name, found in _ambients(world):
        policies, network = _of_ztunnel(found), Network(found.of("NetworkPolicy"))
        plain = {
            one["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"]: one["spec"]
            for one in found.of("PeerAuthentication")
            if "selector" in one["spec"]
        }
        for workload in found.services():
            spec = plain.get(workload.service, {})
            if spec.get("mtls") != {"mode": "STRICT"}:
                yield f"{workload} takes plain text in {name}"
            if spec.get("portLevelMtls") != {str(_MANAGEMENT): {"mode": "PERMISSIVE"}}:
                yield f"{workload} cannot be scraped in {name}"
            request = Request("", _MANAGEMENT, "GET", "/metrics")
            if not authorized(policies, NAMESPACE, workload.labels, request):
                yield f"{workload}: ztunnel refuses a scrape in {name}"
            pod = Endpoint(str(workload), workload.namespace, workload.labels)
            for address in _PROBES:
                probe = Endpoint(address, address=address)
                if network.enters(probe, pod, (8000, 8001, 9000, _HBONE)) != {_MANAGEMENT}:
                    yield f"{workload} is not probed from {address} in {name}"


@invariant(
    Fault(
        _MESH,
        '      gateway.networking.k8s.io/gateway-name: {{ include "common.waypoint" . }}',
        "      app.kubernetes.io/part-of: twelvefold",
    ),
    Fault(
        _MESH, '{{- define "common.hbonePort" -}}15008', '{{- define "common.hbonePort" -}}15009'
    ),
    Fault(_MESH, "(not .root.Values.global.mesh.waypoint)", ".root.Values.global.mesh.waypoint"),
    Fault(
        f"{COMMON}/_network.tpl",
        '    {{- include "common.ambientEgress" . | nindent 4 }}\n',
        "",
    ),
    Fault(
        "istio/mesh/templates/waypoint.yaml",
        '        {{- include "mesh.servicePods" . | nindent 8 }}\n      ports',
        "        - podSelector: {}\n      ports",
    ),
    Fault(
        "istio/mesh/templates/_init.tpl",
        "      app.kubernetes.io/component: service\n",
        "      app.kubernetes.io/component: migration\n",
    ),
)
def pods_of_the_mesh_meet_at_the_port_of_hbone_and_strangers_do_not(world: World) -> Iterator[str]:
    waypoint = Endpoint(
        "waypoint", NAMESPACE, {"gateway.networking.k8s.io/gateway-name": "waypoint"}
    )
    gateway = Endpoint("gateway", "istio-system", {"istio": "ingressgateway"})
    stranger = Endpoint("stranger", NAMESPACE, _labels("stranger"))
    edges = {(caller, callee) for caller, callee, port in EDGES if port in (8000, 8001)}
    via = {("gateway", "waypoint"), *((name, "waypoint") for name in SERVICES)}
    via |= {("waypoint", name) for name in {*PUBLIC, *INTERNAL}}
    for name, found in _ambients(world):
        network = Network(found.of("NetworkPolicy"))
        wanted = via if "waypoint" in name else edges
        everybody = [
            (one.service, Endpoint(str(one), one.namespace, one.labels))
            for one in found.workloads()
            if one.namespace == NAMESPACE
        ]
        everybody += [("gateway", gateway), ("stranger", stranger)]
        everybody += [("waypoint", waypoint)] if "waypoint" in name else []
        for caller, source in everybody:
            for callee, target in everybody:
                if source is target or caller == callee:
                    continue
                allowed = {_HBONE} if (caller, callee) in wanted else set()
                if source is not gateway and network.leaves(source, target, (_HBONE,)) != allowed:
                    yield f"{source.name} to {target.name} differs at its start in {name}"
                if target is not gateway and network.enters(source, target, (_HBONE,)) != allowed:
                    yield f"{source.name} to {target.name} differs at its end in {name}"


@invariant(
    Fault(
        _AMBIENT,
        '{{- include "routing.rules" $root | trim | nindent 4 }}',
        "- {}",
    ),
    Fault(_AMBIENT, 'list "" "-v1" "-v2"', 'list ""'),
    Fault(
        "istio/mesh/templates/waypoint.yaml",
        'spec:\n  targetRefs:\n    {{- include "mesh.waypointRef" . | nindent 4 }}',
        'spec:\n  targetRefs:\n    {{- include "mesh.waypointRef" . | nindent 4 }}\n  rules: [{}]',
    ),
    Fault(
        "istio/mesh/templates/policy.yaml",
        'list "" "-v1" "-v2"',
        'list ""',
    ),
    Fault(_MESH, 'istio.io/ingress-use-waypoint: "true"\n', ""),
    Fault(_MESH, 'istio.io/use-waypoint: {{ include "common.waypoint" . }}\n', ""),
)
def a_waypoint_admits_what_sidecars_do(world: World) -> Iterator[str]:
    found = like(world, "gateway-api", "waypoint")
    yield from _pass_the_waypoint(found)
    issuer = ISSUERS[world.environment]
    tokens = {"no token": (None, None), "a good token": (issuer, AUDIENCE)}
    for service in PUBLIC:
        for release in (service, f"{service}-v1", f"{service}-v2"):
            policies = _at_waypoint(found, release)
            for (method, path), anybody in public_operations(service).items():
                for name, (iss, aud) in tokens.items():
                    wanted = anybody or (name == "a good token" and path.startswith("/api/"))
                    request = Request(GATEWAY, 8000, method, path, iss, aud)
                    if authorized(policies, NAMESPACE, {}, request) != wanted:
                        verdict = "refused" if wanted else "admitted"
                        yield f"{method} {path} of {release} with {name} is {verdict}"
    for service in INTERNAL:
        policies = _at_waypoint(found, service)
        for caller in (*SERVICES, "default"):
            request = Request(account(caller), 8001, "PUT", "/internal/v1/things/1")
            if authorized(policies, NAMESPACE, {}, request) != ((caller, service, 8001) in EDGES):
                yield f"{caller} to {service}:8001 differs from the table"


def _pass_the_waypoint(world: World) -> Iterator[str]:
    """Services lead to the waypoint, the gateway's requests too, and tokens are verified there."""
    verified = {
        one["name"]
        for tokens in world.of("RequestAuthentication")
        for one in tokens["spec"]["targetRefs"]
    }
    for one in world.of("Service"):
        name = one["metadata"]["name"]
        if name.removesuffix("-v1").removesuffix("-v2") not in INTERNAL:
            continue
        labels = one["metadata"]["labels"]
        if labels.get("istio.io/use-waypoint") != "waypoint":
            yield f"{title(one)} is called past the waypoint"
        if labels.get("istio.io/ingress-use-waypoint") != "true":
            yield f"the gateway leads to {title(one)} past the waypoint"
        if name.removesuffix("-v1").removesuffix("-v2") in PUBLIC and name not in verified:
            yield f"tokens for {title(one)} are not verified"


@invariant(
    Fault(_MESH, "istio.io/dataplane-mode: none\n", ""),
    Fault(
        f"{COMMON}/_test.tpl",
        '    {{- include "common.outsideMesh" . | nindent 4 }}\n',
        "",
    ),
)
def one_off_pods_are_outside_the_mesh_in_each_mode(world: World) -> Iterator[str]:
    for name, found in _ambients(world):
        for workload in found.workloads():
            if workload.namespace != NAMESPACE or workload.owner["kind"] == "Deployment":
                continue
            outside = {"sidecar.istio.io/inject": "false", "istio.io/dataplane-mode": "none"}
            if not outside.items() <= workload.labels.items():
                yield f"{workload} is in {name}"
