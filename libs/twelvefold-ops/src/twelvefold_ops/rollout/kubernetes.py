"""The rollout's port to a cluster, implemented with Helm and the Kubernetes API server.

Reads are retried. Changes are not: the engine reads the state of the cluster and repeats them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lightkube import ApiError, AsyncClient, KubeConfig
from lightkube.core.exceptions import ConfigError
from lightkube.resources.apps_v1 import Deployment, ReplicaSet
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import ConfigMap, Secret, Service, ServiceAccount
from lightkube.resources.core_v1 import Pod as PodResource
from lightkube.resources.networking_v1 import NetworkPolicy
from lightkube.types import CascadeType, PatchType

from .canary_analysis import Sample, parse_metrics
from .helm import Helm
from .kubernetes_api import (
    COMPONENT_LABEL,
    INSTANCE_LABEL,
    NOT_FOUND,
    KubernetesApi,
    canary_weight,
    describe_pod,
    main_container,
    status_code,
)
from .model import (
    CandidateFailed,
    ClusterError,
    Pod,
    Release,
    RolloutRefused,
    Target,
    Values,
    Workload,
)
from .rollout_lock import hold_lease

_TEMPLATE_LABEL, _REVISION_ANNOTATION = "pod-template-hash", "deployment.kubernetes.io/revision"
# Jobs come first, because they would recreate their pods.
_HOOK_KINDS = (Job, PodResource, ConfigMap, Secret, ServiceAccount, NetworkPolicy, Service)


@dataclass(frozen=True, slots=True)
class Source:
    """The folder of the charts, and values that replace those of the routing release."""

    folder: Path
    routing_values: Values | None = None

    def chart(self, kind: str, service: str) -> Path:
        """Return the path of a chart; `kind` is charts or istio. Raises RolloutRefused."""
        path = self.folder / kind / service
        if not (path / "Chart.yaml").is_file():
            raise RolloutRefused(f"no chart at {path}: --charts names the folder of {kind}/")
        return path


class KubernetesCluster:
    """One namespace of a cluster. Close it with `aclose`."""

    def __init__(self, namespace: str, context: str | None, source: Source) -> None:
        """Raises RolloutRefused where there is no kubeconfig or no Helm."""
        try:
            config = KubeConfig.from_env().get(context)
        except ConfigError as error:
            raise RolloutRefused(f"no cluster: {error}") from None
        self._client = AsyncClient(config, namespace=namespace)
        self._api = KubernetesApi(self._client)
        self._helm = Helm(namespace, context)
        self._namespace = namespace
        self._source = source

    async def aclose(self) -> None:
        await self._client.aclose()

    def lease(
        self, service: str, waiting: Callable[[str], None]
    ) -> AbstractAsyncContextManager[bool]:
        return hold_lease(self._client, self._namespace, f"rollout-{service}", waiting)

    async def require_unowned(self, service: str) -> None:
        """Raise RolloutRefused where a controller brings new versions of the service."""
        owner = await self._api.find_owner(service)
        if owner is not None:
            raise RolloutRefused(f"{service} belongs to {owner}")

    # Releases.

    async def release(self, name: str) -> Release | None:
        secrets = await self._api.list_objects(Secret, {"owner": "helm", "name": name})
        revisions = sorted(
            (dict(secret.metadata.labels) for secret in secrets),
            key=lambda labels: int(labels["version"]),
        )
        if not revisions:
            return None
        newest = revisions[-1]
        deployed = [
            int(labels["version"])
            for labels in revisions
            if labels["status"] in {"deployed", "superseded", "uninstalling"}
        ]
        return Release(
            name,
            int(newest["version"]),
            newest["status"],
            {label: value for label, value in newest.items() if "/" in label},
            max(deployed, default=None),
        )

    async def values(self, release: str, revision: int | None = None) -> dict[str, Any]:
        return await self._helm.values(release, revision)

    async def upgrade(
        self,
        release: str,
        target: Target,
        *,
        pods: int | None = None,
        labels: Mapping[str, str] | None = None,
        hooks: bool = True,
    ) -> None:
        values = target.values if pods is None else scale_values(target.values, pods)
        chart = self._source.chart("charts", target.service)
        options = [] if hooks else ["--no-hooks"]
        await self._helm.upgrade(release, chart, values, *options, labels=labels)

    async def route(self, service: str, weight: int | None) -> None:
        routing = f"{service}-routing"
        values = route_values(await self._routing_values(routing), weight)
        # The history must keep the revision to which a rollback returns.
        history = "0" if weight is not None else "10"
        await self._helm.upgrade(
            routing,
            self._source.chart("istio", service),
            values,
            *("--history-max", history),
            overwrite=True,
        )

    async def _routing_values(self, routing: str) -> Values:
        if self._source.routing_values is not None:
            return self._source.routing_values
        return await self._helm.values(routing)

    async def dry_run(self, target: Target, weight: int) -> None:
        """Validate everything that a rollout applies. Changes nothing. Raises ClusterError."""
        names = target.names
        chart = self._source.chart("charts", target.service)
        for release in (names.canary, names.primary):
            await self._helm.render(release, chart, target.values)
        if names.routing:
            values = route_values(await self._routing_values(names.routing), weight)
            chart = self._source.chart("istio", target.service)
            await self._helm.render(names.routing, chart, values)

    async def rollback(self, release: str, revision: int) -> None:
        await self._helm.rollback(release, revision, overwrite=release.endswith("-routing"))

    async def uninstall(self, release: str) -> None:
        await self._helm.uninstall(release)
        for kind in _HOOK_KINDS:
            for resource in await self._api.list_objects(kind, {INSTANCE_LABEL: release}):
                labels = resource.metadata.labels or {}
                if kind is PodResource and labels.get(COMPONENT_LABEL) == "service":
                    continue  # it drains
                with suppress(ApiError):
                    # By default the API server keeps the pods of a deleted Job.
                    await self._client.delete(
                        cast("Any", kind), resource.metadata.name, cascade=CascadeType.BACKGROUND
                    )

    async def delete_revision(self, release: Release) -> None:
        name = f"sh.helm.release.v1.{release.name}.v{release.revision}"
        await self._api.change(self._client.delete(Secret, name))

    async def label(self, release: Release, labels: Mapping[str, str]) -> None:
        name = f"sh.helm.release.v1.{release.name}.v{release.revision}"
        patch = {"metadata": {"labels": dict(labels)}}
        await self._api.change(self._client.patch(Secret, name, patch, patch_type=PatchType.MERGE))

    async def weight(self, routing: str) -> int | None:
        # Read the live objects: a killed Helm may have applied its record only in part.
        return canary_weight(await self._api.list_routes(routing))

    async def has_routes(self, routing: str) -> bool:
        return bool(await self._api.list_routes(routing))

    # Pods.

    async def workload(self, release: str) -> Workload:
        try:
            deployment: Any = await self._api.read(lambda: self._client.get(Deployment, release))
        except ClusterError as error:
            if status_code(error.__cause__) == NOT_FOUND:
                return Workload(0, settled=False, pods=[])
            raise
        selector = dict(deployment.spec.selector.matchLabels)
        revision = (deployment.metadata.annotations or {}).get(_REVISION_ANNOTATION)
        newest = {
            replica_set.metadata.labels[_TEMPLATE_LABEL]
            for replica_set in await self._api.list_objects(ReplicaSet, selector)
            if (replica_set.metadata.annotations or {}).get(_REVISION_ANNOTATION) == revision
        }
        pods = [
            describe_pod(pod, is_newest=pod.metadata.labels.get(_TEMPLATE_LABEL) in newest)
            for pod in await self._api.list_pods(selector)
        ]
        status, desired = deployment.status, deployment.spec.replicas or 0
        settled = (
            status is not None
            and (status.observedGeneration or 0) >= deployment.metadata.generation
            and (status.updatedReplicas or 0) == desired == (status.replicas or 0)
        )
        return Workload(desired, settled, pods)

    async def hooks(self, release: str) -> list[Pod]:
        pods = await self._api.list_pods({INSTANCE_LABEL: release, COMPONENT_LABEL: "migration"})
        return [describe_pod(pod, is_newest=True) for pod in pods]

    async def test(self, release: str) -> None:
        try:
            await self._helm.test(release)
        except ClusterError as error:
            output = await self._api.read_log(f"{release}-test", None)
            raise CandidateFailed(
                f"its test failed (helm test {release}): {output or error.detail}"
            ) from None

    async def sample(self, service: str, release: str, threshold: float) -> Mapping[str, Sample]:
        responses = await self._api.fetch_from_pods(service, release, "/metrics")
        return {uid: parse_metrics(text, threshold) for uid, text in responses.items()}

    async def job_kinds(self, service: str, release: str) -> frozenset[str] | None:
        responses = await self._api.fetch_from_pods(service, release, "/info")
        kinds = [frozenset(json.loads(text).get("job_kinds", ())) for text in responses.values()]
        return frozenset.intersection(*kinds) if kinds else None

    async def failure_logs(self, release: str) -> str:
        logs = []
        for pod in await self._api.list_objects(PodResource, {INSTANCE_LABEL: release}):
            component = (pod.metadata.labels or {}).get(COMPONENT_LABEL)
            is_ready = component == "service" and describe_pod(pod, is_newest=True).ready
            if component in {"service", "migration"} and not is_ready:
                container = pod.spec.containers[0].name if component == "migration" else None
                text = await self._api.read_log(pod.metadata.name, container or main_container(pod))
                if text:
                    logs.append(f"{pod.metadata.name}:\n{text}")
        return "\n".join(logs)


def scale_values(values: Values, pods: int) -> dict[str, Any]:
    """Return values with at least `pods` pods, with or without an autoscaler."""
    scaling = {**values.get("autoscaling", {}), "minReplicas": pods}
    return {**values, "replicas": pods, "autoscaling": scaling}


def route_values(values: Values, weight: int | None) -> dict[str, Any]:
    """Return routing values with the canary's weight in percent; None removes the canary."""
    canary = {
        name: value
        for name, value in values.get("canary", {}).items()
        if name not in {"enabled", "weight"}
    }
    if weight is not None:
        canary |= {"enabled": True, "weight": weight}
    rest = {name: value for name, value in values.items() if name != "canary"}
    return {**rest, "canary": canary} if canary else rest
