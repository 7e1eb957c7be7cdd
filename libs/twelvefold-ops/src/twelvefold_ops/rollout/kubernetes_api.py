"""Access the Kubernetes API server: calls with retries, routes, pods with their metrics and logs.

Reads are retried for some seconds. Errors of the client library become ClusterError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx2 as httpx
from lightkube import ApiError, AsyncClient
from lightkube.generic_resource import create_namespaced_resource
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Pod as PodResource

from .model import ClusterError, Pod

T = TypeVar("T")
NAME_LABEL, INSTANCE_LABEL = "app.kubernetes.io/name", "app.kubernetes.io/instance"
COMPONENT_LABEL = "app.kubernetes.io/component"
NOT_FOUND, _FORBIDDEN = 404, 403
_SERVER_ERROR, _TOO_MANY_REQUESTS = 500, 429
_MAX_TRIES = 4
_MAX_PARALLEL_FETCHES = 8
_FETCH_TIMEOUT = 10.0  # seconds
_LOG_LINES = 15
_STARTING_REASONS = frozenset({"ContainerCreating", "PodInitializing"})
# Runs in the service's own container, so that NetworkPolicies and the mesh do not apply.
_FETCH_SCRIPT = (
    "import sys,urllib.request as u;"
    "sys.stdout.write(u.urlopen(sys.argv[1],timeout=5).read().decode())"
)
_Rollout: Any = create_namespaced_resource("argoproj.io", "v1alpha1", "Rollout", "rollouts")
_Canary: Any = create_namespaced_resource("flagger.app", "v1beta1", "Canary", "canaries")
# The kinds of routes, and the statuses by which each counts as absent.
_ROUTES: tuple[tuple[Any, frozenset[int]], ...] = (
    (
        create_namespaced_resource(
            "networking.istio.io", "v1", "VirtualService", "virtualservices"
        ),
        frozenset({NOT_FOUND}),
    ),
    (
        create_namespaced_resource("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
        frozenset({NOT_FOUND, _FORBIDDEN}),
    ),
)
# Labels and annotations by which a GitOps controller marks what it applies.
_OWNER_MARKS = {
    "helm.toolkit.fluxcd.io/name": "Flux: change its HelmRelease",
    "kustomize.toolkit.fluxcd.io/name": "Flux: change its Kustomization",
    "argocd.argoproj.io/instance": "Argo CD: change its Application",
    "argocd.argoproj.io/tracking-id": "Argo CD: change its Application",
}


class KubernetesApi:
    """The API server, in the client's namespace."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client

    async def list_objects(self, kind: Any, labels: Mapping[str, str]) -> list[Any]:
        """Return the objects of a kind with the given labels. Raises ClusterError."""

        async def call() -> list[Any]:
            return [resource async for resource in self.client.list(kind, labels=dict(labels))]

        return await self.read(call)

    async def list_routes(self, routing: str) -> list[Any]:
        """Return the live VirtualServices and HTTPRoutes of a routing release.

        A kind that is not installed has none, and who may not read HTTPRoutes cannot have installed
        any. Raises ClusterError.
        """
        labels, found = {INSTANCE_LABEL: routing}, []
        for kind, absent in _ROUTES:
            try:
                found += await self.list_objects(kind, labels)
            except ClusterError as error:
                if status_code(error.__cause__) not in absent:
                    raise
        return found

    async def list_pods(self, labels: Mapping[str, str]) -> list[Any]:
        """Return the pods that are not being deleted. Raises ClusterError."""
        pods = await self.list_objects(PodResource, labels)
        return [pod for pod in pods if pod.metadata.deletionTimestamp is None]

    async def find_owner(self, service: str) -> str | None:
        """Return the controller that brings a service's versions and where to change it, or None.

        A kind that is not installed, or that the operator may not read, counts as absent. Raises
        ClusterError.
        """
        if await self._find(_Rollout, service) is not None:
            return "Argo Rollouts: change the image in its release, and the Rollout starts a canary"
        if await self._find(_Canary, service) is not None:
            return "Flagger: change the image in its release, and the Canary starts"
        deployment = await self._find(Deployment, service)
        if deployment is None:
            return None
        marks = {**(deployment.metadata.labels or {}), **(deployment.metadata.annotations or {})}
        return next((owner for mark, owner in _OWNER_MARKS.items() if mark in marks), None)

    async def _find(self, kind: Any, name: str) -> Any:
        try:
            return await self.read(lambda: self.client.get(kind, name))
        except ClusterError as error:
            if status_code(error.__cause__) in {NOT_FOUND, _FORBIDDEN}:
                return None
            raise

    async def read(self, call: Callable[[], Awaitable[T]]) -> T:
        """Await an idempotent call, with up to 3 retries. Raises ClusterError."""
        for attempt in range(_MAX_TRIES):
            try:
                return await call()
            except (ApiError, httpx.HTTPError) as error:
                code = status_code(error)
                is_permanent = code not in {0, _TOO_MANY_REQUESTS} and code < _SERVER_ERROR
                if is_permanent or attempt == _MAX_TRIES - 1:
                    raise ClusterError(_describe(error)) from error
            await asyncio.sleep(0.5 * 2**attempt)
        raise AssertionError("the loop returns or raises")

    async def change(self, call: Awaitable[object]) -> None:
        """Await a change once. A missing object is not an error. Raises ClusterError."""
        try:
            await call
        except (ApiError, httpx.HTTPError) as error:
            if status_code(error) != NOT_FOUND:
                raise ClusterError(_describe(error)) from error

    async def fetch_from_pods(self, service: str, release: str, path: str) -> dict[str, str]:
        """Return the response of each running pod's management port to `path`, by uid.

        A pod that does not respond is left out.
        """
        pods = await self.list_objects(PodResource, {NAME_LABEL: service, INSTANCE_LABEL: release})
        slots = asyncio.Semaphore(_MAX_PARALLEL_FETCHES)

        async def fetch(pod: Any) -> tuple[str, str] | None:
            port = find_management_port(pod, service)
            if port is None:
                return None
            url = f"http://127.0.0.1:{port}{path}"
            command = ["python3", "-I", "-S", "-c", _FETCH_SCRIPT, url]
            async with slots:
                with suppress(ApiError, httpx.HTTPError, OSError, ValueError, TimeoutError):
                    async with asyncio.timeout(_FETCH_TIMEOUT):
                        result = await self.client.exec(
                            pod.metadata.name, container=service, command=command, stdout=True
                        )
                    if result.exit_code == 0 and isinstance(result.stdout, str):
                        return pod.metadata.uid, result.stdout
            return None

        return dict(filter(None, await asyncio.gather(*map(fetch, pods))))

    async def read_log(self, pod: str, container: str | None) -> str:
        """Return the last lines of a container's log; empty where there is none."""
        with suppress(ApiError, httpx.HTTPError):
            lines = self.client.log(pod, container=container, tail_lines=_LOG_LINES)
            return "".join([line async for line in lines]).rstrip()
        return ""


def canary_weight(routes: Iterable[Any]) -> int | None:
    """Return the canary's weight in percent; None if no route for all requests names the canary."""
    weights = [weight for route in routes for weight in _canary_weights(route.spec or {})]
    return max(weights, default=None)


def _canary_weights(spec: Mapping[str, Any]) -> Iterator[int]:
    """Yield weights of the subset v2 (VirtualService) or of the Service NAME-v2 (HTTPRoute)."""
    for route in spec.get("http", []):
        if str(route.get("name", "")).endswith(("-canary", "-experiment")):
            continue
        for destination in route.get("route", []):
            if destination["destination"].get("subset") == "v2":
                yield destination.get("weight", 100)
    for rule in spec.get("rules", []):
        matches = rule.get("matches", [])
        headers = {header["name"] for match in matches for header in match.get("headers", [])}
        if headers & {"canary", "experiment"}:
            continue
        for backend in rule.get("backendRefs", []):
            if backend["name"].endswith("-v2"):
                yield backend.get("weight", 1)


def status_code(error: BaseException | None) -> int:
    """Return the HTTP status of an API error; 0 where there was no response."""
    if isinstance(error, ApiError):
        return int(error.status.code or 0)
    # The API server answers in plain text for an API group that it does not have.
    return error.response.status_code if isinstance(error, httpx.HTTPStatusError) else 0


def describe_pod(pod: Any, *, is_newest: bool) -> Pod:
    """Convert a pod of the API server. `is_newest`: it is of the Deployment's present template."""
    status = pod.status
    containers = list(status.containerStatuses or []) if status else []
    conditions = {entry.type: entry for entry in (status.conditions or [])} if status else {}
    ready = conditions.get("Ready")
    return Pod(
        name=pod.metadata.name,
        uid=pod.metadata.uid,
        ready=ready is not None and ready.status == "True",
        restarts=sum(container.restartCount for container in containers),
        running_for=min((_running_for(container) for container in containers), default=0.0),
        is_newest=is_newest,
        waiting_reason=_find_waiting_reason(status, containers, conditions),
    )


def find_management_port(pod: Any, container: str) -> int | None:
    """Return the management port of a running container; None where it does not run."""
    statuses = (pod.status.containerStatuses or []) if pod.status else []
    if not any(entry.name == container and _is_running(entry) for entry in statuses):
        return None
    for spec in pod.spec.containers:
        if spec.name == container:
            for port in spec.ports or []:
                if port.name == "management":
                    return int(port.containerPort)
    return None


def main_container(pod: Any) -> str:
    """Return the name of the container whose log explains a failure."""
    annotated = (pod.metadata.annotations or {}).get("kubectl.kubernetes.io/default-container")
    return str(annotated or pod.spec.containers[0].name)


def _is_running(container: Any) -> bool:
    return bool(container.state and container.state.running)


def _running_for(container: Any) -> float:
    state = container.state.running if container.state else None
    if state is None or state.startedAt is None:
        return 0.0
    since: datetime = state.startedAt
    return max(0.0, (datetime.now(UTC) - since).total_seconds())


def _find_waiting_reason(
    status: Any, containers: list[Any], conditions: dict[str, Any]
) -> str | None:
    init_containers = list(status.initContainerStatuses or []) if status else []
    for container in (*init_containers, *containers):
        waiting = container.state.waiting if container.state else None
        if waiting is not None and waiting.reason not in _STARTING_REASONS:
            return str(waiting.reason)
    scheduled = conditions.get("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        return str(scheduled.reason)
    return None


def _describe(error: Exception) -> str:
    if isinstance(error, ApiError):
        return str(error.status.message)
    return f"the API server does not respond ({type(error).__name__})"
