"""How pods begin, end, are counted, replaced and moved."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.charts.rendering import World, title

from twelvefold.http.management import create_management_app
from twelvefold.service.health import Health
from twelvefold.service.installed import installed_services
from twelvefold.settings.reference import example

from .registry import COMMON, Fault, invariant
from .selection import MANAGEMENT

_DEPLOYMENT, _SCALING = f"{COMMON}/_deployment.tpl", f"{COMMON}/_scaling.tpl"
_PROBES = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


@cache
def defaults(service: str) -> Any:
    """The service's settings by default."""
    return example(installed_services()[service].settings)


@cache
def management_paths(service: str) -> frozenset[str]:
    app: Any = create_management_app(name=service, settings=defaults(service), health=Health())
    return frozenset(route.path for route in app.routes)


@invariant(
    Fault(
        _DEPLOYMENT,
        "path: /livez, port: management}\n            {{- toYaml .Values.probes.liveness",
        "path: /healthz, port: management}\n            {{- toYaml .Values.probes.liveness",
    ),
    Fault(_DEPLOYMENT, "path: /readyz, port: management", "path: /readyz, port: internal"),
    Fault(_DEPLOYMENT, "path: /readyz", "path: /livez"),
    Fault("charts/common/values.yaml", "failureThreshold: 30", "failureThreshold: 3"),
)
def probes_hit_real_paths_of_the_management_port(world: World) -> Iterator[str]:
    for workload in world.services():
        (container,) = workload.containers
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for name, path in _PROBES.items():
            probe = container[name]["httpGet"]
            if ports.get(probe["port"]) != MANAGEMENT:
                yield f"{workload}: {name} asks port {probe['port']}"
            if probe["path"] not in management_paths(workload.service) or probe["path"] != path:
                yield f"{workload}: {name} asks {probe['path']}"
        startup = container["startupProbe"]
        if startup["periodSeconds"] * startup["failureThreshold"] < 60:
            yield f"{workload} has less than 60 s to come up"


@invariant(
    Fault(_DEPLOYMENT, "(int $end.jobs) ", ""),
    Fault(_DEPLOYMENT, "(int $end.preStop) (int $end.lameDuck) ", ""),
    Fault(_DEPLOYMENT, "(int $end.margin)", "0"),
    Fault("charts/worker/values.yaml", "  jobs: 50", "  jobs: 0"),
)
def the_grace_period_covers_every_step_of_the_drain(world: World) -> Iterator[str]:
    for workload in world.services():
        (container,) = workload.containers
        variables, settings = world.variables(workload), defaults(workload.service)
        sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {})
        steps = [float(sleep.get("seconds", 0))]
        steps += [
            float(variables.get(name, getattr(settings, name.lower(), 0)))
            for name in ("HTTP_LAME_DUCK", "HTTP_GRACE", "WORKER_GRACE")
        ]
        if workload.pod["terminationGracePeriodSeconds"] < sum(steps) + 10:
            yield f"{workload} is killed before {steps} s of draining and 10 of closing are over"


@invariant(
    Fault(_SCALING, '(gt (include "common.fewestPods" . | int) 1)', "true", "dev"),
    Fault(_SCALING, "maxUnavailable: 1", "minAvailable: 3"),
    Fault(_SCALING, "  unhealthyPodEvictionPolicy: AlwaysAllow\n", ""),
    Fault(_SCALING, "if and .Values.disruptionBudget.enabled", "if and false"),
)
def evictions_take_one_pod_at_a_time_and_a_lone_pod_is_no_obstacle(world: World) -> Iterator[str]:
    for workload in world.services():
        budget = world.named("PodDisruptionBudget", workload.name)
        if world.fewest(workload) <= 1:
            if budget:
                yield f"{workload}: a budget over one pod blocks every drain"
        elif budget is None:
            yield f"{workload} has no budget"
        elif budget["spec"].get("maxUnavailable") != 1:
            yield f"{title(budget)} allows {budget['spec']}"
        elif budget["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield f"{title(budget)}: a broken pod would block a drain"


@invariant(
    Fault(_DEPLOYMENT, "maxSurge: 1", "maxSurge: 5"),
    Fault(
        _DEPLOYMENT,
        '{{ ternary 1 0 (gt (include "common.fewestPods" . | int) 1) }}',
        "1",
        "dev",
    ),
    Fault(_DEPLOYMENT, "podAntiAffinity:", "podAffinity:"),
    Fault(_DEPLOYMENT, "topologyKey: topology.kubernetes.io/zone", "topologyKey: zone"),
)
def pods_are_replaced_one_by_one_and_stand_apart(world: World) -> Iterator[str]:
    for workload in world.services():
        rolling = workload.owner["spec"]["strategy"]["rollingUpdate"]
        if rolling != {"maxSurge": 1, "maxUnavailable": int(world.fewest(workload) > 1)}:
            yield f"{workload} is replaced by {rolling}"
        if "podAntiAffinity" not in workload.pod.get("affinity", {}):
            yield f"{workload} may stand on one node"
        spread = workload.pod.get("topologySpreadConstraints", [])
        if [one["topologyKey"] for one in spread] != ["topology.kubernetes.io/zone"]:
            yield f"{workload} may stand in one zone"
