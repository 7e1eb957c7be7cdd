"""What whoever deploys may do in the namespace."""

from __future__ import annotations

from collections.abc import Iterator

from tests.charts.entrances import like
from tests.charts.rendering import Object, Release, Values, World, merged
from tests.suite import SERVICES

from .controllers import CONTROLLERS, controlled
from .registry import Fault, invariant

_DEPLOYERS: Values = {
    "deployers": [{"kind": "ServiceAccount", "name": "pipeline", "namespace": "ci"}]
}
_VERBS = {"create", "delete", "get", "list", "patch", "update", "watch"}
# What a rollout does besides Helm: reads figures and logs, and holds a Lease.
_OF_ROLLOUTS = {
    ("", "pods/exec", "create"),
    ("", "pods/log", "get"),
    ("apps", "replicasets", "list"),
    *(("coordination.k8s.io", "leases", verb) for verb in ("create", "get", "patch", "update")),
    *(("", "secrets", verb) for verb in _VERBS),  # Helm's records
}
_OPTIONAL = ("events", "ingresses", "scaledobjects")
_DEPLOYER = "charts/platform/templates/deployers.yaml"


def _plural(kind: str) -> str:
    name = kind.lower()
    if name.endswith("y"):
        return name[:-1] + "ies"
    return name + ("es" if name.endswith("s") else "s")


@invariant(
    Fault(_DEPLOYER, '"networkpolicies")', '"networkpolicy")'),
    Fault(_DEPLOYER, '"virtualservices")', ")"),
    Fault(_DEPLOYER, '"analysistemplates" ', ""),
    Fault(_DEPLOYER, '(list "httproutes")', "list"),
    Fault(_DEPLOYER, ' "peerauthentications")', ")"),
    Fault(_DEPLOYER, "resources: [pods/exec]", "resources: [pods/attach]"),
    Fault(_DEPLOYER, 'list "create" "delete"', 'list "create"'),
    Fault(_DEPLOYER, '(list "deployments")', '(list "deployments" "daemonsets")'),
    Fault(_DEPLOYER, '(list "jobs")', '(list "*")'),
)
def a_deployer_may_do_what_a_release_of_a_service_needs_and_nothing_more(
    world: World,
) -> Iterator[str]:
    platform = next(one for one, _ in world.rendered if one.chart == "charts/platform")
    rendered = Release(
        platform.chart,
        platform.name,
        platform.namespace,
        platform.environment,
        merged(platform.values, _DEPLOYERS),
    ).render(world.root)
    (role,) = [one for one in rendered if one["kind"] == "Role"]
    allowed = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    needed = set(_OF_ROLLOUTS)
    for one in _of_services(world):
        group = one["apiVersion"].rpartition("/")[0]
        needed |= {(group, _plural(one["kind"]), verb) for verb in _VERBS}
    for group, resource, verb in sorted(needed - allowed):
        yield f"a deployer may not {verb} {resource} of {group or 'the core'}"
    for group, resource in sorted({one[:2] for one in allowed} - {one[:2] for one in needed}):
        # Development does without autoscalers and monitors.
        if world.environment != "dev" and resource not in _OPTIONAL:
            yield f"a deployer may change {resource} of {group or 'the core'} without need"


def _of_services(world: World) -> Iterator[Object]:
    for release, objects in world.rendered:
        if release.chart.rpartition("/")[2] in SERVICES:
            yield from objects
    for controller in CONTROLLERS:
        yield from controlled(world, controller)
    for release, objects in like(world, "gateway-api", "waypoint").rendered:
        if release.chart.rpartition("/")[2] in SERVICES:
            yield from objects
    secret: Values = {"image": {"tag": "1"}}
    yield from Release("charts/api", "api", environment="dev", values=secret).render(world.root)
