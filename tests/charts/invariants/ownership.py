"""Which release owns what: two releases of a service share no object; hooks stand alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.charts.policies import selects
from tests.charts.rendering import Object, World, is_hook, title
from tests.suite import SERVICES

from .registry import COMMON, Fault, invariant

_MIGRATION = f"{COMMON}/_migration.tpl"
_SECOND = {"Deployment", "ConfigMap", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
_ONCE = {
    "Service",
    "ServiceAccount",
    "NetworkPolicy",
    "PodMonitor",
    "PrometheusRule",
    "Secret",
    "Ingress",
}


@invariant(
    Fault(f"{COMMON}/_release.tpl", '{{- if include "common.isPrimary" . }}', "{{- if true }}"),
    Fault(
        f"{COMMON}/_configmap.tpl",
        '  name: {{ include "common.fullname" . }}',
        "  name: {{ .Chart.Name }}",
    ),
    Fault(
        _MIGRATION,
        'printf "%s-migrate" (include "common.fullname" .)',
        'printf "%s-migrate" .Chart.Name',
    ),
)
def no_object_belongs_to_two_releases(world: World) -> Iterator[str]:
    counted = Counter(
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"])
        for one in world.objects
    )
    for (kind, namespace, name), count in counted.items():
        if count > 1:
            yield f"{kind} {namespace}/{name} is rendered by {count} releases"


@invariant(
    Fault(
        f"{COMMON}/_release.tpl",
        '{{ include "common.test" . }}\n',
        '{{ include "common.test" . }}\n{{ include "common.podmonitor" . }}\n',
    ),
    Fault(f"{COMMON}/_release.tpl", '{{ include "common.k8sservice" . }}\n', ""),
    Fault(f"{COMMON}/_release.tpl", '{{ include "common.networkpolicy" . }}\n', ""),
)
def what_both_releases_use_is_the_primarys_and_the_second_has_only_its_own(
    world: World,
) -> Iterator[str]:
    for release, objects in world.rendered:
        if release.chart.removeprefix("charts/") not in SERVICES:
            continue
        kinds = {one["kind"] for one in objects if not is_hook(one)}
        if release.is_second and kinds - _SECOND:
            yield f"{release.name} renders {sorted(kinds - _SECOND)}"
        expected = {"Deployment", "ConfigMap", "ServiceAccount", "NetworkPolicy"}
        if release.chart != "charts/worker":
            expected.add("Service")
        if not release.is_second and not expected <= kinds:
            yield f"{release.name} lacks {sorted(expected - kinds)}"
        if release.chart == "charts/worker" and "Service" in kinds:
            yield "worker has no callers, but a Service"


@invariant(
    Fault(f"{COMMON}/_init.tpl", 'ternary "v1" "v2" (eq', 'ternary "v2" "v1" (eq'),
    Fault(
        f"{COMMON}/_deployment.tpl",
        '        version: {{ include "common.subset" . }}\n',
        '        version: {{ include "common.version" . }}\n',
    ),
)
def the_primarys_pods_are_subset_v1_and_the_seconds_v2(world: World) -> Iterator[str]:
    for release, objects in world.rendered:
        for one in objects:
            if one["kind"] == "Deployment" and release.chart.removeprefix("charts/") in SERVICES:
                subset = one["spec"]["template"]["metadata"]["labels"].get("version")
                if subset != ("v2" if release.is_second else "v1"):
                    yield f"{title(one)} is subset {subset}"


@invariant(
    Fault(_MIGRATION, "helm.sh/hook: pre-install,pre-upgrade", "helm.sh/hook: post-install"),
    Fault(
        _MIGRATION,
        '{{- include "common.hook" -10 | nindent 4 }}',
        '{{- include "common.hook" -30 | nindent 4 }}',
    ),
    Fault(_MIGRATION, '        {{- include "common.outsideMesh" . | nindent 8 }}\n', ""),
    Fault(
        _MIGRATION, "serviceAccountName: {{ $account }}", "serviceAccountName: {{ .Chart.Name }}"
    ),
    Fault(
        _MIGRATION,
        "- configMapRef: {name: {{ $name }}}",
        '- configMapRef: {name: {{ include "common.fullname" . }}}',
    ),
    Fault(_MIGRATION, "args: [db, migrate, {{ .Chart.Name }}]", "args: [db, migrate]"),
    Fault(_MIGRATION, "before-hook-creation,hook-succeeded", "before-hook-creation"),
    Fault(
        _MIGRATION,
        "      app.kubernetes.io/name: {{ $selected }}\n      app",
        "      app.kubernetes.io/name: {{ .Chart.Name }}\n      app",
    ),
    Fault(f"{COMMON}/_release.tpl", '{{ include "common.migration" . }}\n', ""),
)
def a_migration_runs_before_its_release_outside_the_mesh_with_what_it_brings_along(
    world: World,
) -> Iterator[str]:
    for release, objects in world.rendered:
        service = release.chart.removeprefix("charts/")
        if service not in SERVICES:
            continue
        jobs = [one for one in objects if one["kind"] == "Job"]
        if len(jobs) != 1:
            yield f"{release.name} has {len(jobs)} migrations"
            continue
        yield from _stands_alone(jobs[0], objects)
        (container,) = jobs[0]["spec"]["template"]["spec"]["containers"]
        if container["args"] != ["db", "migrate", service]:
            yield f"{title(jobs[0])} runs {container['args']}"


def _stands_alone(job: Object, objects: list[Object]) -> Iterator[str]:
    template = job["spec"]["template"]
    if template["metadata"]["labels"].get("sidecar.istio.io/inject") != "false":
        yield f"{title(job)} is in the mesh, whose sidecar may outlive it"
    if _hook(job) != "pre-install,pre-upgrade":
        yield f"{title(job)} is a hook for {_hook(job)}"
    brought = {
        (one["kind"], one["metadata"]["name"])
        for one in objects
        if _hook(one) == _hook(job) and _weight(one) < _weight(job)
    }
    used = {("ServiceAccount", template["spec"]["serviceAccountName"])}
    for container in template["spec"]["containers"]:
        used |= {("ConfigMap", one["configMapRef"]["name"]) for one in container["envFrom"]}
    own = {(one["kind"], one["metadata"]["name"]) for one in objects}
    # What another release brings (the platform's ConfigMap, an existing Secret) is there already.
    own |= {("ServiceAccount", template["spec"]["serviceAccountName"])}
    for kind, name in sorted((used & own) - brought):
        yield f"{title(job)} uses {kind} {name}, which is not there before it"
    policies = [
        one
        for one in objects
        if one["kind"] == "NetworkPolicy"
        and (one["kind"], one["metadata"]["name"]) in brought
        and selects(one["spec"]["podSelector"], template["metadata"]["labels"])
    ]
    if not policies:
        yield f"{title(job)} reaches nothing: no NetworkPolicy before it"
    for one in objects:
        if is_hook(one) and one["kind"] != "Pod" and "hook-succeeded" not in _deletion(one):
            yield f"{title(one)} stays behind"


def _hook(one: Object) -> str:
    return str(one["metadata"].get("annotations", {}).get("helm.sh/hook", ""))


def _weight(one: Object) -> int:
    return int(one["metadata"]["annotations"].get("helm.sh/hook-weight", 0))


def _deletion(one: Object) -> str:
    return str(one["metadata"]["annotations"].get("helm.sh/hook-delete-policy", ""))
