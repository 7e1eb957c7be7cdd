"""What a pod may do on its node, and where secrets are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.charts.reference import secret_settings
from tests.charts.rendering import Object, World, title
from tests.suite import SERVICES

from twelvefold.service.installed import installed_services
from twelvefold.settings import MigrationSettings

from .registry import COMMON, Fault, invariant

_POD = f"{COMMON}/_pod.tpl"
_VOLUMES = ("configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim")
_PASSWORD_IN_URL = re.compile(r"://[^/@\s]*:[^/@\s]+@")
_MORE_ITEMS = '{{- $items := dict (include "common.secretName" .) (list (dict "key" "%s")) -}}'
OWNER_URL, SIGNING_KEYS = "MIGRATION_DATABASE_URL", "JWT_SIGNING_KEYS"


@invariant(
    Fault(_POD, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"),
    Fault(_POD, "drop: [ALL]", "drop: [NET_RAW]"),
    Fault(_POD, "  seccompProfile: {type: RuntimeDefault}\n", ""),
    Fault(_POD, "runAsNonRoot: true", "runAsNonRoot: false"),
    Fault(_POD, "{{- with .Values.podSecurityContext }}", '{{- with dict "runAsUser" 0 }}'),
    Fault(_POD, "enableServiceLinks: false", "hostNetwork: true"),
    Fault(_POD, "emptyDir: {sizeLimit: {{ .Values.tmpSize }}}", "hostPath: {path: /}"),
    Fault(
        "charts/backing/templates/servers.yaml",
        '{{- include "common.container" $ | nindent 10 }}',
        "image: example.com/backing:1",
        "dev",
    ),
)
def every_workload_passes_pod_security_restricted(world: World) -> Iterator[str]:
    """The checks of kubernetes.io/docs/concepts/security/pod-security-standards, restricted."""
    for workload in world.workloads():
        pod = workload.pod
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(name):
                yield f"{workload} has {name}"
        for volume in pod.get("volumes", []):
            if not any(kind in volume for kind in _VOLUMES):
                yield f"{workload} mounts {volume}"
        for container in workload.containers:
            whose = f"{workload} {container['name']}"
            context = pod.get("securityContext", {}) | container.get("securityContext", {})
            yield from _restricted(whose, context)
            if any("hostPort" in port for port in container.get("ports", [])):
                yield f"{whose} takes a port of the node"


def _restricted(whose: str, context: Object) -> Iterator[str]:
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
        yield f"{whose} may run as root"
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield f"{whose} may gain privileges"
    capabilities = context.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        yield f"{whose} keeps capabilities"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield f"{whose} has no seccomp profile"


@invariant(
    Fault(
        _POD,
        "readOnlyRootFilesystem: {{ .Values.readOnlyRootFilesystem }}",
        "readOnlyRootFilesystem: false",
    ),
    Fault(_POD, "/run/secrets/twelvefold, readOnly: true", "/run/secrets/twelvefold"),
)
def nothing_can_be_written_but_tmp_and_the_data_of_development(world: World) -> Iterator[str]:
    for workload in world.workloads():
        for container in workload.containers:
            if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
                yield f"{workload} {container['name']} can write its root file system"
            for mount in container.get("volumeMounts", []):
                if not mount.get("readOnly") and mount["mountPath"] not in ("/tmp", "/data"):  # noqa: S108
                    yield f"{workload} {container['name']} can write {mount['mountPath']}"


@invariant(
    Fault(
        f"{COMMON}/_deployment.tpl",
        "automountServiceAccountToken: {{ .Values.serviceAccount.token }}",
        "automountServiceAccountToken: true",
    ),
    Fault(
        f"{COMMON}/_migration.tpl",
        "      automountServiceAccountToken: false\n",
        "      automountServiceAccountToken: true\n",
    ),
    Fault(_POD, "enableServiceLinks: false\n", ""),
)
def no_pod_has_credentials_of_the_cluster_or_other_services_addresses_in_its_environment(
    world: World,
) -> Iterator[str]:
    for workload in world.workloads():
        for name in ("automountServiceAccountToken", "enableServiceLinks"):
            if workload.pod.get(name) is not False:
                yield f"{workload}: {name} is not off"


_BY_TAG_AND_DIGEST = (
    '{{ with $image.tag }}:{{ include "common.scalar" . }}{{ end }}@{{ $image.digest }}'
)


@invariant(
    Fault(f"{COMMON}/_init.tpl", _BY_TAG_AND_DIGEST, ":latest"),
    Fault(f"{COMMON}/_init.tpl", _BY_TAG_AND_DIGEST, ""),
)
def images_are_named_by_digest_or_by_a_tag_that_does_not_move(world: World) -> Iterator[str]:
    for workload in world.workloads():
        for container in workload.containers:
            rest = container["image"].rpartition("/")[2]
            if "@sha256:" not in rest and (":" not in rest or rest.endswith(":latest")):
                yield f"{workload} runs {container['image']}"


@invariant(
    Fault(
        f"{COMMON}/_configmap.tpl",
        '{{- $_ := set $settings "SERVICE_VERSION"',
        '{{- $_ := set $settings "SECRET_KEY" "development-secret-key" -}}\n'
        '{{- $_ := set $settings "SERVICE_VERSION"',
    ),
    Fault(
        "charts/platform/values.yaml",
        "  LOG_LEVEL: INFO",
        "  LOG_LEVEL: INFO\n  CACHE: redis://:password@redis:6379",
    ),
    Fault(
        f"{COMMON}/_pod.tpl",
        "env:\n  - name: INSTANCE_ID",
        "env:\n  - {name: SECRET_KEY, value: development-secret-key}\n  - name: INSTANCE_ID",
    ),
)
def no_secret_is_in_a_configmap_or_in_a_pods_own_text(world: World) -> Iterator[str]:
    secret = {
        name
        for service in installed_services().values()
        for name in secret_settings(service.settings)
    } | {OWNER_URL}
    for one in world.of("ConfigMap"):
        for name, value in one.get("data", {}).items():
            if name in secret or _PASSWORD_IN_URL.search(value):
                yield f"{title(one)} holds {name}"
    for workload in world.workloads():
        for container in workload.containers:
            for entry in container.get("env", []):
                if entry["name"] in secret or _PASSWORD_IN_URL.search(entry.get("value", "")):
                    yield f"{workload} holds {entry['name']}"


def _mounted(world: World) -> Iterator[tuple[str, str, str, set[str]]]:
    """Who (service and component) mounts which keys of which Secret."""
    for workload in world.workloads():
        component = workload.labels["app.kubernetes.io/component"]
        service = re.sub("-(migrate|test)$", "", workload.service)
        for volume in workload.pod.get("volumes", []):
            sources = [one["secret"] for one in volume.get("projected", {}).get("sources", [])]
            if secret := volume.get("secret"):
                sources.append({**secret, "name": secret["secretName"]})
            for source in sources:
                keys = {item["key"] for item in source.get("items", [{"key": "all of it"}])}
                yield service, component, source["name"], keys


@invariant(
    Fault(
        _POD,
        "          name: {{ .name }}\n",
        '          name: {{ include "common.migrationSecretName" $ }}\n',
    ),
    Fault(
        f"{COMMON}/_migration.tpl",
        'secretName: {{ include "common.migrationSecretName" . }}',
        'secretName: {{ include "common.secretName" . }}',
    ),
    Fault(
        "charts/users/values-production.yaml",
        "global:\n",
        "secret:\n  existingSecret: api\nglobal:\n",
    ),
    Fault(
        f"{COMMON}/_secret.tpl",
        "{{- $items := dict -}}",
        _MORE_ITEMS % "JWT_SIGNING_KEYS",
    ),
    Fault(
        f"{COMMON}/_secret.tpl",
        "{{- $items := dict -}}",
        _MORE_ITEMS % "MIGRATION_DATABASE_URL",
    ),
    Fault(_POD, "          items:\n", "          optional: false\n          item:\n"),
)
def each_secret_is_mounted_by_one_service_and_the_owners_by_its_migration_alone(
    world: World,
) -> Iterator[str]:
    mounters: dict[str, set[tuple[str, str]]] = {}
    for service, component, secret, keys in _mounted(world):
        mounters.setdefault(secret, set()).add((service, component))
        if (OWNER_URL in keys) != (component == "migration"):
            yield f"{service} {component} mounts {sorted(keys)} of {secret}"
        if SIGNING_KEYS in keys and (service, component) != ("users", "service"):
            yield f"{service} {component} could sign tokens"
        known = {OWNER_URL}
        if service in SERVICES:
            known |= set(secret_settings(installed_services()[service].settings))
        if not keys <= known:
            yield f"{service} {component} mounts {sorted(keys - known)} of {secret}"
    for secret, found in mounters.items():
        if len(found) != 1:
            yield f"Secret {secret} is mounted by {sorted(found)}"
    if {name.upper() for name in MigrationSettings.model_fields} & {SIGNING_KEYS}:
        yield "migrations read the signing keys"


@invariant(
    Fault(f"{COMMON}/_configmap.tpl", "kind: ConfigMap", "kind: Secret"),
    Fault("charts/platform/templates/configmap.yaml", "kind: ConfigMap", "kind: Secret"),
)
def outside_development_no_chart_holds_a_secret(world: World) -> Iterator[str]:
    if world.environment != "dev":
        for one in world.of("Secret"):
            yield f"{title(one)} comes from values"
