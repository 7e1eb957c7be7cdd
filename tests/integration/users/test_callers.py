"""Every route of the internal port checks who calls, also without a mesh."""

import uuid

import pytest
from fastapi.routing import APIRoute

from users.routes import ROUTERS

WORKERS = {
    ("PUT", "/internal/v1/emails/{job_id}"),
    ("PUT", "/internal/v1/users/{user_id}/avatar"),
    ("PUT", "/internal/v1/objects/orphans"),
    ("POST", "/internal/v1/users/{user_id}/erasure"),
}
# The public keys of tokens, for every service.
OPEN = ("GET", "/internal/v1/jwks")
ROUTES = [
    (method, route.path)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods or ())
    if (method, route.path) != OPEN
]


def test_the_table_of_routes_is_whole():
    assert len(ROUTES) == 25
    assert set(ROUTES) >= WORKERS


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_route_admits_its_callers_only(api, method, path):
    url = path.removeprefix("/internal/v1").replace("{user_id}", str(uuid.uuid4()))
    url = url.replace("{job_id}", str(uuid.uuid4())).replace("{session_id}", str(uuid.uuid4()))
    right, wrong = ("worker", "api") if (method, path) in WORKERS else ("api", "worker")
    secret = {"api": "secret-of-api", "worker": "secret-of-worker"}
    for headers in (
        {"X-Caller": "", "X-Caller-Secret": ""},
        {"X-Caller": right, "X-Caller-Secret": "guessed"},
        {"X-Caller": right, "X-Caller-Secret": secret[wrong]},
        {"X-Caller": "stranger", "X-Caller-Secret": secret[right]},
    ):
        response = await api.http.request(method, url, headers=headers, json={})
        assert response.status_code == 401, headers
    headers = {"X-Caller": wrong, "X-Caller-Secret": secret[wrong]}
    assert (await api.http.request(method, url, headers=headers, json={})).status_code == 403
    headers = {"X-Caller": right, "X-Caller-Secret": secret[right]}
    response = await api.http.request(method, url, headers=headers, json={})
    # Past the door: refused, if at all, for the body or for want of a bearer token.
    assert response.status_code not in (403, 500)
    if response.status_code == 401:
        assert "bearer" in response.json()["detail"]


async def test_any_service_gets_the_public_keys_without_a_secret(api):
    response = await api.http.get("/jwks", headers={"X-Caller": "", "X-Caller-Secret": ""})
    assert response.status_code == 200
    assert [key["kty"] for key in response.json()["keys"]] == ["EC"]
    assert "d" not in response.json()["keys"][0]


async def test_while_a_secret_is_rotated_the_older_one_still_counts(api):
    headers = {"X-Caller": "worker", "X-Caller-Secret": "older-secret"}
    body = {"template": "reset", "user_id": str(uuid.uuid4())}
    response = await api.http.put(f"/emails/{uuid.uuid4()}", headers=headers, json=body)
    assert response.status_code == 404
