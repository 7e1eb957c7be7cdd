"""Calls between services: who may call, what is forwarded, and what an answer's error becomes."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from multidict import CIMultiDict
from pydantic import SecretStr
from tests.asgi_server import open_asgi_server
from tests.unit.http.demo import demo

from twelvefold.context import PING_PATH, RequestContext, request_context
from twelvefold.errors import (
    BadRequest,
    Conflict,
    DependencyUnavailable,
    Forbidden,
    NotFound,
    OAuthError,
    PreconditionFailed,
    TooManyRequests,
    Unauthenticated,
    UnprocessableContent,
)
from twelvefold.http.internal import (
    MAX_CONNECTIONS,
    MAX_RESPONSE_BYTES,
    InternalClient,
    InternalResponse,
    raise_for_problem,
)


@pytest.mark.parametrize(
    ("caller", "secret", "status"),
    [
        ("api", "new-secret", 200),
        ("api", "old-secret", 200),
        ("api", "worker-secret", 401),
        ("api", "", 401),
        ("", "new-secret", 401),
        ("worker", "worker-secret", 403),
        ("worker", "new-secret", 401),
        ("stranger", "new-secret", 401),
    ],
)
async def test_a_caller_is_admitted_by_name_and_any_of_its_secrets(caller, secret, status):
    headers = {"X-Caller": caller, "X-Caller-Secret": secret}
    async with demo(public=False) as it:
        response = await it.client.get("/api/v1/private", headers=headers)
        without = await it.client.get("/api/v1/private")
    assert response.status_code == status
    assert without.status_code == 401


def callee() -> tuple[FastAPI, list[Request]]:
    app = FastAPI()
    seen: list[Request] = []

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def any_path(request: Request) -> Any:
        seen.append(request)
        if request.url.path == "/slow":
            await asyncio.sleep(30)
        if request.url.path == "/elsewhere":
            headers = {"Location": "/x", "Set-Cookie": "session=of-one-caller"}
            return Response(status_code=307, headers=headers)
        if request.url.path in ("/long", "/endless"):
            size = int(request.query_params["bytes"])
            if request.url.path == "/long":
                return Response(bytes(size))
            parts = (bytes(65_536) for _ in range(size // 65_536))
            return StreamingResponse(parts)
        return {"ok": "yes"}

    return app, seen


@asynccontextmanager
async def client_of(app: FastAPI, *, limit: float = 5.0) -> AsyncIterator[InternalClient]:
    async with open_asgi_server(app) as url:
        client = InternalClient(
            "users", url, caller="api", secret=SecretStr("s3cret"), timeout=limit
        )
        try:
            yield client
        finally:
            await client.aclose()


async def test_the_context_of_the_current_request_is_forwarded():
    app, seen = callee()
    context = RequestContext(
        "request-1", deadline=time.monotonic() + 2, routing={"canary": "always", "experiment": "b"}
    )
    async with client_of(app) as client:
        with request_context(context):
            await client.request(
                "POST",
                "/x",
                json={},
                bearer="a.b.c",
                idempotency_key='"key"',
                headers={"If-Match": "*"},
            )
    headers = seen[0].headers
    assert headers["x-caller"] == "api"
    assert headers["x-caller-secret"] == "s3cret"
    assert headers["x-request-id"] == "request-1"
    assert headers["authorization"] == "Bearer a.b.c"
    assert headers["idempotency-key"] == '"key"'
    assert headers["if-match"] == "*"
    assert headers["canary"] == "always"
    assert headers["experiment"] == "b"
    assert 1_000 < int(headers["x-request-deadline"]) < 2_000


async def test_outside_a_request_a_call_has_its_own_timeout_only():
    app, seen = callee()
    async with client_of(app, limit=3.0) as client:
        await client.request("GET", "/x")
    assert seen[0].headers["x-request-deadline"] == "3000"
    assert "x-request-id" not in seen[0].headers


async def test_neither_a_redirect_nor_a_cookie_is_followed():
    app, seen = callee()
    async with client_of(app) as client:
        assert (await client.request("GET", "/elsewhere")).status == 307
        await client.request("GET", "/x")
    assert [request.url.path for request in seen] == ["/elsewhere", "/x"]
    assert "cookie" not in seen[1].headers


async def test_body_and_query_are_sent_as_utf_8():
    app, seen = callee()
    async with client_of(app) as client:
        await client.request("POST", "/x", json={"name": "Zoë"}, params={"after": "a b&c"})
    assert seen[0].url.query == "after=a+b%26c"
    assert seen[0].headers["content-type"] == "application/json"
    assert seen[0].headers["content-length"] == str(len('{"name":"Zoë"}'.encode()))


async def test_a_cancelled_call_leaves_no_response_to_the_next():
    app, _ = callee()
    async with client_of(app) as client:
        for _ in range(20):
            call = asyncio.create_task(client.request("GET", "/slow"))
            await asyncio.sleep(0.005)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert (await client.request("GET", "/x")).json() == {"ok": "yes"}


async def test_calls_beyond_the_connections_wait_for_their_turn():
    app = FastAPI()
    gate, active, most = asyncio.Event(), 0, 0

    @app.get("/held")
    async def held() -> None:
        nonlocal active, most
        active += 1
        most = max(most, active)
        await gate.wait()
        active -= 1

    async with client_of(app, limit=60) as client:
        calls = [asyncio.create_task(client.request("GET", "/held")) for _ in range(250)]
        async with asyncio.timeout(60):
            while active < MAX_CONNECTIONS:
                await asyncio.sleep(0)
        gate.set()
        assert {(await call).status for call in calls} == {200}
    assert most == MAX_CONNECTIONS


async def test_past_the_deadline_no_call_is_made():
    app, seen = callee()
    context = RequestContext("r", deadline=time.monotonic() + 0.01)
    async with client_of(app) as client:
        with request_context(context), pytest.raises(DependencyUnavailable):
            await client.request("GET", "/x")
    assert not seen


async def test_a_slow_callee_is_unavailable_after_the_timeout():
    app, _ = callee()
    started = time.monotonic()
    async with client_of(app, limit=0.1) as client:
        with pytest.raises(DependencyUnavailable) as slow:
            await client.request("GET", "/slow")
    assert slow.value.name == "users"
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("path", ["/long", "/endless"], ids=["by length", "in chunks"])
async def test_a_response_above_the_bound_is_unavailable_and_one_at_it_is_whole(path):
    app, _ = callee()
    async with client_of(app, limit=20) as client:
        fits = await client.request("GET", path, params={"bytes": MAX_RESPONSE_BYTES})
        with pytest.raises(DependencyUnavailable):
            await client.request("GET", path, params={"bytes": MAX_RESPONSE_BYTES + 65_536})
    assert len(fits.content) == MAX_RESPONSE_BYTES


async def test_an_unreachable_callee_is_unavailable():
    client = InternalClient("users", "http://127.0.0.1:9", caller="api", secret="s")
    with pytest.raises(DependencyUnavailable):
        await client.request("GET", "/x")
    with pytest.raises(DependencyUnavailable):
        await client.ping()
    await client.aclose()


def answered(status: int, code: str = "", headers: dict[str, str] | None = None, **more: object):
    body = {"type": f"/problems/{code}", "detail": "because", **more}
    return response(status, json.dumps(body), headers)


def response(status: int, text: str, headers: dict[str, str] | None = None) -> InternalResponse:
    return InternalResponse(status, CIMultiDict(headers or {}), text.encode())


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (answered(400, "bad-request"), BadRequest),
        (answered(401, "unauthenticated"), Unauthenticated),
        (answered(403, "forbidden"), Forbidden),
        (answered(404, "not-found"), NotFound),
        (answered(409, "conflict"), Conflict),
        (answered(412, "precondition-failed"), PreconditionFailed),
        (answered(422, "invalid"), UnprocessableContent),
        (answered(422, "something-new"), UnprocessableContent),
        (answered(410, "gone"), NotFound),
        (answered(418, "teapot"), BadRequest),
        (answered(429, "too-many-requests"), TooManyRequests),
        (answered(500, "internal"), DependencyUnavailable),
        (answered(503, "overloaded"), DependencyUnavailable),
        (answered(401, "caller-unknown"), DependencyUnavailable),
        (answered(403, "caller-refused"), DependencyUnavailable),
        (response(404, "no json"), NotFound),
        (response(502, "<html>"), DependencyUnavailable),
        (response(404, '["a", "list"]'), NotFound),
        (response(400, '{"error": "invalid_grant"}'), OAuthError),
    ],
)
def test_a_problem_becomes_the_error_that_it_names(given, error):
    with pytest.raises(error) as raised:
        raise_for_problem(given)
    assert type(raised.value) is error


def test_faults_and_headers_of_a_problem_are_kept():
    faults = [{"pointer": "/body/email", "detail": "is no address"}]
    with pytest.raises(UnprocessableContent) as invalid:
        raise_for_problem(answered(422, "invalid", errors=faults))
    assert [(e.pointer, e.detail) for e in invalid.value.errors] == [
        ("/body/email", "is no address")
    ]
    assert invalid.value.detail == "because"
    with pytest.raises(Unauthenticated) as expired:
        raise_for_problem(
            answered(401, "unauthenticated", {"WWW-Authenticate": 'Bearer error="x"'})
        )
    assert expired.value.headers == {"WWW-Authenticate": 'Bearer error="x"'}
    with pytest.raises(TooManyRequests) as busy:
        raise_for_problem(answered(429, "too-many-requests", {"Retry-After": "7"}))
    assert busy.value.headers == {"Retry-After": "7"}


async def test_a_ping_is_answered_without_a_log_line():
    """Every process asks every other one, again and again; only on the internal port."""
    async with demo(public=False) as it:
        assert (await it.client.get(PING_PATH)).status_code == 204
        assert not [line for line in it.lines if line["event"] == "request"]
    async with demo() as it:
        assert (await it.client.get(PING_PATH)).status_code == 404
