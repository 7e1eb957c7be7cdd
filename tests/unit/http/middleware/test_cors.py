"""Pages of other origins: what they may send, and that they can read every answer to it."""

import asyncio

import pytest
from tests.unit.http.demo import SETTINGS, demo

from twelvefold.context import PROPAGATION_HEADERS, ROUTING_HEADERS
from twelvefold.http.middleware.cors import METHODS, REQUEST_HEADERS, RESPONSE_HEADERS
from twelvefold.observability import metrics
from twelvefold.service.health import Health

PAGE = "https://app.example.com"
ALLOWED = SETTINGS.model_copy(update={"http_cors_origins": [PAGE, "http://localhost:5173"]})


def question(headers: str = "", method: str = "PATCH", origin: str = PAGE) -> dict[str, str]:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    return {**asked, "Access-Control-Request-Headers": headers} if headers else asked


def names(field: str) -> set[str]:
    return {name.strip().lower() for name in field.split(",")}


def readable(response) -> bool:
    """Whether a page of PAGE can read the answer and what it needs of it."""
    return (
        response.headers["access-control-allow-origin"] == PAGE
        and {"retry-after", "ratelimit", "etag", "link", "location", "x-request-id"}
        <= names(response.headers["access-control-expose-headers"])
        and "origin" in names(response.headers["vary"])
        and "access-control-allow-credentials" not in response.headers
    )


@pytest.mark.parametrize(
    "header",
    [
        *("authorization", "content-type", "idempotency-key", "if-match", "if-none-match"),
        *("last-event-id", "x-request-id", *ROUTING_HEADERS, *PROPAGATION_HEADERS),
    ],
)
async def test_a_preflight_allows_each_header_that_the_api_reads(header):
    async with demo(ALLOWED) as it:
        for spelling in (header, header.title(), f"accept, {header}"):
            response = await it.client.options("/api/v1/things/1", headers=question(spelling))
            assert response.status_code == 204
            assert response.content == b""
            assert readable(response)
            assert header in names(response.headers["access-control-allow-headers"])
            assert "PATCH" in response.headers["access-control-allow-methods"]
            asked = {"access-control-request-method", "access-control-request-headers"}
            assert {"origin", *asked} <= names(response.headers["vary"])


@pytest.mark.parametrize("method", METHODS)
async def test_a_preflight_allows_each_method(method):
    async with demo(ALLOWED) as it:
        response = await it.client.options("/nowhere", headers=question(method=method))
    assert response.status_code == 204


@pytest.mark.parametrize(
    "asked",
    [
        question("x-foreign"),
        question(method="TRACE"),
        question(method="get"),
        question(origin="https://app.example.com.evil.example"),
        question(origin="null"),
        question(origin=f"{PAGE}/"),
    ],
)
async def test_a_refused_preflight_is_a_problem(asked):
    async with demo(ALLOWED) as it:
        response = await it.client.options("/api/v1/things/1", headers=asked)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"]
    assert ("access-control-allow-origin" in response.headers) is (asked["Origin"] == PAGE)
    assert "origin" in names(response.headers["vary"])


async def test_a_page_can_read_each_response():
    health, origin = Health(), {"Origin": PAGE}
    async with demo(ALLOWED, health=health) as it:
        starting = await it.client.get("/ready", headers={"Origin": PAGE})
        health.mark_ready()
        responses = {
            200: await it.client.get("/api/v1/context", headers=origin),
            400: await it.client.get("/nowhere%00", headers=origin),
            401: await it.client.get("/api/v1/me", headers=origin),
            404: await it.client.get("/nowhere", headers=origin),
            405: await it.client.delete("/api/v1/search", headers=origin),
            413: await it.client.post("/api/v1/anything", headers=origin, json={"a": "x" * 2000}),
            422: await it.client.get("/api/v1/search?limit=no", headers=origin),
            500: await it.client.get("/api/v1/boom", headers=origin),
            503: await it.client.get("/api/v1/away", headers=origin),
        }
        health.mark_draining()
        draining = await it.client.get("/ready", headers={"Origin": PAGE})
    tight = ALLOWED.model_copy(update={"http_request_timeout": 0.01})
    async with demo(tight) as it:
        late = await it.client.get("/api/v1/slow?seconds=60", headers={"Origin": PAGE})
    assert late.json()["detail"] == "The request took too long. Try again."
    for status, response in responses.items():
        assert response.status_code == status
        assert readable(response), status
    assert all(readable(response) for response in (starting, late, draining))


async def test_a_page_can_read_an_overload():
    narrow = ALLOWED.model_copy(update={"http_max_concurrency": 1, "http_queue": 0})
    async with demo(narrow) as it:
        slow = asyncio.create_task(it.client.get("/api/v1/slow", params={"seconds": 5}))
        while metrics.counts.active < 1:
            await asyncio.sleep(0)
        refused = await it.client.get("/api/v1/context", headers={"Origin": PAGE})
        asked = await it.client.options("/api/v1/context", headers=question())
        slow.cancel()
    assert refused.status_code == 503
    assert readable(refused)
    assert asked.status_code == 204, "a preflight costs nothing, and without it no answer is read"


async def test_a_page_of_another_origin_can_read_no_response():
    async with demo(ALLOWED) as it:
        for headers in ({"Origin": "https://evil.example"}, {}):
            response = await it.client.get("/api/v1/context", headers=headers)
            assert response.status_code == 200
            assert "access-control-allow-origin" not in response.headers
            assert names(response.headers["vary"]) == {"origin"}, "a cache must tell them apart"


async def test_any_origin_can_read_where_all_are_allowed():
    everybody = SETTINGS.model_copy(update={"http_cors_origins": ["*"]})
    async with demo(everybody) as it:
        response = await it.client.get("/api/v1/context", headers={"Origin": "https://a.example"})
    assert response.headers["access-control-allow-origin"] == "*"


async def test_an_options_request_without_preflight_headers_reaches_the_router():
    async with demo(ALLOWED) as it:
        response = await it.client.options("/api/v1/context", headers={"Origin": PAGE})
    assert response.status_code == 405
    assert readable(response)


def test_no_header_is_listed_twice():
    for listed in (REQUEST_HEADERS, RESPONSE_HEADERS):
        assert len({name.lower() for name in listed}) == len(listed)
