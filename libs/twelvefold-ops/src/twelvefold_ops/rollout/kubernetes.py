"""The cluster of a rollout: Helm's program, and the API server through lightkube.

Owns how the port's words are said in Helm's and Kubernetes' terms. Reads are tried again for some
seconds; what changes something is left to the engine, which looks first and then repeats it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx2 as httpx
from lightkube import ApiError, AsyncClient, KubeConfig
from lightkube.core.exceptions import ConfigError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.resources.apps_v1 import Deployment, ReplicaSet
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import ConfigMap, Secret, Service, ServiceAccount
from lightkube.resources.core_v1 import Pod as PodResource
from lightkube.resources.networking_v1 import NetworkPolicy
from lightkube.types import CascadeType, PatchType

from .canary_analysis import Sample, read
from .helm import Helm
from .kubernetes_api import NOT_FOUND, KubernetesApi, code_of
from .model import (
    CandidateFailed,
    ClusterError,
    Pod,
    Release,
    ReleaseNames,
    RolloutRefused,
    Target,
    Values,
    Workload,
)
from .pods import pod_of, running
from .rollout_lock import hold_lease

_VirtualService: Any = create_namespaced_resource(
    "networking.istio.io", "v1", "VirtualService", "virtualservices"
)
_NAME, _INSTANCE = "app.kubernetes.io/name", "app.kubernetes.io/instance"
_TEMPLATE, _REVISION = "pod-template-hash", "deployment.kubernetes.io/revision"
# Jobs first: they would make their pods anew.
_LEFT_BY_HOOKS = (Job, PodResource, ConfigMap, Secret, ServiceAccount, NetworkPolicy, Service)
_AT_ONCE = 8
_TIMEOUT = 10.0  # seconds of one call
_LINES = 15
# Runs in the service's own container, past NetworkPolicies and the mesh, as a probe does.
_ASK = (
    "import sys,urllib.request as u;"
    "sys.stdout.write(u.urlopen(sys.argv[1],timeout=5).read().decode())"
)


@dataclass(frozen=True, slots=True)
class Source:
    """Where charts are, and values for the routing in place of its release's own."""

    folder: Path
    routing_values: Values | None = None

    def chart(self, kind: str, service: str) -> Path:
        """`kind` is charts or istio. Raises Refused."""
        found = self.folder / kind / service
        if not (found / "Chart.yaml").is_file():
            raise RolloutRefused(f"there is no chart {found}: --charts names the folder of {kind}/")
        return found


class KubernetesCluster:
    """One namespace of a cluster. Close it with `aclose`."""

    def __init__(self, namespace: str, context: str | None, source: Source) -> None:
        """Raises Refused where there is no kubeconfig or no Helm."""
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

    # Releases.

    async def release(self, name: str) -> Release | None:
        chosen = {"owner": "helm", "name": name}
        found = await self._api.listed(Secret, chosen)
        revisions = sorted(
            (dict(one.metadata.labels) for one in found), key=lambda labels: int(labels["version"])
        )
        if not revisions:
            return None
        newest = revisions[-1]
        in_force = [
            int(labels["version"])
            for labels in revisions
            if labels["status"] in {"deployed", "superseded", "uninstalling"}
        ]
        return Release(
            name,
            int(newest["version"]),
            newest["status"],
            {label: value for label, value in newest.items() if "/" in label},
            max(in_force, default=None),
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
        values = target.values if pods is None else scaled(target.values, pods)
        chart = self._source.chart("charts", target.service)
        options = [] if hooks else ["--no-hooks"]
        await self._helm.upgrade(release, chart, values, *options, labels=labels)

    async def route(self, service: str, weight: int | None) -> None:
        routing = f"{service}-routing"
        values = routed(await self._base(routing), weight)
        # Replaced, not patched: Helm compares such objects with what it believes to be there. And the
        # revision to go back to must not be pruned meanwhile.
        options = ["--force", "--history-max", "0" if weight is not None else "10"]
        await self._helm.upgrade(routing, self._source.chart("istio", service), values, *options)

    async def _base(self, routing: str) -> Values:
        if self._source.routing_values is not None:
            return self._source.routing_values
        return await self._helm.values(routing)

    async def dry_run(self, target: Target, weight: int) -> None:
        """Has Helm and the API server look at all that a rollout applies. Raises ClusterError."""
        names = ReleaseNames(target.service)
        chart = self._source.chart("charts", target.service)
        for release in (names.canary, names.primary):
            await self._helm.render(release, chart, target.values)
        if names.routing:
            values = routed(await self._base(names.routing), weight)
            chart = self._source.chart("istio", target.service)
            await self._helm.render(names.routing, chart, values)

    async def rollback(self, release: str, revision: int) -> None:
        options = ["--force"] if release.endswith("-routing") else []
        await self._helm.rollback(release, revision, *options)

    async def uninstall(self, release: str) -> None:
        await self._helm.uninstall(release)
        for kind in _LEFT_BY_HOOKS:
            for left in await self._api.listed(cast("Any", kind), {_INSTANCE: release}):
                if kind is PodResource and "/component" in str(left.metadata.labels):
                    component = left.metadata.labels.get("app.kubernetes.io/component")
                    if component == "service":
                        continue  # it drains
                with suppress(ApiError):
                    # Said, because the API server lets a Job's pods stand by default.
                    await self._client.delete(
                        cast("Any", kind), left.metadata.name, cascade=CascadeType.BACKGROUND
                    )

    async def delete_revision(self, release: Release) -> None:
        name = f"sh.helm.release.v1.{release.name}.v{release.revision}"
        await self._api.change(self._client.delete(Secret, name))

    async def label(self, release: Release, labels: Mapping[str, str]) -> None:
        name = f"sh.helm.release.v1.{release.name}.v{release.revision}"
        patch = {"metadata": {"labels": dict(labels)}}
        await self._api.change(self._client.patch(Secret, name, patch, patch_type=PatchType.MERGE))

    async def weight(self, routing: str) -> int | None:
        """Of what is live: what Helm wrote down may have come half way."""
        found = await self._api.listed(_VirtualService, {_INSTANCE: routing})
        shares = [
            destination.get("weight", 100)
            for one in found
            for route in (one.spec or {}).get("http", [])
            if not str(route.get("name", "")).endswith(("-canary", "-experiment"))
            for destination in route["route"]
            if destination["destination"].get("subset") == "v2"
        ]
        return max(shares, default=None)

    # Pods.

    async def workload(self, release: str) -> Workload:
        try:
            deployment: Any = await self._api.read(lambda: self._client.get(Deployment, release))
        except ClusterError as error:
            if code_of(error.__cause__) == NOT_FOUND:
                return Workload(0, settled=False, pods=[])
            raise
        chosen = dict(deployment.spec.selector.matchLabels)
        revision = (deployment.metadata.annotations or {}).get(_REVISION)
        newest = {
            one.metadata.labels[_TEMPLATE]
            for one in await self._api.listed(ReplicaSet, chosen)
            if (one.metadata.annotations or {}).get(_REVISION) == revision
        }
        pods = [
            pod_of(one, is_newest=one.metadata.labels.get(_TEMPLATE) in newest)
            for one in await self._api.listed(PodResource, chosen)
            if one.metadata.deletionTimestamp is None
        ]
        status, wanted = deployment.status, deployment.spec.replicas or 0
        settled = (
            status is not None
            and (status.observedGeneration or 0) >= deployment.metadata.generation
            and (status.updatedReplicas or 0) == wanted == (status.replicas or 0)
        )
        return Workload(wanted, settled, pods)

    async def hooks(self, release: str) -> list[Pod]:
        chosen = {_INSTANCE: release, "app.kubernetes.io/component": "migration"}
        return [
            pod_of(one, is_newest=True)
            for one in await self._api.listed(PodResource, chosen)
            if one.metadata.deletionTimestamp is None
        ]

    async def test(self, release: str) -> None:
        try:
            await self._helm.test(release)
        except ClusterError as error:
            words = await self._log(f"{release}-test", None)
            raise CandidateFailed(
                f"its own test failed (helm test {release}): {words or error.detail}"
            ) from None

    async def sample(self, service: str, release: str, threshold: float) -> Mapping[str, Sample]:
        told = await self._metrics_text(service, release, "/metrics")
        return {uid: read(text, threshold) for uid, text in told.items()}

    async def job_kinds(self, service: str, release: str) -> frozenset[str] | None:
        told = await self._metrics_text(service, release, "/info")
        kinds = [frozenset(json.loads(text).get("job_kinds", ())) for text in told.values()]
        return frozenset.intersection(*kinds) if kinds else None

    async def failure_logs(self, release: str) -> str:
        words = []
        for one in await self._api.listed(PodResource, {_INSTANCE: release}):
            component = (one.metadata.labels or {}).get("app.kubernetes.io/component")
            ready = component == "service" and pod_of(one, is_newest=True).ready
            if component in {"service", "migration"} and not ready:
                container = one.spec.containers[0].name if component == "migration" else None
                text = await self._log(one.metadata.name, container or _main(one))
                if text:
                    words.append(f"{one.metadata.name}:\n{text}")
        return "\n".join(words)

    async def _metrics_text(self, service: str, release: str, path: str) -> dict[str, str]:
        """What each running pod of a release answers on its management port, by uid."""
        found = await self._api.listed(PodResource, {_NAME: service, _INSTANCE: release})
        room = asyncio.Semaphore(_AT_ONCE)

        async def ask(one: Any) -> tuple[str, str] | None:
            port = running(one, service)
            if port is None:
                return None
            command = ["python3", "-I", "-S", "-c", _ASK, f"http://127.0.0.1:{port}{path}"]
            async with room:
                # Whatever fails, a pod that does not tell is one that is not counted.
                with suppress(ApiError, httpx.HTTPError, OSError, ValueError, TimeoutError):
                    async with asyncio.timeout(_TIMEOUT):
                        said = await self._client.exec(
                            one.metadata.name, container=service, command=command, stdout=True
                        )
                    if said.exit_code == 0 and isinstance(said.stdout, str):
                        return one.metadata.uid, said.stdout
            return None

        return dict(filter(None, await asyncio.gather(*map(ask, found))))

    async def _log(self, pod: str, container: str | None) -> str:
        with suppress(ApiError, httpx.HTTPError):
            told = self._client.log(pod, container=container, tail_lines=_LINES)
            return "".join([line async for line in told]).rstrip()
        return ""


def scaled(values: Values, pods: int) -> dict[str, Any]:
    """Values with so many pods at least, however the service is scaled."""
    scaling = {**values.get("autoscaling", {}), "minReplicas": pods}
    return {**values, "replicas": pods, "autoscaling": scaling}


def routed(values: Values, weight: int | None) -> dict[str, Any]:
    """Values of the routing with a share for the second release; None: without one."""
    canary = {
        name: value
        for name, value in values.get("canary", {}).items()
        if name not in {"enabled", "weight"}
    }
    if weight is not None:
        canary |= {"enabled": True, "weight": weight}
    rest = {name: value for name, value in values.items() if name != "canary"}
    return {**rest, "canary": canary} if canary else rest


def _main(pod: Any) -> str:
    annotated = (pod.metadata.annotations or {}).get("kubectl.kubernetes.io/default-container")
    return str(annotated or pod.spec.containers[0].name)
