"""The mesh once for all: mTLS, tokens, gateway, what sidecars know, how the proxy answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from tests.charts.rendering import NAMESPACE, Object, World, title
from tests.suite import PUBLIC, SERVICES

from twelvefold.errors import TwelvefoldError

from .identities import AUDIENCE, ISSUERS
from .registry import MESH_POLICY, SERVICE_POLICY, Fault, invariant

_ENTRIES = "istio/mesh/templates/serviceentries.yaml"


@invariant(
    Fault(MESH_POLICY, "spec: {}", "spec: {rules: [{}]}"),
    Fault(MESH_POLICY, "mtls: {mode: STRICT}", "mtls: {mode: PERMISSIVE}"),
    Fault(
        MESH_POLICY,
        "  name: default-deny\n  namespace: {{ .Release.Namespace }}",
        "  name: default-deny\n  namespace: default",
    ),
)
def the_namespace_is_strict_and_denies_by_default(world: World) -> Iterator[str]:
    strict = [
        one
        for one in world.of("PeerAuthentication")
        if one["metadata"]["namespace"] == NAMESPACE and "selector" not in one["spec"]
    ]
    if [one["spec"] for one in strict] != [{"mtls": {"mode": "STRICT"}}]:
        yield f"mTLS is {[one['spec'] for one in strict]}"
    denials = [
        one
        for one in world.of("AuthorizationPolicy")
        if one["metadata"]["namespace"] == NAMESPACE and not one["spec"]
    ]
    if len(denials) != 1:
        yield f"{len(denials)} policies deny by default"


@invariant(
    Fault(MESH_POLICY, "kind: RequestAuthentication", "kind: RequestAuthorization"),
    Fault("charts/common/values.yaml", "port: 8001, public: true}", "port: 8001}"),
    Fault("charts/common/values.yaml", "{app: worker}", "{app: worker, public: true}"),
)
def every_public_service_and_no_other_has_its_tokens_checked(world: World) -> Iterator[str]:
    """Without a RequestAuthentication no claim exists, and a policy on one admits no request."""
    policies = [one["spec"] for one in world.of("RequestAuthentication")]
    for service in PUBLIC:
        labels = {"matchLabels": {"app.kubernetes.io/name": service}}
        own = [spec["jwtRules"] for spec in policies if spec["selector"] == labels]
        if [len(rules) for rules in own] != [1]:
            yield f"{sum(map(len, own))} rules say whose tokens count at {service}"
    if len(policies) != len(PUBLIC):
        yield f"{len(policies)} services have their tokens checked, {len(PUBLIC)} are public"


@invariant(
    Fault(MESH_POLICY, "      audiences: [{{ $.Values.global.tokens.audience | quote }}]\n", ""),
    Fault(MESH_POLICY, "forwardOriginalToken: true", "forwardOriginalToken: false"),
    Fault(
        MESH_POLICY, '      fromHeaders:\n        - {name: Authorization, prefix: "Bearer "}\n', ""
    ),
    Fault(
        "charts/api/values.yaml",
        "JWT_ISSUER: '{{ include \"common.issuer\" . }}'",
        "JWT_ISSUER: another",
    ),
)
def tokens_are_checked_as_the_services_do(world: World) -> Iterator[str]:
    expected = (ISSUERS[world.environment], AUDIENCE)
    for rule in [
        rule for one in world.of("RequestAuthentication") for rule in one["spec"]["jwtRules"]
    ]:
        if (rule["issuer"], *rule.get("audiences", ())) != expected:
            yield f"tokens are of {rule['issuer']} for {rule.get('audiences')}"
        if rule.get("forwardOriginalToken") is not True:
            yield "the token does not reach the service"
        if rule.get("fromHeaders") != [{"name": "Authorization", "prefix": "Bearer "}]:
            yield "tokens are taken from elsewhere than the header"
        if not json.loads(rule["jwks"])["keys"] or '"d"' in rule["jwks"]:
            yield "the keys are not public ones"
    for workload in world.services():
        variables = world.variables(workload)
        accepted = (variables.get("JWT_ISSUER"), variables.get("JWT_AUDIENCE"))
        if "JWT_ISSUER" in variables and accepted != expected:
            yield f"{workload} takes tokens of {accepted[0]} for {accepted[1]}"


@invariant(
    Fault("istio/mesh/templates/gateway.yaml", "mode: SIMPLE", "mode: PASSTHROUGH"),
    Fault(
        "istio/mesh/templates/gateway.yaml",
        "tls: {httpsRedirect: true}",
        "tls: {httpsRedirect: false}",
    ),
    Fault(
        "istio/mesh/templates/gateway.yaml",
        'hosts: {{ include "common.hosts" . }}',
        'hosts: ["*"]',
    ),
)
def clients_come_in_by_tls_for_the_one_host(world: World) -> Iterator[str]:
    (gateway,) = world.of("Gateway")
    servers = {one["port"]["number"]: one for one in gateway["spec"]["servers"]}
    public = [world.named("VirtualService", f"{name}-public") for name in PUBLIC]
    hosts = sorted({host for one in public if one for host in one["spec"]["hosts"]})
    if set(servers) != {80, 443}:
        yield f"the gateway listens on {sorted(servers)}"
    if servers[443]["tls"]["mode"] != "SIMPLE" or servers[80]["tls"] != {"httpsRedirect": True}:
        yield f"the gateway serves {servers}"
    for server in servers.values():
        if server["hosts"] != hosts:
            yield f"the gateway answers for {server['hosts']}, routes are for {hosts}"


def _peers_by_network(world: World, service: str) -> set[str]:
    """Whom the NetworkPolicy lets a service call, by the name in its reasons."""
    policy = world.named("NetworkPolicy", service)
    annotations = policy["metadata"]["annotations"] if policy else {}
    prefix = "twelvefold.dev/to-"
    return {name.removeprefix(prefix) for name in annotations if name.startswith(prefix)}


@invariant(
    Fault("istio/worker/values.yaml", "  mail: mail to users\n", ""),
    Fault("istio/users/values.yaml", "calls:\n", "calls:\n  s3: nothing that it needs\n"),
    Fault(SERVICE_POLICY, "  outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n", ""),
    Fault(
        SERVICE_POLICY,
        "      app.kubernetes.io/name: {{ .Chart.Name }}\n  outbound",
        "      app: {{ .Chart.Name }}\n  outbound",
    ),
)
def a_sidecar_knows_exactly_whom_its_service_may_call(world: World) -> Iterator[str]:
    sidecars = {
        one["spec"]["workloadSelector"]["labels"].get("app.kubernetes.io/name"): one
        for one in world.of("Sidecar")
        if "workloadSelector" in one["spec"]
    }
    for service in SERVICES:
        sidecar = sidecars.get(service)
        if sidecar is None:
            yield f"{service} has no Sidecar"
            continue
        if sidecar["spec"].get("outboundTrafficPolicy") != {"mode": "REGISTRY_ONLY"}:
            yield f"{title(sidecar)} lets out to undeclared hosts"
        prefix = "twelvefold.dev/to-"
        known = {
            name.removeprefix(prefix)
            for name in sidecar["metadata"]["annotations"]
            if name.startswith(prefix)
        }
        if known != _peers_by_network(world, service):
            difference = known ^ _peers_by_network(world, service)
            yield f"{title(sidecar)} and the NetworkPolicy differ in {difference}"


def _external(world: World) -> set[str]:
    """Hosts that Sidecars name in their own namespace and that no Service is."""
    return {
        host.removeprefix("./")
        for one in world.of("Sidecar")
        for egress in one["spec"]["egress"]
        for host in egress["hosts"]
        if host.startswith("./") and not host.endswith((".svc.cluster.local", "*"))
    }


@invariant(
    Fault(_ENTRIES, '{{- if include "common.isExternal" $location }}', "{{- if $peer.tls }}"),
    Fault(_ENTRIES, 'exportTo: ["."]', 'exportTo: ["*"]'),
    Fault(_ENTRIES, "location: MESH_EXTERNAL", "location: MESH_INTERNAL"),
)
def every_host_outside_the_cluster_has_a_serviceentry_and_nothing_else_has(
    world: World,
) -> Iterator[str]:
    entries = {host: one for one in world.of("ServiceEntry") for host in one["spec"]["hosts"]}
    for host in _external(world) ^ set(entries):
        yield f"{host} is {'known and not called' if host in entries else 'called and not known'}"
    for one in world.of("ServiceEntry"):
        if one["spec"]["exportTo"] != ["."] or one["spec"]["location"] != "MESH_EXTERNAL":
            yield f"{title(one)} is for more than this namespace"


_GROUPS = ("networking.istio.io", "security.istio.io", "telemetry.istio.io")


@invariant(
    Fault(
        MESH_POLICY,
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication",
        "apiVersion: security.istio.io/v1beta1\nkind: PeerAuthentication",
    ),
    Fault(
        "charts/platform/templates/configmap.yaml",
        "apiVersion: v1\nkind: ConfigMap",
        "apiVersion: networking.istio.io/v1\nkind: Sidecar",
    ),
)
def istios_objects_are_of_version_one_and_in_the_routing_charts_alone(
    world: World,
) -> Iterator[str]:
    for release, objects in world.rendered:
        for one in objects:
            group, _, version = one["apiVersion"].partition("/")
            if group not in _GROUPS:
                continue
            # EnvoyFilter has no version 1.
            if version != ("v1alpha3" if one["kind"] == "EnvoyFilter" else "v1"):
                yield f"{title(one)} is of {version}"
            if not release.chart.startswith("istio/"):
                yield f"{release.chart} renders {title(one)}"


@invariant(
    Fault(
        "istio/mesh/templates/problems.yaml",
        "context: SIDECAR_INBOUND",
        "context: SIDECAR_OUTBOUND",
    ),
    Fault(
        "istio/mesh/templates/problems.yaml",
        "content_type: application/problem+json\n  json_format:\n    type: {{ .type }}",
        "json_format:\n    type: {{ .type }}",
    ),
    Fault("istio/mesh/templates/problems.yaml", "status_code: {{ .status }}\n", ""),
)
def the_proxys_own_errors_are_problems_at_the_gateway_and_at_services(
    world: World,
) -> Iterator[str]:
    seen: dict[str, Object] = {}
    for one in world.of("EnvoyFilter"):
        for patch in one["spec"]["configPatches"]:
            seen[patch["match"]["context"]] = patch["patch"]["value"]["typed_config"]
    if set(seen) != {"GATEWAY", "SIDECAR_INBOUND"}:
        yield f"problems are for {sorted(seen)}"
    for context, config in seen.items():
        replies = config["local_reply_config"]
        statuses = {mapper.get("status_code") for mapper in replies["mappers"]}
        if not {401, 403, 404, 503, 504} <= statuses:
            yield f"{context} makes problems of {statuses}"
        bodies = [mapper["body_format_override"] for mapper in replies["mappers"]]
        for body in bodies:
            if body.get("content_type") != "application/problem+json":
                yield f"{context} answers as {body.get('content_type')}"


@invariant(
    Fault("istio/mesh/templates/problems.yaml", "The access token is invalid.", "token not valid"),
    Fault("istio/mesh/templates/problems.yaml", '"title" "Not allowed"', '"title" "Forbidden"'),
)
def the_proxys_own_errors_read_as_those_of_the_services(world: World) -> Iterator[str]:
    titles = {f"/problems/{code}": title for code, title in _problem_titles(TwelvefoldError)}
    for one in world.of("EnvoyFilter"):
        for patch in one["spec"]["configPatches"]:
            config = patch["patch"]["value"]["typed_config"]["local_reply_config"]
            for mapper in config["mappers"]:
                problem = mapper["body_format_override"]["json_format"]
                detail, named = problem["detail"], titles.get(problem["type"], problem["title"])
                if problem["title"] != named:
                    yield f"{problem['type']} is titled {problem['title']!r}, not {named!r}"
                if detail != problem["title"] and not re.fullmatch(r"[A-Z].*\.|%\w+%", detail):
                    yield f"{detail!r} is not a sentence"


def _problem_titles(parent: type[TwelvefoldError]) -> Iterator[tuple[str, str]]:
    for child in parent.__subclasses__():
        yield child.code, child.title
        yield from _problem_titles(child)
