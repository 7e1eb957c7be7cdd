"""What the charts leave to Argo Rollouts and Flagger, and what both find in the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.charts.rendering import Object, Release, Values, World, merged, title
from tests.suite import ROUTED, SERVICES

from twelvefold.observability.metrics import CATALOGUE, DURATION_BUCKETS

from .registry import COMMON, SERVICE_ROUTES, Fault, invariant

CONTROLLERS = ("argo-rollouts", "flagger")
_ROLLOUT = f"{COMMON}/_rollout.tpl"
_CANARY = "istio/routing/templates/_canary.tpl"
_COPIES = ("primary", "canary")


def controlled(world: World, controller: str) -> list[Object]:
    """Pods and routes of every service as they are under a controller."""
    site: Values = {"global": {"rolloutController": controller}}
    objects: list[Object] = []
    for release, _ in world.rendered:
        if release.is_second or release.chart.rpartition("/")[2] not in SERVICES:
            continue
        off = {"canary": {"enabled": False}} if "canary" in release.values else {}
        values = merged(merged(release.values, site), off)
        objects += Release(
            release.chart, release.name, release.namespace, release.environment, values
        ).render(world.root)
    return objects


def of(objects: list[Object], kind: str) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


@invariant(
    Fault("charts/api/values.yaml", "routes: [events, uploads,", "routes: [event, uploads,"),
    Fault("charts/users/values.yaml", "- {name: users, routes:", "- {name: accounts, routes:"),
    Fault("charts/api/values.yaml", "    - {name: api, routes: [all]}\n", ""),
    Fault(_ROLLOUT, "canarySubsetName: v2", "canarySubsetName: canary"),
    Fault(
        "istio/routing/templates/_virtualservice.tpl",
        "| empty | ternary $canary.weight 0 | int",
        "| empty | ternary 0 $canary.weight | int",
    ),
    Fault(
        "istio/routing/templates/_destinationrule.tpl",
        '| ternary "v1" $subset',
        '| ternary $subset "v1"',
    ),
)
def argo_rollouts_finds_every_route_with_both_subsets_and_none_at_the_new_pods(
    world: World,
) -> Iterator[str]:
    objects = controlled(world, "argo-rollouts")
    services, rules = of(objects, "VirtualService"), of(objects, "DestinationRule")
    for name, rollout in of(objects, "Rollout").items():
        routing = rollout["spec"]["strategy"]["canary"].get("trafficRouting", {}).get("istio")
        if name not in ROUTED:
            if routing:
                yield f"{title(rollout)} has no requests to route"
            continue
        named = {one["name"]: one["routes"] for one in routing["virtualServices"]}
        rule = routing["destinationRule"]
        subsets = {one["name"]: one["labels"] for one in rules[rule["name"]]["spec"]["subsets"]}
        pair = [rule["stableSubsetName"], rule["canarySubsetName"]]
        labels = rollout["spec"]["template"]["metadata"]["labels"]
        if set(subsets) != set(pair) or any(
            not found.items() <= labels.items() for found in subsets.values()
        ):
            yield f"{title(rollout)}: the subsets are {subsets}"
        mine = {
            found["metadata"]["name"]: [
                route["name"]
                for route in found["spec"]["http"]
                if not route["name"].endswith(("-canary", "-experiment"))
            ]
            for found in services.values()
            if any(host.startswith(f"{name}.") for host in _destinations(found))
        }
        if mine != named:
            yield f"{title(rollout)} sets weights of {named}, the routes are {mine}"
        for found, names in mine.items():
            for route in services[found]["spec"]["http"]:
                weights = [
                    (one["destination"]["subset"], one.get("weight")) for one in route["route"]
                ]
                if route["name"] in names and weights != [(pair[0], 100), (pair[1], 0)]:
                    yield f"{found} {route['name']} begins at {weights}"


def _destinations(service: Object) -> set[str]:
    return {
        one["destination"]["host"]
        for route in service["spec"]["http"]
        for one in route.get("route", [])
    }


@invariant(
    Fault(f"{COMMON}/_shared.tpl", '(not (include "common.isFlagger" .))', "true"),
    Fault(
        SERVICE_ROUTES,
        '(ternary (printf "%s-routes" $root.Chart.Name) $root.Chart.Name $isFlagger)',
        "$root.Chart.Name",
    ),
    Fault(
        SERVICE_ROUTES,
        "(not (and $isFlagger $public))",
        "true",
        also=((SERVICE_ROUTES, '(printf "%s-routes" $root.Chart.Name)', "$root.Chart.Name"),),
    ),
    Fault(_CANARY, "kind: Deployment, name: {{ $name }}", "kind: Rollout, name: {{ $name }}"),
    Fault(_ROLLOUT, "app: {{ .Chart.Name }}\n", "\n"),
    Fault(_CANARY, "delegation: true", "delegation: false"),
    Fault(
        f"{COMMON}/_deployment.tpl",
        '{{- if include "common.isFlagger" . }}\n              # Flagger copies',
        "{{- if false }}\n              # Flagger copies",
    ),
    Fault(
        "istio/routing/templates/_policy.tpl",
        '(printf "%s-canary" $peer.app)',
        '(printf "%s-next" $peer.app)',
    ),
)
def flagger_finds_the_pods_and_nothing_that_it_makes_itself(world: World) -> Iterator[str]:
    objects = controlled(world, "flagger")
    deployments, canaries = of(objects, "Deployment"), of(objects, "Canary")
    if set(canaries) != set(ROUTED):
        yield f"canaries are of {sorted(canaries)}"
    for kind in ("Service", "VirtualService", "DestinationRule"):
        for name in set(canaries) & set(of(objects, kind)):
            yield f"Flagger makes the {kind} {name}, which a chart renders"
    for name, canary in canaries.items():
        target = canary["spec"]["targetRef"]
        if (target["kind"], target["name"]) != ("Deployment", name):
            yield f"{title(canary)} is of {target}"
        # Without `app` Flagger would rename app.kubernetes.io/name, by which policies select.
        spec = deployments[name]["spec"]
        for labels in (spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]):
            if labels.get("app") != name:
                yield f"{title(deployments[name])} is told apart by {labels}"
        if canary["spec"]["service"].get("delegation") is not True:
            yield f"{title(canary)} would make routes of its own"
        yield from _copied(deployments[name], canary)
    yield from _delegated(objects)


def _copied(deployment: Object, canary: Object) -> Iterator[str]:
    """What Flagger would make of the Deployment's container."""
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    if "sleep" in container["lifecycle"]["preStop"]:
        yield f"{title(deployment)} waits by an action that Flagger drops"
    ports = [port["containerPort"] for port in container["ports"]]
    if canary["spec"]["service"]["port"] not in ports:
        yield f"{title(canary)} serves no port of the pods"


def _delegated(objects: list[Object]) -> Iterator[str]:
    canaries = of(objects, "Canary")
    for canary in canaries.values():
        for metric in canary["spec"]["analysis"]["metrics"]:
            if metric["templateRef"]["name"] not in of(objects, "MetricTemplate"):
                yield f"{title(canary)} reads {metric['templateRef']}"
    for service in of(objects, "VirtualService").values():
        for route in service["spec"]["http"]:
            if route.get("delegate", {}).get("name") not in canaries or "route" in route:
                yield f"{title(service)} {route['name']} is not left to Flagger"
    for sidecar in of(objects, "Sidecar").values():
        hosts = {host for one in sidecar["spec"]["egress"] for host in one["hosts"]}
        for name in ROUTED:
            own = f"./{name}."
            copies = {
                host.replace(own, f"./{name}-{copy}.")
                for host in hosts
                for copy in _COPIES
                if host.startswith(own)
            }
            if not copies <= hosts:
                yield f"{title(sidecar)} does not know {sorted(copies - hosts)}"


_SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}
_METRIC = re.compile(r"\b([a-z_]+)\{")


@invariant(
    Fault(_ROLLOUT, "sum(rate(http_requests_total", "sum(rate(http_responses_total"),
    Fault(_ROLLOUT, 'pod=~"%s-{{args.hash}}-.+"', 'pod=~"%s-.+"'),
    Fault(_CANARY, "-[0-9a-z]+-[0-9a-z]+", "-.+"),
    Fault(_ROLLOUT, 'le="0.5"', 'le="0.4"'),
)
def an_analysis_reads_metrics_that_there_are_of_the_new_pods_alone(world: World) -> Iterator[str]:
    known = {
        f"{metric.name.removesuffix('_total')}{suffix}"
        for metric in CATALOGUE
        for suffix in _SUFFIXES[metric.kind]
    }
    for name, query, new, others in _queries(world):
        for metric in _METRIC.findall(query):
            if metric not in known:
                yield f"{name} reads {metric}"
        for bound in re.findall(r'le="([^"]+)"', query):
            if float(bound) not in DURATION_BUCKETS:
                yield f"{name} reads the bucket {bound}"
        for pattern in re.findall(r'pod=~"([^"]+)"', query):
            if not re.fullmatch(pattern, new):
                yield f"{name} does not read {new}"
            for other in others:
                if re.fullmatch(pattern, other):
                    yield f"{name} reads {other} too"


def _queries(world: World) -> Iterator[tuple[str, str, str, list[str]]]:
    """Each query with the name of a new pod and those of pods that are none."""
    for one in controlled(world, "argo-rollouts"):
        if one["kind"] == "AnalysisTemplate":
            service = one["metadata"]["name"]
            for metric in one["spec"]["metrics"]:
                query = metric["provider"]["prometheus"]["query"].replace("{{args.hash}}", "6d5f")
                yield title(one), query, f"{service}-6d5f-x2k9p", [f"{service}-7c8d-x2k9p"]
    for one in controlled(world, "flagger"):
        if one["kind"] == "MetricTemplate":
            service = one["metadata"]["name"].partition("-")[0]
            query = one["spec"]["query"].replace("{{ target }}", service)
            yield title(one), query, f"{service}-6d5f-x2k9p", [f"{service}-primary-6d5f-x2k9p"]
