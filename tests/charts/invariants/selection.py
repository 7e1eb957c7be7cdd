"""What selects what: selectors, ports, labels."""

from __future__ import annotations

from collections.abc import Iterator

from tests.charts.edges import INSTANCE, NAME
from tests.charts.policies import selects
from tests.charts.rendering import Object, Workload, World, title
from tests.suite import SERVICES

from .registry import COMMON, Fault, invariant

_STANDARD_PORTS = {"http": 80}  # beside the container's
MANAGEMENT = 9000
_LABELS = {
    NAME,
    INSTANCE,
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
}


def selected(world: World, selector: dict[str, str], namespace: str) -> list[Workload]:
    return [
        workload
        for workload in world.workloads()
        if workload.namespace == namespace and selects({"matchLabels": selector}, workload.labels)
    ]


@invariant(
    Fault(
        f"{COMMON}/_init.tpl",
        '{{- define "common.selector" -}}',
        '{{- define "common.selector" -}}\nversion: {{ include "common.subset" . }}',
    ),
    Fault(
        f"{COMMON}/_shared.tpl",
        "selector:\n    app.kubernetes.io/name: {{ .Chart.Name }}",
        "selector:\n    app: {{ .Chart.Name }}",
    ),
    Fault(f"{COMMON}/_migration.tpl", 'printf "%s-migrate" .Chart.Name', ".Chart.Name"),
    Fault(
        f"{COMMON}/_deployment.tpl",
        '{{- include "common.workloadSelector" . | nindent 8 }}',
        "app.kubernetes.io/name: {{ .Chart.Name }}\n        app.kubernetes.io/instance: one",
    ),
)
def selectors_match_their_pods_and_never_contain_a_version(world: World) -> Iterator[str]:
    for workload in world.workloads():
        if workload.owner["kind"] != "Deployment":
            continue
        selector = workload.owner["spec"]["selector"]["matchLabels"]
        if set(selector) != {NAME, INSTANCE}:
            yield f"{workload} selects by {sorted(selector)}, not by name and instance"
        found = selected(world, selector, workload.namespace)
        if [str(one) for one in found] != [str(workload)]:
            yield f"{workload} selects pods of {[str(one) for one in found]}"
    for one in world.of("Service", "PodDisruptionBudget", "PodMonitor"):
        yield from _selects_deployments(world, one)


def _selects_deployments(world: World, one: Object) -> Iterator[str]:
    spec, metadata = one["spec"], one["metadata"]
    selector = spec["selector"]
    labels = selector if one["kind"] == "Service" else selector["matchLabels"]
    found = selected(world, labels, metadata["namespace"])
    if not found or any(workload.owner["kind"] != "Deployment" for workload in found):
        yield f"{title(one)} selects {[str(workload) for workload in found]}"
    if "version" in labels:
        yield f"{title(one)} selects by version"
    if one["kind"] == "Service" and metadata["name"] in SERVICES and set(labels) != {NAME}:
        yield f"{title(one)} must select both releases, not by {sorted(labels)}"


@invariant(
    Fault(f"{COMMON}/_shared.tpl", "targetPort: {{ $name }}", "targetPort: web"),
    Fault(f"{COMMON}/_shared.tpl", "port: {{ $port }}, targetPort", "port: 90, targetPort"),
    Fault(f"{COMMON}/_shared.tpl", "targetPort: http, protocol", "targetPort: internal, protocol"),
    Fault(f"{COMMON}/_shared.tpl", ", appProtocol: http}", "}"),
)
def service_and_container_ports_agree(world: World) -> Iterator[str]:
    for service in world.of("Service"):
        spec = service["spec"]
        for workload in selected(world, spec["selector"], service["metadata"]["namespace"]):
            ports = {
                port["name"]: port["containerPort"]
                for container in workload.containers
                for port in container.get("ports", [])
            }
            for port in spec["ports"]:
                target = port["targetPort"]
                if port["port"] not in (ports.get(target), _STANDARD_PORTS.get(target)):
                    yield f"{title(service)} leads port {port['port']} to {target}"
        for port in spec["ports"]:
            if port.get("appProtocol") not in ("http", "tcp"):
                yield f"{title(service)}: the mesh has to guess the protocol of {port['name']}"


@invariant(
    Fault(f"{COMMON}/_shared.tpl", "- {name: http-80, port: 80,", "- {name: http-81, port: 81,"),
    Fault(f"{COMMON}/_shared.tpl", "- {name: {{ $name }}, port", "- {name: {{ $name }}-old, port"),
)
def http_is_served_on_port_80_and_on_the_port_that_callers_have_used(
    world: World,
) -> Iterator[str]:
    """A port that is renamed has no endpoints until its slices follow: callers would be refused."""
    for service in world.of("Service"):
        ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
        if service["metadata"]["name"] == "api" and ports != {
            "http": 8000, "http-80": 80, "internal": 8001
        }:  # fmt: skip
            yield f"{title(service)} serves {ports}"


@invariant(
    Fault(f"{COMMON}/_shared.tpl", 'omit .Values.ports "management"', ".Values.ports"),
    Fault(f"{COMMON}/_deployment.tpl", "excludeInboundPorts", "includeInboundPorts"),
)
def the_management_port_is_in_no_service_and_past_the_sidecar(world: World) -> Iterator[str]:
    for service in world.of("Service"):
        is_test = service["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"
        if not is_test and any(port["port"] == MANAGEMENT for port in service["spec"]["ports"]):
            yield f"{title(service)} leads to the management port"
    for workload in world.services():
        annotations = workload.template["metadata"]["annotations"]
        if annotations.get("traffic.sidecar.istio.io/excludeInboundPorts") != str(MANAGEMENT):
            yield f"{workload}: probes and scrapes would have to pass the sidecar"


@invariant(
    Fault(f"{COMMON}/_init.tpl", "app.kubernetes.io/managed-by: {{ .Release.Service }}\n", ""),
    Fault(
        f"{COMMON}/_shared.tpl",
        "  name: {{ .Chart.Name }}\n  namespace: {{ .Release.Namespace }}\n",
        "  name: {{ .Chart.Name }}\n",
    ),
)
def every_object_says_what_it_belongs_to_and_where_it_is(world: World) -> Iterator[str]:
    for one in world.objects:
        metadata = one["metadata"]
        if missing := _LABELS - set(metadata.get("labels", {})):
            yield f"{title(one)} lacks {sorted(missing)}"
        if "namespace" not in metadata and one["kind"] != "Namespace":
            yield f"{title(one)} names no namespace"


@invariant(
    Fault(f"{COMMON}/_shared.tpl", "    - port: management\n", "    - port: http\n"),
    Fault(f"{COMMON}/_shared.tpl", "path: /metrics", "path: /prometheus"),
    Fault(
        f"{COMMON}/_deployment.tpl",
        "{{- if not .Values.monitoring.enabled }}",
        "{{- if true }}",
    ),
    Fault(
        f"{COMMON}/_deployment.tpl",
        "{{- if not .Values.monitoring.enabled }}",
        "{{- if false }}",
        "dev",
    ),
)
def every_pod_of_a_service_is_scraped_once(world: World) -> Iterator[str]:
    monitors = world.of("PodMonitor")
    for workload in world.services():
        ports = {port["name"]: port["containerPort"] for port in workload.containers[0]["ports"]}
        ways = [
            (ports.get(endpoint["port"]), endpoint["path"])
            for monitor in monitors
            if selects(monitor["spec"]["selector"], workload.labels)
            for endpoint in monitor["spec"]["podMetricsEndpoints"]
        ]
        annotations = workload.template["metadata"]["annotations"]
        if annotations.get("prometheus.io/scrape") == "true":
            port = int(annotations["prometheus.io/port"])
            ways.append((port, annotations["prometheus.io/path"]))
        if ways != [(MANAGEMENT, "/metrics")]:
            yield f"{workload} is scraped at {ways}"
