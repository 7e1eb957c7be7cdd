"""A rollout stands aside where a controller brings new versions of the service.

A small server answers as the API server does for the objects that a test gives.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from lightkube import AsyncClient, KubeConfig

from twelvefold_ops.rollout.kubernetes_api import KubernetesApi
from twelvefold_ops.rollout.model import ClusterError

NAMESPACE = "shop"
_NOT_FOUND = 404
DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/api"
ROLLOUT = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/api"
CANARY = "/apis/flagger.app/v1beta1/namespaces/shop/canaries/api"


class ApiServer:
    """Objects by path; every other path has the given status."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.absent = 404
        self.url = ""

    def add(self, path: str, **metadata: Any) -> None:
        template = {"metadata": {}, "spec": {"containers": [{"name": "api"}]}}
        self.objects[path] = {
            "metadata": {"name": "api", "namespace": NAMESPACE, **metadata},
            "spec": {"selector": {}, "template": template},
        }

    async def answer(self, request: web.Request) -> web.Response:
        found = self.objects.get(request.path)
        if found is None:
            if self.absent == _NOT_FOUND and "/apps/" not in request.path:
                # As the API server does for a group of resources that is not installed.
                return web.Response(text="404 page not found\n", status=_NOT_FOUND)
            status = {"kind": "Status", "code": self.absent, "message": "refused by the test"}
            return _json(status, self.absent)
        return _json(found)


def _json(content: dict[str, Any], status: int = 200) -> web.Response:
    headers = {"Content-Type": "application/json"}
    return web.Response(body=json.dumps(content), status=status, headers=headers)


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    found = ApiServer()
    app = web.Application()
    app.router.add_get("/{path:.*}", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


async def owner(server: ApiServer) -> str | None:
    config = KubeConfig.from_dict(
        {
            "clusters": [{"name": "x", "cluster": {"server": server.url}}],
            "users": [{"name": "x", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "current-context": "x",
        }
    )
    client = AsyncClient(config.get(), namespace=NAMESPACE)
    try:
        async with asyncio.timeout(20):
            return await KubernetesApi(client).find_owner("api")
    finally:
        await client.aclose()


@pytest.mark.parametrize("status", [404, 403])
async def test_a_release_of_helms_alone_has_no_owner(server: ApiServer, status: int) -> None:
    server.absent = status
    server.add(DEPLOYMENT, labels={"app.kubernetes.io/managed-by": "Helm"})

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
    server.add(DEPLOYMENT)
    server.add(path, **metadata)

    found = await owner(server)

    assert found is not None
    assert found.startswith(f"{name}: change")


async def test_a_service_that_is_not_installed_has_no_owner(server: ApiServer) -> None:
    assert await owner(server) is None


async def test_an_api_server_that_fails_is_reported(server: ApiServer) -> None:
    server.absent = 401

    with pytest.raises(ClusterError):
        await owner(server)
