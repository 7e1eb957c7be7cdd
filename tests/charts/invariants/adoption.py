"""What a platform team relies on: few values, its own marks on all objects, OpenShift's users."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import helm_python
from tests.charts.rendering import (
    DIGEST,
    NAMESPACE,
    Object,
    Release,
    Values,
    Workload,
    World,
    merged,
    parse,
    read,
    title,
)
from tests.suite import SERVICES

from .registry import COMMON, Fault, invariant

MAX_NEWCOMER_VALUES, MAX_NEWCOMER_SECRETS = 8, 2
# All that is said about a site with managed servers on AWS. A packaged chart brings the digest.
NEWCOMER: Values = {
    "global": {
        "host": "api.example.com",
        "s3": {"region": "eu-central-1", "bucket": "example-images"},
        "peers": {
            "postgres": {"host": "db.example.internal", "locations": ["10.20.0.0/24"]},
            "redis": {"host": "redis.example.internal", "locations": ["10.20.1.0/24"]},
            "s3": {"locations": ["52.219.0.0/16"]},
        },
    }
}
MARKS: Values = {
    "global": {"labels": {"team": "core"}, "annotations": {"example.com/owner": "core"}}
}
_PODS = ("Deployment", "Job", "Pod")


def leaves(values: Any) -> int:
    """How many single values a map of values holds."""
    return sum(map(leaves, values.values())) if isinstance(values, dict) else 1


def workloads(objects: list[Object]) -> Iterator[Workload]:
    for one in objects:
        if one["kind"] in _PODS:
            yield Workload(one, one if one["kind"] == "Pod" else one["spec"]["template"])


def mounted_secrets(objects: list[Object]) -> dict[str, set[str]]:
    """Secrets that pods mount, with the keys that each must have."""
    found: dict[str, set[str]] = {}
    for workload in workloads(objects):
        for volume in workload.pod.get("volumes", []):
            sources = [one["secret"] for one in volume.get("projected", {}).get("sources", [])]
            if "secret" in volume:
                sources.append({**volume["secret"], "name": volume["secret"]["secretName"]})
            for source in sources:
                keys = {item["key"] for item in source["items"]}
                found.setdefault(source["name"], set()).update(keys)
    return found


@invariant(
    Fault(
        f"{COMMON}/_site.tpl",
        "{{- range $name, $_ := .Values.calls -}}",
        "{{- range $name, $_ := .Values.global.peers -}}",
    ),
    Fault("charts/common/values.yaml", "      tls: true\n", ""),
    Fault("charts/api/values.yaml", "calls:\n", "calls:\n  mail: nothing that it needs\n"),
)
def a_newcomer_installs_api_with_eight_values_and_two_secrets(world: World) -> Iterator[str]:
    if (count := leaves(NEWCOMER)) > MAX_NEWCOMER_VALUES:
        yield f"a newcomer gives {count} values"
    chart = helm_python.Chart.load(world.folder_of("charts/api"))
    values = merged({"image": {"digest": DIGEST}}, NEWCOMER)
    try:
        objects = parse(chart.render(values, name="api", namespace=NAMESPACE))
    except helm_python.HelmError as refusal:
        yield f"a newcomer's values are refused: {refusal}"
        return
    secrets = set(mounted_secrets(objects))
    if secrets != {"api", "api-migrate"} or len(secrets) > MAX_NEWCOMER_SECRETS:
        yield f"a newcomer creates {sorted(secrets)}"
    library = read(world.root / "charts/common/values.yaml")
    if not library["global"]["peers"]["redis"].get("tls"):
        yield "Redis without TLS is the default"


@invariant(
    Fault(f"{COMMON}/_init.tpl", "{{- with .Values.global.labels }}\n", "{{- with false }}\n"),
    Fault(
        f"{COMMON}/_configmap.tpl",
        '  {{- include "common.onlyAnnotations" . | nindent 2 }}\n',
        "",
    ),
    Fault(
        f"{COMMON}/_deployment.tpl", '    {{- include "common.annotations" . | nindent 4 }}\n', ""
    ),
    Fault(
        "istio/routing/templates/_destinationrule.tpl",
        '  {{- include "common.onlyAnnotations" $root | nindent 2 }}\n',
        "",
    ),
    Fault(
        "charts/platform/templates/namespace.yaml",
        '    {{- include "common.annotations" . | nindent 4 }}\n',
        "",
    ),
)
def every_object_and_pod_bears_the_platforms_labels_and_annotations(world: World) -> Iterator[str]:
    for release, _ in world.rendered:
        more = Release(
            release.chart,
            release.name,
            release.namespace,
            release.environment,
            merged(release.values, MARKS),
        )
        for one in more.render(world.root):
            if "core" not in (one["metadata"].get("annotations") or {}).values():
                yield f"{title(one)} lacks the platform's annotation"
            templates = [one]
            if one["kind"] in ("Deployment", "Job"):
                templates.append(one["spec"]["template"])
            if any(found["metadata"]["labels"].get("team") != "core" for found in templates):
                yield f"{title(one)} lacks the platform's label"


# What `restricted-v2` of OpenShift admits: security.openshift.io, SecurityContextConstraints.
_SCC_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip
_CHOSEN_BY_OPENSHIFT = ("runAsUser", "runAsGroup", "fsGroup", "supplementalGroups")


def refused_by_restricted_v2(workload: Workload) -> Iterator[str]:
    pod = workload.pod
    contexts = [pod["securityContext"], *(one["securityContext"] for one in workload.containers)]
    for context in contexts:
        for name in set(_CHOSEN_BY_OPENSHIFT) & set(context):
            yield f"{workload} fixes {name}"
        if context.get("seccompProfile", {}).get("type", "RuntimeDefault") != "RuntimeDefault":
            yield f"{workload} has another seccomp profile"
    for context in contexts[1:]:
        if context["allowPrivilegeEscalation"] or context["capabilities"] != {"drop": ["ALL"]}:
            yield f"{workload} may gain privileges"
    for volume in pod.get("volumes", []):
        if set(volume) - {"name"} - _SCC_VOLUMES:
            yield f"{workload} mounts {volume}"


@invariant(
    Fault(f"{COMMON}/_pod.tpl", "  runAsNonRoot: true\n", "  runAsNonRoot: true\n  fsGroup: 1\n"),
    Fault(f"{COMMON}/_pod.tpl", "  runAsNonRoot: true\n", ""),
)
def openshift_chooses_the_user_of_every_pod_where_the_site_leaves_it(
    world: World,
) -> Iterator[str]:
    for release, _ in world.rendered:
        if release.chart.removeprefix("charts/") not in SERVICES:
            continue
        openshift = Release(
            release.chart,
            release.name,
            release.namespace,
            release.environment,
            merged(release.values, {"podSecurityContext": None}),
        )
        for workload in workloads(openshift.render(world.root)):
            yield from refused_by_restricted_v2(workload)
            if workload.pod["securityContext"].get("runAsNonRoot") is not True:
                yield f"{workload} may run as root"


@invariant(
    Fault(
        f"{COMMON}/_deployment.tpl",
        "            - {name: config, mountPath: /etc/twelvefold/config, readOnly: true}\n",
        "",
    ),
    Fault(
        f"{COMMON}/_pod.tpl",
        '  configMap: {name: {{ include "common.fullname" . }}}\n',
        "  configMap: {name: {{ .Chart.Name }}}\n",
    ),
)
def settings_are_mounted_as_files_too(world: World) -> Iterator[str]:
    for workload in world.services():
        mounts = {one["name"]: one for one in workload.containers[0]["volumeMounts"]}
        volumes = {one["name"]: one for one in workload.pod["volumes"]}
        if mounts.get("config", {}).get("mountPath") != "/etc/twelvefold/config":
            yield f"{workload} mounts no settings"
        if volumes["config"]["configMap"] != {"name": workload.name}:
            yield f"{workload} mounts the settings of {volumes['config']}"


@invariant(
    Fault(
        "charts/platform/templates/namespace.yaml",
        "    environment: {{ .Values.global.environment }}\n",
        "",
    ),
)
def the_namespace_says_its_environment(world: World) -> Iterator[str]:
    wanted = {"dev": "development"}.get(world.environment, world.environment)
    for one in world.of("Namespace"):
        if one["metadata"]["labels"].get("environment") != wanted:
            yield f"{title(one)} does not say {wanted}"


_OF_DEVELOPMENT = re.compile(r"twelvefold-backing|localhost")


@invariant(
    Fault(
        "charts/common/values.yaml",
        '    endpoint: ""',
        "    endpoint: http://s3.twelvefold-backing.svc.cluster.local:8333",
        "dev",
    ),
    Fault("charts/site.example.yaml", "host: db.example.internal", "host: localhost", "dev"),
    Fault("charts/worker/values-dev.yaml", "      port: 1025\n", "      port: 1026\n", "dev"),
)
def development_servers_stand_in_values_dev_alone_and_alike(world: World) -> Iterator[str]:
    servers: dict[str, Mapping[str, Any]] = {}
    files = sorted(world.root.glob("*/*/values*.yaml"))
    for path in [*files, world.root / "charts/site.example.yaml"]:
        values = read(path)
        name = f"{path.parent.name}/{path.name}"
        if path.name == "values-dev.yaml":
            for peer, found in values.get("global", {}).get("peers", {}).items():
                if servers.setdefault(peer, found) != found:
                    yield f"{name} describes {peer} differently"
        elif _OF_DEVELOPMENT.search(str(values)) and "backing" not in name:
            yield f"{name} names a server of development"
