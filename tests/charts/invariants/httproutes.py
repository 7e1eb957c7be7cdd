"""Where HTTPRoutes lead: by the longest path, then by the most headers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.charts.entrances import PARENT, like
from tests.charts.policies import selects
from tests.charts.rendering import Object, World, title
from tests.suite import INTERNAL, PUBLIC

from .identities import public_operations
from .registry import COMMON, Fault, invariant

_ROUTE = "istio/routing/templates/_httproute.tpl"
_INSTANCE = f"{COMMON}/_instance.tpl"
_CANARY, _EXPERIMENT = {"canary": "true"}, {"experiment": "variant-b"}
# Whose requests go where, in percent: with the canary on and at its default weight.
_SHARES: tuple[tuple[Mapping[str, str], dict[str, int]], ...] = (
    ({}, {"v1": 90, "v2": 10}),
    (_CANARY, {"v1": 0, "v2": 100}),
    (_EXPERIMENT, {"v1": 50, "v2": 50}),
)
_PRIVATE = ("/internal/v1/users", "/metrics", "/info", "/livez", "/readyz", "/", "/api/v1/usersx")
_MAX_RULES, _MAX_MATCHES, _MAX_ALL_MATCHES = 16, 64, 128  # of the CustomResourceDefinition


def _rank(match: Object, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, ...]:
    """How well a match fits a request; empty where it does not. The greater one wins."""
    value, kind = match["path"]["value"], match["path"]["type"]
    exact = kind == "Exact" and value == path
    below = kind == "PathPrefix" and f"{path}/".startswith(f"{value.rstrip('/')}/")
    wanted = {one["name"]: one["value"] for one in match.get("headers", [])}
    if not (exact or below) or match.get("method", method) != method:
        return ()
    if not wanted.items() <= headers.items():
        return ()
    return (int(exact), len(value), int("method" in match), len(wanted))


def led(
    route: Object, method: str, path: str, headers: Mapping[str, str] | None = None
) -> Object | None:
    """The rule that a request is led by, or None where it is led nowhere."""
    ranked = [
        (max(_rank(match, method, path, headers or {}) for match in rule["matches"]), rule)
        for rule in route["spec"]["rules"]
    ]
    best = max((rank for rank, _ in ranked), default=())
    return next(rule for rank, rule in ranked if rank == best) if best else None


def _public(world: World) -> Iterator[tuple[str, Object | None]]:
    for name in PUBLIC:
        yield name, world.named("HTTPRoute", f"{name}-public")


@invariant(
    Fault("istio/api/values.yaml", "    - /api/v1/analytics\n", ""),
    Fault("istio/api/values.yaml", "    - /api/v1/jobs\n", "    - /\n"),
    Fault("istio/api/values.yaml", "    - /docs\n", "    - /docs\n    - /internal/v1\n"),
    Fault(_ROUTE, '"type" "Exact"', '"type" "RegularExpression"'),
    Fault(_ROUTE, '"hosts" (include "common.hosts" . | fromJsonArray)', '"hosts" list'),
    Fault(_ROUTE, '"parents" .Values.global.gatewayApi.parents', '"parents" list'),
)
def an_httproute_leads_every_public_operation_to_api_and_nothing_else(
    world: World,
) -> Iterator[str]:
    for mesh in ("sidecar", "ambient", "none"):
        found = like(world, "gateway-api", mesh)
        for name, route in _public(found):
            if route is None:
                yield f"{name} has no HTTPRoute with mesh {mesh}"
                continue
            spec = route["spec"]
            if spec["parentRefs"] != [PARENT] or not spec.get("hostnames"):
                yield f"{title(route)} is for {spec.get('hostnames')} of {spec['parentRefs']}"
            for method, path in public_operations(name):
                if led(route, method, path) is None:
                    yield f"{method} {path} leads nowhere with mesh {mesh}"
            for path in _PRIVATE:
                if led(route, "GET", path) is not None:
                    yield f"{title(route)} leads {path} to clients"


@invariant(
    Fault(
        _ROUTE,
        '"value" $canary.header "weights" (list 0 100)',
        '"value" $canary.header "weights" (list 100 0)',
    ),
    Fault(_ROUTE, '"header" "canary"', '"header" "x-canary"'),
    Fault(_ROUTE, '"weights" (list 50 50)', '"weights" (list 1 99)'),
    Fault(_ROUTE, "(list (sub 100 (int $canary.weight)) (int $canary.weight))", "(list 50 50)"),
    Fault(_ROUTE, "name: {{ $service }}-v2", "name: {{ $service }}-v1"),
    Fault(
        _INSTANCE,
        '    {{- include "common.selector" . | nindent 4 }}\n  ports',
        "    app.kubernetes.io/name: {{ .Chart.Name }}\n  ports",
    ),
    Fault(_INSTANCE, '(hasKey .Values.ports "http")', '(hasKey .Values.ports "web")'),
    Fault(_INSTANCE, "$global.mesh.waypoint) -}}true", "false) -}}true"),
    Fault(_ROUTE, '  "port" .port\n', '  "port" 8000\n'),
)
def an_httproute_gives_each_release_its_share_by_its_own_service(world: World) -> Iterator[str]:
    """Clients' requests in every mesh; calls between services where a waypoint divides them."""
    for mesh in ("sidecar", "none", "waypoint"):
        found = like(world, "gateway-api", mesh)
        routes = [(name, route, 8000) for name, route in _public(found)]
        if mesh == "waypoint":
            routes += [(name, found.named("HTTPRoute", name), 8001) for name in INTERNAL]
        for name, route, port in routes:
            if route is None:
                yield f"{name} has no HTTPRoute for port {port}"
                continue
            path = "/internal/v1/things" if port == 8001 else next(iter(public_operations(name)))[1]
            for headers, shares in _SHARES:
                rule = led(route, "GET", path, headers)
                weights = {one["name"]: one["weight"] for one in (rule or {})["backendRefs"]}
                wanted = {f"{name}-{subset}": share for subset, share in shares.items()}
                if weights != wanted:
                    yield f"{title(route)} with {headers} weighs {weights}"
            yield from _backends(found, route, name, port)


def _backends(world: World, route: Object, name: str, port: int) -> Iterator[str]:
    """Services that a route leads to have the port, and the pods of one release."""
    for backend in (one for rule in route["spec"]["rules"] for one in rule["backendRefs"]):
        service = world.named("Service", backend["name"])
        ports = {one["port"] for one in service["spec"]["ports"]} if service else set()
        if service is None or backend["port"] != port or port not in ports:
            yield f"{title(route)} leads to {backend}, whose ports are {ports}"
            continue
        selector = {"matchLabels": service["spec"]["selector"]}
        pods = {str(one) for one in world.services() if selects(selector, one.labels)}
        release = name if backend["name"].endswith("-v1") else f"{name}-canary"
        if pods != {f"Deployment {service['metadata']['namespace']}/{release}"}:
            yield f"{title(service)} selects {sorted(pods)}"


@invariant(
    Fault("istio/api/values.yaml", "  streams: [/api/v1/jobs]\n", "  streams: []\n"),
    Fault(_ROUTE, '"match" . "timeout" "0s"', '"match" . "timeout" "15s"'),
    Fault(_ROUTE, '"timeout" .Values.timeouts.request', '"timeout" "0s"'),
    Fault(_ROUTE, "      timeouts: {request: {{ $rule.class.timeout }}}\n", ""),
)
def an_httproute_times_out_but_for_event_streams(world: World) -> Iterator[str]:
    route = like(world, "gateway-api", "none").named("HTTPRoute", "api-public")
    if route is None:
        yield "api has no HTTPRoute"
        return
    for method, path in public_operations("api"):
        stream = path.endswith("/events")
        for headers, _ in _SHARES:
            rule = led(route, method, path, headers) or {}
            timeout = rule.get("timeouts", {}).get("request")
            allowed = {"0s"} if stream else {"30s"}
            # Other reads of jobs end by the API's own timeout.
            if not stream and method == "GET" and path.startswith("/api/v1/jobs"):
                allowed = {"0s", "30s"}
            if timeout not in allowed:
                yield f"{method} {path} with {headers} has the timeout {timeout}"


@invariant(
    Fault(
        _ROUTE,
        '"type" "PathPrefix" "value" (trimSuffix',
        '"type" "RegularExpression" "value" (trimSuffix',
    ),
    Fault(_ROUTE, "    - matches:\n", "    - name: rule\n      matches:\n"),
    Fault("istio/routing/values.yaml", "  filters: []\n", "  filters: [{type: URLRewrite}]\n"),
)
def an_httproute_asks_for_nothing_that_only_some_gateways_have(world: World) -> Iterator[str]:
    """Core features, and timeouts; within the bounds that the API server checks by CEL."""
    for route in like(world, "gateway-api", "waypoint").of("HTTPRoute"):
        rules = route["spec"]["rules"]
        counts = [len(rule["matches"]) for rule in rules]
        if len(rules) > _MAX_RULES or max(counts) > _MAX_MATCHES or sum(counts) > _MAX_ALL_MATCHES:
            yield f"{title(route)} has {len(rules)} rules with {counts} matches"
        for rule in rules:
            if extra := set(rule) - {"matches", "timeouts", "backendRefs", "filters"}:
                yield f"{title(route)} has {sorted(extra)}"
            if {one["type"] for one in rule.get("filters", [])} - {"RequestRedirect"}:
                yield f"{title(route)} filters {rule['filters']}"
            kinds = {match["path"]["type"] for match in rule["matches"]}
            if not kinds <= {"Exact", "PathPrefix"}:
                yield f"{title(route)} matches by {sorted(kinds)}"


@invariant(
    Fault(_ROUTE, "requestRedirect: {scheme: https", "requestRedirect: {scheme: http"),
    Fault(_ROUTE, '(dict "sectionName" $.Values.global.gatewayApi.httpListener)', "dict"),
    Fault(_ROUTE, "    - matches: {{ toJson $all }}\n", "    - matches: {{ toJson $streams }}\n"),
)
def plain_http_is_redirected_at_the_gateway(world: World) -> Iterator[str]:
    found = like(world, "gateway-api", "none")
    for name in PUBLIC:
        route = found.named("HTTPRoute", f"{name}-redirect")
        if route is None:
            yield f"{name} serves plain HTTP"
            continue
        if [one.get("sectionName") for one in route["spec"]["parentRefs"]] != ["http"]:
            yield f"{title(route)} is for {route['spec']['parentRefs']}"
        for method, path in public_operations(name):
            rule = led(route, method, path) or {}
            schemes = [one["requestRedirect"]["scheme"] for one in rule.get("filters", [])]
            if schemes != ["https"] or "backendRefs" in rule:
                yield f"{method} {path} is served in plain text"


@invariant(
    Fault(
        "istio/mesh/templates/gateway.yaml",
        "{{- if not .Values.global.gatewayApi.enabled }}",
        "{{- if true }}",
    ),
    Fault(
        "istio/routing/templates/_service.tpl",
        '{{ include "routing.publicHttpRoute" $root }}\n{{- else if $public }}',
        '{{ include "routing.publicHttpRoute" $root }}\n{{- end }}\n{{- if $public }}',
    ),
)
def one_kind_of_gateway_has_the_host(world: World) -> Iterator[str]:
    for mesh in ("sidecar", "ambient"):
        found = like(world, "gateway-api", mesh)
        for one in found.of("Gateway"):
            if one["apiVersion"].startswith("networking.istio.io/"):
                yield f"{title(one)} serves the host of the HTTPRoutes"
        for one in found.of("VirtualService"):
            if one["spec"]["gateways"] != ["mesh"]:
                yield f"{title(one)} leads clients beside the HTTPRoutes"


@invariant(
    Fault(
        "istio/routing/templates/_destinationrule.tpl",
        '(dict "root" $.root "exportTo" $.exportTo "instance" $subset)',
        '(dict "root" $.root "instance" $subset)',
    ),
    Fault(
        "istio/routing/templates/_destinationrule.tpl",
        '{{- if or (include "routing.hasPublicHttpRoutes" .root) .root.Values.global.mesh.waypoint }}',  # noqa: E501 (one line of the template)
        "{{- if false }}",
    ),
)
def a_mesh_calls_the_service_of_one_release_as_that_of_both(world: World) -> Iterator[str]:
    """Limits, mTLS and outlier detection hold for the hosts that HTTPRoutes lead to."""
    for mesh in ("sidecar", "waypoint"):
        found = like(world, "gateway-api", mesh)
        rules = {one["spec"]["host"].partition(".")[0]: one for one in found.of("DestinationRule")}
        for route in found.of("HTTPRoute"):
            for rule in route["spec"]["rules"]:
                for backend in rule.get("backendRefs", []):
                    name = backend["name"]
                    ours, both = rules.get(name), rules[name.rpartition("-")[0]]
                    if ours is None or ours["spec"]["exportTo"] != both["spec"]["exportTo"]:
                        yield f"{title(route)} leads to {name}, which no DestinationRule knows"
                    elif ours["spec"]["trafficPolicy"] != both["spec"]["trafficPolicy"]:
                        yield f"{title(ours)} differs from {title(both)}"
