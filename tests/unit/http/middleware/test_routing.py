"""The index finds the same route as matching all routes in turn."""

import random

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from tests.unit.http.demo import demo

from twelvefold.http.middleware.routing import RouteIndex


def named(name: str):
    async def endpoint() -> dict[str, str]:
        return {"route": name}

    return endpoint


PATHS = [
    "/a/me",
    "/a/{id}",
    "/a/{id}/b",
    "/a/{path:path}",
    "/a/me/b",
    "/c",
    "/c/{x}/{y}",
    "/c/d/{y}",
    "/{anything}",
]


async def test_for_any_order_of_routes_it_finds_the_route_of_fastapi():
    chance = random.Random(7)  # noqa: S311 (orders, not secrets)
    requests = [
        "/a/me",
        "/a/1",
        "/a/1/b",
        "/a/me/b",
        "/a/1/2/3",
        "/c",
        "/c/1/2",
        "/c/d/2",
        "/zz",
        "/",
    ]
    for _ in range(20):
        order = chance.sample(PATHS, len(PATHS))
        app, index = FastAPI(), FastAPI()
        for path in order:
            app.get(path)(named(path))
            index.get(path)(named(path))
        index.router.app = RouteIndex(index.router.routes, index.router.app)  # type: ignore[method-assign]
        index.router.middleware_stack = index.router.app
        for path in requests:
            expected, found = [
                await httpx.AsyncClient(
                    transport=httpx.ASGITransport(one), base_url="http://t"
                ).get(path)
                for one in (app, index)
            ]
            assert (found.status_code, found.json()) == (expected.status_code, expected.json())


async def test_head_is_get_without_a_body():
    async with demo() as it:
        response = await it.client.head("/api/v1/things/1")
        assert response.status_code == 200
        assert it.line("request")["route"] == "/api/v1/things/{thing_id}"
        assert (await it.client.head("/api/v1/accounts")).status_code == 405


async def test_a_path_that_spans_slashes_is_found_at_any_depth():
    async with demo() as it:
        for name in ("x", "x/y", "x/y/z"):
            assert (await it.client.get(f"/api/v1/files/{name}")).json() == {"name": name}


@pytest.mark.parametrize("depth", [1, 2])
async def test_routes_of_a_nested_router_are_found(depth):
    inner = APIRouter(prefix="/inner")
    inner.get("/{id}")(named("inner"))
    outer = APIRouter(prefix="/outer")
    outer.include_router(inner)
    app = FastAPI()
    app.router.routes.extend(outer.routes)
    index = RouteIndex(app.router.routes, app.router)
    app.router.middleware_stack = index
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        for _ in range(depth):
            assert (await client.get("/outer/inner/1")).json() == {"route": "inner"}
