"""What pods are added and removed by, and that one place decides their number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from tests.charts.rendering import Object, Release, Values, World, merged, title
from tests.suite import DECLARED, PUBLIC, SERVICES

from twelvefold.observability.metrics import CATALOGUE

from .controllers import CONTROLLERS, controlled, of
from .registry import COMMON, Fault, invariant

_SCALING, _KEDA = f"{COMMON}/_scaling.tpl", f"{COMMON}/_keda.tpl"
_DEPLOYMENT, _VALUES = f"{COMMON}/_deployment.tpl", "charts/common/values.yaml"
_BEHAVIOR = {
    "scaleUp": {
        "stabilizationWindowSeconds": 60,
        "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 300,
        "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}],
    },
}
# Labels that a target has by its PodMonitor, in addition to those of the metric.
_OF_TARGETS = {"namespace", "job", "version", "pod"}


def with_keda(world: World) -> Iterator[tuple[Release, list[Object]]]:
    """Each release of each service, scaled by KEDA; the HorizontalPodAutoscaler is not off."""
    site: Values = {"keda": {"enabled": True}, "autoscaling": {"enabled": True}}
    for release, _ in world.rendered:
        folder, _, service = release.chart.partition("/")
        if folder == "charts" and service in SERVICES:
            scaled = replace(release, values=merged(release.values, site))
            yield scaled, scaled.render(world.root)


@invariant(
    Fault(_SCALING, '{{- if not (include "common.isScaled" .) -}}', "{{- if true -}}"),
    Fault(
        _SCALING,
        "if and .Values.autoscaling.enabled (not .Values.keda.enabled)",
        "if true",
        "dev",
    ),
    Fault(_KEDA, "{{- if .Values.keda.enabled }}", "{{- if true }}"),
    Fault(
        _SCALING,
        "if and .Values.autoscaling.enabled (not .Values.keda.enabled)",
        "if .Values.autoscaling.enabled",
    ),
)
def the_number_of_pods_is_decided_in_one_place(world: World) -> Iterator[str]:
    for objects in (world.objects, [one for _, found in with_keda(world) for one in found]):
        scalers = [
            one for one in objects if one["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
        ]
        for name, workload in of(objects, "Deployment").items():
            if name.partition("-")[0] not in SERVICES:
                continue
            mine = [one for one in scalers if one["spec"]["scaleTargetRef"]["name"] == name]
            fixed = "replicas" in workload["spec"]
            if len(mine) + fixed != 1:
                yield f"{title(workload)}: {len(mine)} scalers, replicas: {fixed}"


@invariant(
    Fault(_VALUES, "value: 50, periodSeconds: 60", "value: 500, periodSeconds: 15"),
    Fault(_VALUES, "  memory: 0\n", "  memory: 80\n"),
    Fault(
        _SCALING,
        "type: ContainerResource\n      containerResource",
        "type: Resource\n      resource",
    ),
    Fault(
        _SCALING,
        "{{- if .Values.autoscaling.requestsPerSecond.enabled }}\n    - type: Pods",
        "{{- if true }}\n    - type: Pods",
    ),
)
def scaling_goes_by_the_services_own_processor_and_by_no_metric_that_nobody_serves(
    world: World,
) -> Iterator[str]:
    containers = {one.name: one.containers[0]["name"] for one in world.services()}
    adapters = {one["metadata"]["name"] for one in world.of("ConfigMap")}
    for scaler in world.of("HorizontalPodAutoscaler"):
        spec = scaler["spec"]
        if spec["behavior"] != _BEHAVIOR:
            yield f"{title(scaler)} moves by {spec['behavior']}"
        for metric in spec["metrics"]:
            if metric["type"] == "ContainerResource":
                measured = metric["containerResource"]
                if measured["container"] != containers[spec["scaleTargetRef"]["name"]]:
                    yield f"{title(scaler)} looks at container {measured['container']}"
                if measured["name"] == "memory":
                    yield f"{title(scaler)} adds pods for a burst that each pod is sized for"
            elif metric["type"] != "Pods":
                yield f"{title(scaler)} counts the sidecar in"
            elif not any(name.endswith("-prometheus-adapter") for name in adapters):
                yield f"{title(scaler)} waits for {metric['pods']['metric']['name']}"


@invariant(
    Fault(
        _SCALING,
        '{{- include "common.workloadKind" . | nindent 4 }}',
        "apiVersion: apps/v1\n    kind: Deployment",
    ),
)
def scalers_scale_the_object_that_makes_the_pods(world: World) -> Iterator[str]:
    for controller in ("", *CONTROLLERS):
        objects = controlled(world, controller)
        there = {(one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in objects}
        for scaler in of(objects, "HorizontalPodAutoscaler").values():
            target = scaler["spec"]["scaleTargetRef"]
            if (target["apiVersion"], target["kind"], target["name"]) not in there:
                yield f"{title(scaler)} scales {target}"


@invariant(
    Fault(_KEDA, "toYaml .Values.autoscaling.behavior", 'toYaml (dict "scaleUp" dict)'),
    Fault(_KEDA, "{{ .Values.autoscaling.minReplicas }}", "0"),
    Fault(_KEDA, "{{ .Values.autoscaling.maxReplicas }}", "100"),
    Fault(_SCALING, 'dict "validations.keda.sh/hpa-ownership" "false"', "dict"),
)
def keda_keeps_the_bounds_and_the_speed_of_the_autoscaler_that_it_replaces(
    world: World,
) -> Iterator[str]:
    for release, objects in with_keda(world):
        (scaler,) = of(objects, "ScaledObject").values()
        plain = replace(release, values=merged(release.values, {"keda": {"enabled": False}}))
        (before,) = of(plain.render(world.root), "HorizontalPodAutoscaler").values()
        spec, old = scaler["spec"], before["spec"]
        if spec["scaleTargetRef"] != old["scaleTargetRef"]:
            yield f"{title(scaler)} scales {spec['scaleTargetRef']}"
        if (spec["minReplicaCount"], spec["maxReplicaCount"]) != (
            old["minReplicas"],
            old["maxReplicas"],
        ):
            yield f"{title(scaler)} has other bounds than {title(before)}"
        advanced = spec["advanced"]["horizontalPodAutoscalerConfig"]
        if advanced["behavior"] != old["behavior"]:
            yield f"{title(scaler)} moves by {advanced['behavior']}"
        # Otherwise the webhook of KEDA refuses the upgrade that replaces the one by the other.
        annotations = before["metadata"].get("annotations", {})
        if annotations.get("validations.keda.sh/hpa-ownership") != "false":
            yield f"{title(before)} cannot be replaced by {title(scaler)}"


@invariant(
    Fault("charts/api/values.yaml", "  requestsPerSecond: 100\n\nrollout", "\nrollout"),
    Fault("charts/worker/values.yaml", '| default "default"', '| default "jobs"'),
    Fault("charts/worker/values.yaml", "  queue: '{{", "  queue: '' # '{{"),
    Fault(_KEDA, "containerName: {{ $.Chart.Name }}", "containerName: istio-proxy"),
    Fault(_KEDA, "metricType: Value", "metricType: AverageValue"),
)
def keda_scales_public_services_by_their_requests_and_queues_by_their_age(
    world: World,
) -> Iterator[str]:
    for release, objects in with_keda(world):
        service = release.chart.rpartition("/")[2]
        (scaler,) = of(objects, "ScaledObject").values()
        triggers = {one["name"]: one for one in scaler["spec"]["triggers"]}
        expected = {"cpu"}
        expected |= {"requests-per-second"} if service in PUBLIC else set()
        queue = DECLARED[service].queue
        expected |= {"queue-age"} if queue else set()
        if set(triggers) != expected:
            yield f"{title(scaler)} goes by {sorted(triggers)}"
        if triggers["cpu"]["metadata"]["containerName"] != service:
            yield f"{title(scaler)} counts the sidecar in"
        if queue and "queue-age" in triggers:
            trigger = triggers["queue-age"]
            if f'queue="{queue}"' not in trigger["metadata"]["query"]:
                yield f"{title(scaler)} looks at {trigger['metadata']['query']}"
            if trigger["metricType"] != "Value":
                yield f"{title(scaler)} would share the age of one job among the pods"


@invariant(
    Fault(_KEDA, "sum(rate(http_requests_total{", "sum(rate(http_requests{"),
    Fault(_KEDA, 'version="%s"`', 'release="%s"`'),
    Fault(_KEDA, '(include "common.subset" $)', '"v1"'),
    Fault(
        _KEDA,
        'max(jobs_queue_age_seconds{namespace="%s",queue',
        'max(jobs_queue_age_seconds{namespace="x%s",queue',
    ),
    Fault(_KEDA, 'ignoreNullValues: "false"', 'ignoreNullValues: "true"'),
)
def a_trigger_reads_metrics_that_there_are_of_its_own_release_and_namespace(
    world: World,
) -> Iterator[str]:
    known = {metric.name: set(metric.labels) | _OF_TARGETS for metric in CATALOGUE} | {
        "up": _OF_TARGETS
    }
    for release, objects in with_keda(world):
        (scaler,) = of(objects, "ScaledObject").values()
        for trigger in scaler["spec"]["triggers"]:
            if trigger["type"] != "prometheus":
                continue
            metadata = trigger["metadata"]
            for metric, matchers in re.findall(r"\b([a-z_]+)\{([^}]*)\}", metadata["query"]):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', matchers))
                if not set(labels) <= known.get(metric, set()):
                    yield f"{title(scaler)} reads {metric} by {sorted(labels)}"
                if labels.get("namespace") != release.namespace:
                    yield f"{title(scaler)} reads {metric} of another namespace"
                # A queue is the same for both releases; requests are each release's own.
                version = "v2" if release.is_second else "v1"
                if "queue" not in labels and labels.get("version") != version:
                    yield f"{title(scaler)} reads {metric} of another release"
            if metadata.get("ignoreNullValues") != "false":
                yield f"{title(scaler)} takes pods away that nobody scrapes"
