"""What the live routes of a release give the canary, by Istio's kind and by the Gateway API's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.fakes.api_server import ApiServer, client_of

from twelvefold_ops.rollout.kubernetes_api import KubernetesApi, canary_weight
from twelvefold_ops.rollout.model import ClusterError

VIRTUAL_SERVICES = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices"
HTTP_ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes"


def add(server: ApiServer, path: str, *specs: dict[str, Any]) -> None:
    items = [
        {"metadata": {"name": f"route-{number}"}, "spec": one} for number, one in enumerate(specs)
    ]
    server.objects[path] = {"metadata": {"resourceVersion": "1"}, "items": items}


def by_service(weight: int, *headers: str) -> dict[str, Any]:
    match: dict[str, Any] = {"path": {"type": "PathPrefix", "value": "/"}}
    if headers:
        match["headers"] = [{"name": name, "value": "true"} for name in headers]
    backends = [{"name": "api-v1", "weight": 100 - weight}, {"name": "api-v2", "weight": weight}]
    return {"matches": [match], "backendRefs": backends}


def by_subset(weight: int, name: str = "rest") -> dict[str, Any]:
    return {
        "name": name,
        "route": [
            {"weight": 100 - weight, "destination": {"host": "api", "subset": "v1"}},
            {"weight": weight, "destination": {"host": "api", "subset": "v2"}},
        ],
    }


async def weight(server: ApiServer) -> tuple[int, int | None]:
    """How many routes there are, and the canary's weight."""
    async with client_of(server) as client, asyncio.timeout(20):
        routes = await KubernetesApi(client).list_routes("api-routing")
        return len(routes), canary_weight(routes)


async def test_an_httproute_says_the_weight_of_requests_without_a_header(server: ApiServer) -> None:
    rules = [by_service(100, "canary"), by_service(50, "experiment"), by_service(25)]
    add(server, HTTP_ROUTES, {"rules": rules})

    assert await weight(server) == (1, 25)


async def test_a_route_to_the_primary_alone_gives_the_canary_no_weight(server: ApiServer) -> None:
    add(server, HTTP_ROUTES, {"rules": [{"backendRefs": [{"name": "api-v1", "weight": 100}]}]})

    assert await weight(server) == (1, None)


async def test_a_redirect_gives_no_weight(server: ApiServer) -> None:
    add(server, HTTP_ROUTES, {"rules": [{"filters": [{"type": "RequestRedirect"}]}]})

    assert await weight(server) == (1, None)


async def test_the_greater_weight_counts_where_helm_applied_one_of_two_kinds(
    server: ApiServer,
) -> None:
    add(server, VIRTUAL_SERVICES, {"http": [by_subset(100, "rest-canary"), by_subset(5)]})
    add(server, HTTP_ROUTES, {"rules": [by_service(25)]})

    assert await weight(server) == (2, 25)


@pytest.mark.parametrize("path", [VIRTUAL_SERVICES, HTTP_ROUTES])
async def test_a_kind_that_is_not_installed_has_no_routes(server: ApiServer, path: str) -> None:
    add(server, path)

    assert await weight(server) == (0, None)


async def test_an_unreadable_virtualservice_is_reported(server: ApiServer) -> None:
    """Its weight would be taken for none, and the canary for untested."""
    server.absent = 403
    add(server, HTTP_ROUTES)

    with pytest.raises(ClusterError):
        await weight(server)


async def test_who_may_not_read_httproutes_has_none(server: ApiServer) -> None:
    server.absent = 403
    add(server, VIRTUAL_SERVICES, {"http": [by_subset(5)]})

    assert await weight(server) == (1, 5)
