"""A rollout stands aside where a controller brings new versions of the service."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.fakes.api_server import NAMESPACE, ApiServer, client_of

from twelvefold_ops.rollout.kubernetes_api import KubernetesApi
from twelvefold_ops.rollout.model import ClusterError

DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/api"
ROLLOUT = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/api"
CANARY = "/apis/flagger.app/v1beta1/namespaces/shop/canaries/api"


def add(server: ApiServer, path: str, **metadata: Any) -> None:
    template = {"metadata": {}, "spec": {"containers": [{"name": "api"}]}}
    server.objects[path] = {
        "metadata": {"name": "api", "namespace": NAMESPACE, **metadata},
        "spec": {"selector": {}, "template": template},
    }


async def owner(server: ApiServer) -> str | None:
    async with client_of(server) as client, asyncio.timeout(20):
        return await KubernetesApi(client).find_owner("api")


@pytest.mark.parametrize("status", [404, 403])
async def test_a_release_of_helms_alone_has_no_owner(server: ApiServer, status: int) -> None:
    server.absent = status
    add(server, DEPLOYMENT, labels={"app.kubernetes.io/managed-by": "Helm"})

    assert await owner(server) is None


@pytest.mark.parametrize(
    ("path", "metadata", "name"),
    [
        (ROLLOUT, {}, "Argo Rollouts"),
        (CANARY, {}, "Flagger"),
        (DEPLOYMENT, {"labels": {"helm.toolkit.fluxcd.io/name": "api"}}, "Flux"),
        (DEPLOYMENT, {"labels": {"argocd.argoproj.io/instance": "api"}}, "Argo CD"),
        (DEPLOYMENT, {"annotations": {"argocd.argoproj.io/tracking-id": "api:x"}}, "Argo CD"),
    ],
)
async def test_a_controllers_release_is_left_to_it(
    server: ApiServer, path: str, metadata: dict[str, Any], name: str
) -> None:
    add(server, DEPLOYMENT)
    add(server, path, **metadata)

    found = await owner(server)

    assert found is not None
    assert found.startswith(f"{name}: change")


async def test_a_service_that_is_not_installed_has_no_owner(server: ApiServer) -> None:
    assert await owner(server) is None


async def test_an_api_server_that_fails_is_reported(server: ApiServer) -> None:
    server.absent = 401

    with pytest.raises(ClusterError):
        await owner(server)
