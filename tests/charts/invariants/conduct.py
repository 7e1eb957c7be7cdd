"""How requests are treated on their way: tries, timeouts, and pods that fail."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tests.charts.rendering import Object, World, title
from tests.suite import INTERNAL, PUBLIC

from .lifecycle import defaults
from .registry import (
    API_ROUTES,
    DESTINATION_RULE,
    SERVICE_ROUTES,
    VIRTUAL_SERVICE,
    Fault,
    invariant,
)
from .routing import SUFFIX, fits, routes

SAFE = {"connect-failure", "refused-stream", "reset-before-request"}


def _methods(route: Object) -> set[str]:
    """Methods of a route; those that write where it is for all."""
    found: set[str] = set()
    for match in route.get("match", [{}]):
        method = match.get("method", {"regex": "GET|HEAD|POST|PUT|PATCH|DELETE"})
        found |= set(method.get("exact", method.get("regex", "")).split("|"))
    return found


@invariant(
    Fault(
        VIRTUAL_SERVICE,
        "  retryOn: connect-failure,refused-stream,reset-before-request",
        "  retryOn: 5xx,reset",
    ),
    Fault(
        VIRTUAL_SERVICE,
        "  attempts: {{ $values.retries.keyed }}",
        "  attempts: {{ $values.retries.keyed }}\n  perTryTimeout: 2s",
    ),
    Fault(
        SERVICE_ROUTES,
        '(dict "name" "rest" "match" $all "retries" "never")',
        '(dict "name" "rest" "match" $all "retries" "keyed")',
    ),
    Fault(
        API_ROUTES,
        '(dict "name" "uploads" "match" $uploads "retries" "never")',
        '(dict "name" "uploads" "match" $uploads "retries" "keyed")',
    ),
    Fault(VIRTUAL_SERVICE, "retries: {attempts: 0}", "# the default of the mesh"),
    Fault(DESTINATION_RULE, "retryBudget: {percent: {{ . }}", "retryBudget: {percent: 100"),
)
def only_what_may_be_repeated_is_tried_again(world: World) -> Iterator[str]:
    """Design section 11: an upload is never sent twice, a write only where nothing was done."""
    for service, route in routes(world):
        whose = f"{title(service)} {route['name']}"
        retries = route.get("retries")
        if retries is None:
            yield f"{whose} leaves retries to the mesh's default"
            continue
        if not retries["attempts"]:
            continue
        conditions = set(retries["retryOn"].split(","))
        reads = _methods(route) <= {"GET", "HEAD"}
        keyed = all(
            "idempotency-key" in match.get("headers", {}) for match in route.get("match", [{}])
        )
        by_job = service["spec"]["hosts"] == [f"api{SUFFIX}"]  # the worker's, idempotent by job
        if retries["attempts"] > 3:
            yield f"{whose} tries {retries['attempts']} times more"
        if not reads and not keyed and not by_job:
            yield f"{whose} repeats writes"
        if not reads and (not conditions <= SAFE or "perTryTimeout" in retries):
            yield f"{whose} repeats a write after {sorted(conditions)}"
    for rule in world.of("DestinationRule"):
        if not rule["spec"]["trafficPolicy"].get("retryBudget", {}).get("percent", 100) <= 20:
            yield f"{title(rule)}: retries may double the load"


@invariant(
    Fault(
        API_ROUTES,
        '"match" $events "endless" true "retries" "never"',
        '"match" $events "retries" "never"',
    ),
    Fault(
        API_ROUTES,
        '"match" $events "endless" true "retries" "never"',
        '"match" $events "endless" true "retries" "reads"',
    ),
    Fault(
        API_ROUTES,
        '(dict "name" "events" "match" $events',
        '(dict "name" "events" "match" $uploads',
    ),
)
def the_event_stream_has_a_route_without_timeout_and_retries(world: World) -> Iterator[str]:
    path = "/api/v1/jobs/0191e0c4-0000-7000-8000-000000000000/events"
    public = world.named("VirtualService", "api-public")
    for route in public["spec"]["http"] if public else []:
        if any(fits(match, "GET", path) for match in route["match"]):
            if "timeout" in route or route["retries"] != {"attempts": 0}:
                yield f"the event stream goes by {route['name']}, which ends it or begins it again"
            return
    yield "the event stream has no route of its own"


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


@invariant(
    Fault("charts/api/values.yaml", 'HTTP_REQUEST_TIMEOUT: "28"', 'HTTP_REQUEST_TIMEOUT: "30"'),
    Fault("istio/users/values.yaml", "  request: 10s", "  request: 4s"),
    Fault(
        VIRTUAL_SERVICE,
        "timeout: {{ $values.timeouts.request }}",
        "timeout: 1s",
    ),
)
def the_services_own_timeout_comes_before_the_routes(world: World) -> Iterator[str]:
    """So that a slow request ends in our problem, not in the proxy's."""
    public, internal = defaults("api").http_request_timeout, defaults("api").internal_timeout
    own = dict.fromkeys(INTERNAL, internal) | {
        f"{one.service}-public": float(world.variables(one).get("HTTP_REQUEST_TIMEOUT", public))
        for one in world.services()
        if one.service in PUBLIC
    }
    for service, route in routes(world):
        name = service["metadata"]["name"]
        if "timeout" not in route:
            if not route["name"].startswith("events"):
                yield f"{title(service)} {route['name']} never gives up"
            continue
        timeout = _seconds(route["timeout"])
        if timeout <= own[name]:
            where = f"{title(service)} {route['name']}"
            yield f"{where} gives up after {timeout} s, the service after {own[name]}"
        one_try = route["retries"].get("perTryTimeout")
        if one_try and not 0 < _seconds(one_try) < timeout:
            yield f"{title(service)} {route['name']}: one try takes all the time"


@invariant(
    Fault(DESTINATION_RULE, "simple: LEAST_REQUEST", "simple: ROUND_ROBIN"),
    Fault(
        DESTINATION_RULE,
        "maxEjectionPercent: {{ .values.maxEjectionPercent }}",
        "maxEjectionPercent: 10",
    ),
    Fault(DESTINATION_RULE, "minHealthPercent: {{ .values.minHealthPercent }}\n", ""),
    Fault("istio/routing/values.yaml", "    v1: 3", "    v1: 5"),
    Fault(DESTINATION_RULE, "mode: ISTIO_MUTUAL", "mode: DISABLE"),
    Fault(
        DESTINATION_RULE,
        '"true" | ternary (list "v1" "v2") (list "v1")',
        '"true" | ternary (list "v1") (list "v1")',
    ),
)
def pods_that_fail_are_taken_out_for_a_while(world: World) -> Iterator[str]:
    for rule in world.of("DestinationRule"):
        policy = rule["spec"]["trafficPolicy"]
        if policy["loadBalancer"] != {"simple": "LEAST_REQUEST"}:
            yield f"{title(rule)} balances by {policy['loadBalancer']}"
        if policy["tls"] != {"mode": "ISTIO_MUTUAL"}:
            yield f"{title(rule)} speaks {policy['tls']}"
        outliers = {"": policy["outlierDetection"]}
        for subset in rule["spec"]["subsets"]:
            outliers[subset["name"]] = subset["trafficPolicy"]["outlierDetection"]
        errors = {name: found["consecutive5xxErrors"] for name, found in outliers.items()}
        if errors != {"": 5, "v1": 3, "v2": 5}:
            yield f"{title(rule)} takes out after {errors} errors"
        for found in outliers.values():
            rest = {name: value for name, value in found.items() if name != "consecutive5xxErrors"}
            if rest != {
                "interval": "30s",
                "baseEjectionTime": "30s",
                "maxEjectionPercent": 100,
                "minHealthPercent": 60,
            }:
                yield f"{title(rule)} ejects by {rest}"


@invariant(
    Fault("istio/routing/values.yaml", "minHealthPercent: 60", "minHealthPercent: 0"),
    Fault("istio/routing/values.yaml", "minHealthPercent: 60", "minHealthPercent: 70"),
    Fault("istio/routing/values.yaml", "maxEjectionPercent: 100", "maxEjectionPercent: 50"),
)
def an_outage_leaves_requests_to_all_pods_and_one_sick_pod_of_three_goes(
    world: World,
) -> Iterator[str]:
    for rule in world.of("DestinationRule"):
        policies = [rule["spec"], *rule["spec"]["subsets"]]
        for found in (one["trafficPolicy"]["outlierDetection"] for one in policies):
            share, healthy = found["maxEjectionPercent"], found["minHealthPercent"]
            for pods in range(2, 21):
                # Envoy 1.40 ejects up to this share, but one in any case, and calls all pods where
                # less than `healthy` percent are left.
                ejected = max(1, math.floor(pods * share / 100))
                if 100 * (pods - ejected) / pods >= healthy:
                    yield f"{title(rule)}: in an outage {ejected} of {pods} pods get no requests"
            if healthy > 100 * 2 / 3:
                yield f"{title(rule)}: one sick pod of three keeps its requests"
