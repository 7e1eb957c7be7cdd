"""Where requests are led: hosts, ports, subsets, weights, and what is led nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

from tests.charts.rendering import (
    NAMESPACE,
    Object,
    Values,
    World,
    merged,
    releases,
    title,
)
from tests.suite import INTERNAL, PUBLIC

from .identities import public_operations
from .registry import COMMON, DESTINATION_RULE, SERVICE_ROUTES, VIRTUAL_SERVICE, Fault, invariant

SUFFIX = f".{NAMESPACE}.svc.cluster.local"


def routes(world: World) -> Iterator[tuple[Object, Object]]:
    for service in world.of("VirtualService"):
        for route in service["spec"]["http"]:
            yield service, route


@invariant(
    Fault(DESTINATION_RULE, "- name: {{ $subset }}", "- name: {{ $subset }}-pods"),
    Fault(DESTINATION_RULE, 'dig "labels" dict | toJson', 'dig "" (dict "version" "v3") | toJson'),
    Fault(
        "istio/routing/templates/_init.tpl",
        "{{ .name }}.{{ .root.Release.Namespace }}.svc",
        "{{ .name }}.svc",
    ),
    Fault(SERVICE_ROUTES, '  "port" 8000\n', '  "port" 8080\n'),
)
def every_route_leads_to_a_host_a_port_and_a_subset_with_pods(world: World) -> Iterator[str]:
    ports = {
        f"{one['metadata']['name']}.{one['metadata']['namespace']}.svc.cluster.local": {
            port["port"] for port in one["spec"]["ports"]
        }
        for one in world.of("Service")
    }
    subsets = {
        (rule["spec"]["host"], subset["name"]): subset["labels"]
        for rule in world.of("DestinationRule")
        for subset in rule["spec"]["subsets"]
    }
    for service, route in routes(world):
        for destination in (one["destination"] for one in route["route"]):
            host, port = destination["host"], destination["port"]["number"]
            labels = subsets.get((host, destination["subset"]))
            name = host.removesuffix(SUFFIX)
            if port not in ports.get(host, set()):
                yield f"{title(service)} {route['name']} leads to {host}:{port}"
            if labels is None:
                yield f"{title(service)} {route['name']} leads to no subset {destination['subset']}"
            elif not any(
                workload.service == name and labels.items() <= workload.labels.items()
                for workload in world.services()
            ):
                yield f"{title(service)} {route['name']}: no pod of {name} has {labels}"


@invariant(
    Fault(
        SERVICE_ROUTES,
        '    (dict "name" "rest" "retries" "never")))) }}',
        "    ))) }}",
    ),
    Fault(
        SERVICE_ROUTES,
        '(dict "name" "reads" "match" $reads',
        '(dict "name" "all" "retries" "never") (dict "name" "reads" "match" $reads',
    ),
)
def each_host_of_the_mesh_has_one_catch_all_and_it_is_the_last(world: World) -> Iterator[str]:
    for service in world.of("VirtualService"):
        if service["spec"]["gateways"] != ["mesh"]:
            continue
        open_ends = [
            index for index, one in enumerate(service["spec"]["http"]) if "match" not in one
        ]
        if open_ends != [len(service["spec"]["http"]) - 1]:
            yield f"{title(service)} has catch-alls at {open_ends}"


@invariant(
    Fault(
        SERVICE_ROUTES,
        '"gateways" (list "mesh")',
        '"gateways" (list "mesh" '
        '(printf "%s/%s" $root.Release.Namespace $root.Values.global.mesh.gateway))',
    ),
    Fault(
        SERVICE_ROUTES,
        '"hosts" (include "common.hosts" $root | fromJsonArray)',
        '"hosts" (list (include "routing.host" (dict "root" $root "name" "api")))',
    ),
    Fault(
        SERVICE_ROUTES,
        '"hosts" (list (include "routing.host" (dict "root" $root "name" $root.Chart.Name)))',
        '"hosts" (list (include "routing.host" (dict "root" $root "name" "api")))',
    ),
)
def an_internal_host_has_one_virtualservice_and_it_is_bound_to_the_mesh_alone(
    world: World,
) -> Iterator[str]:
    for service in INTERNAL:
        host = f"{service}{SUFFIX}"
        found = [one for one in world.of("VirtualService") if host in one["spec"]["hosts"]]
        if len(found) != 1 or found[0]["spec"]["gateways"] != ["mesh"]:
            bound = [one["spec"]["gateways"] for one in found]
            yield f"{host} is routed by {len(found)} VirtualServices, bound to {bound}"


def _prefixes(service: Object) -> set[str]:
    return {
        match["uri"]["prefix"]
        for route in service["spec"]["http"]
        for match in route.get("match", [])
        if "prefix" in match.get("uri", {})
    }


@invariant(
    Fault(
        "istio/api/values.yaml", "    - /api/v1/jobs\n", "    - /api/v1/jobs\n    - /internal/v1\n"
    ),
    Fault("istio/api/values.yaml", "    - /api/v1/jobs\n", "    - /\n"),
    Fault("istio/api/values.yaml", "    - /docs\n", "    - /docs\n    - /metrics\n"),
)
def the_gateway_leads_to_public_paths_of_the_public_port_only(world: World) -> Iterator[str]:
    private = ("/internal/v1", "/metrics", "/info", "/livez", "/readyz")
    public = [one for one in world.of("VirtualService") if one["spec"]["gateways"] != ["mesh"]]
    for service in public:
        for prefix in _prefixes(service):
            if any(path.startswith(prefix) for path in private):
                yield f"{title(service)} leads {prefix} to clients"
        for route in service["spec"]["http"]:
            if any(one["destination"]["port"]["number"] != 8000 for one in route["route"]):
                yield f"{title(service)} {route['name']} leads to an internal port"
    for one, other in combinations(public, 2):
        for prefix in _prefixes(one):
            if clash := [
                found
                for found in _prefixes(other)
                if found.startswith(prefix) or prefix.startswith(found)
            ]:
                yield f"{title(one)} and {title(other)} both take {prefix} and {clash}"


_INGRESS: Values = {
    "global": {"mesh": {"mode": "none"}, "trustedProxies": ["10.0.0.0/16"]},
    "ingress": {"enabled": True},
}


def _led_by_ingress(world: World) -> Iterator[tuple[str, str]]:
    """Each prefix of a path and the service that it leads to, the longest first."""
    found = []
    for release in releases(world.environment, second=False):
        if release.chart.removeprefix("charts/") not in PUBLIC:
            continue
        with_ingress = replace(release, values=merged(release.values, _INGRESS))
        for one in with_ingress.render(world.root):
            if one["kind"] == "Ingress":
                rules = [rule["http"]["paths"] for rule in one["spec"]["rules"]]
                found += [(path["path"], path["backend"]["service"]["name"]) for path in rules[0]]
    yield from sorted(found, key=lambda one: -len(one[0]))


@invariant(
    Fault("charts/api/values.yaml", "    - /problems\n", ""),
    Fault("charts/api/values.yaml", "    - /api\n", "    - /api/v1/users\n"),
    Fault(
        f"{COMMON}/_ingress.tpl", "{service: {name: {{ $.Chart.Name }}", "{service: {name: users"
    ),
)
def without_a_mesh_the_ingress_leads_every_public_operation_to_its_service(
    world: World,
) -> Iterator[str]:
    prefixes = list(_led_by_ingress(world))
    for service in PUBLIC:
        for _, path in public_operations(service):
            led = next((name for prefix, name in prefixes if _is_under(path, prefix)), None)
            if led != service:
                yield f"the Ingress leads {path} of {service} to {led}"


def _is_under(path: str, prefix: str) -> bool:
    """Whether an Ingress path of type Prefix matches: by whole segments."""
    return path == prefix or path.startswith(f"{prefix.rstrip('/')}/")


@invariant(
    Fault(
        VIRTUAL_SERVICE,
        '"header" "canary" "value" $canary.header',
        '"header" "x-canary" "value" $canary.header',
    ),
    Fault(
        VIRTUAL_SERVICE,
        "- {weight: 50, destination: {host: {{ $host }}, subset: v2,",
        "- {weight: 50, destination: {host: {{ $host }}, subset: v1,",
    ),
    Fault(VIRTUAL_SERVICE, "{{ sub 100 $weight }}", "100"),
    Fault(
        VIRTUAL_SERVICE,
        "    - name: {{ $class.name }}-experiment",
        "    - name: {{ $class.name }}-test",
    ),
)
def each_class_of_requests_knows_canary_experiment_and_weights(world: World) -> Iterator[str]:
    for service in world.of("VirtualService"):
        names = [route["name"] for route in service["spec"]["http"]]
        by_name = {route["name"]: route for route in service["spec"]["http"]}
        for name in (name for name in names if not name.endswith(("-canary", "-experiment"))):
            kinds = [f"{name}-canary", f"{name}-experiment", name]
            if [one for one in names if one in kinds] != kinds:
                yield f"{title(service)}: {name} has not its three rules in order"
                continue
            canary, experiment, plain = (by_name[one] for one in kinds)
            yield from _led(f"{title(service)} {kinds[0]}", canary, {"v2": 100}, ("canary", "true"))
            yield from _led(
                f"{title(service)} {kinds[1]}",
                experiment,
                {"v1": 50, "v2": 50},
                ("experiment", "variant-b"),
            )
            yield from _led(f"{title(service)} {name}", plain, {"v1": 90, "v2": 10}, None)


def _led(
    whose: str, route: Object, weights: dict[str, int], header: tuple[str, str] | None
) -> Iterator[str]:
    found = {one["destination"]["subset"]: one.get("weight", 100) for one in route["route"]}
    if found != weights:
        yield f"{whose} weighs {found}"
    for match in route.get("match", []):
        headers = match.get("headers", {})
        if header and headers.get(header[0]) != {"exact": header[1]}:
            yield f"{whose} goes by {headers}"
        if not header and {"canary", "experiment"} & set(headers):
            yield f"{whose} is not for everybody"


@invariant(
    Fault("istio/api/values.yaml", "    - /api/v1/analytics\n", ""),
    Fault("istio/api/values.yaml", "paths: [/openapi.json, /health, /ready,", "paths: [/health,"),
)
def every_public_operation_has_a_route(world: World) -> Iterator[str]:
    for name in PUBLIC:
        public = world.named("VirtualService", f"{name}-public")
        for method, path in public_operations(name):
            if not any(
                fits(match, method, path)
                for route in (public["spec"]["http"] if public else [])
                for match in route["match"]
            ):
                yield f"{method} {path} leads nowhere"


def fits(match: Object, method: str, path: str) -> bool:
    """Whether a match is for such a request without further headers."""
    uri, verb = match.get("uri", {}), match.get("method", {"exact": method})
    by_path = (
        uri.get("exact") == path
        or ("prefix" in uri and path.startswith(uri["prefix"]))
        or ("regex" in uri and re.fullmatch(uri["regex"], path) is not None)
    )
    by_method = re.fullmatch(verb.get("regex", re.escape(verb.get("exact", ""))), method)
    return by_path and by_method is not None and not match.get("headers")
