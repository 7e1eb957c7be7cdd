"""A planned route answers every request exactly as FastAPI does, and calls what FastAPI calls."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Cookie,
    Depends,
    FastAPI,
    Form,
    Header,
    Path,
    Query,
    Request,
)
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from pydantic import BaseModel, ConfigDict, Field

from twelvefold.errors import Unauthenticated
from twelvefold.http.app import create_service_app
from twelvefold.http.middleware import routing
from twelvefold.http.route_plan import create_plan
from twelvefold.service.health import Health
from twelvefold.settings import ServiceSettings

router = APIRouter(prefix="/demo")
CALLS: list[str] = []


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=5)]
    count: int = 1


async def shared(request: Request) -> str:
    CALLS.append("shared")
    return request.url.path


async def token(
    path: Annotated[str, Depends(shared)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
    x_tenant: Annotated[str, Header(max_length=3)] = "",
) -> str:
    CALLS.append("token")
    if bearer is not None and bearer.credentials == "bad":
        raise Unauthenticated(token_error="invalid_token")
    return f"{path} {bearer and bearer.credentials} {x_tenant}"


async def checked(user_id: Annotated[UUID, Path()], caller: Annotated[str, Depends(token)]) -> str:
    CALLS.append("checked")
    return f"{caller} for {user_id}"


class Policy:
    async def __call__(self, request: Request) -> str:
        CALLS.append("policy")
        return request.method


@router.get("/users/{user_id}", dependencies=[Depends(Policy())])
async def read(
    user_id: UUID,
    caller: Annotated[str, Depends(checked)],
    path: Annotated[str, Depends(shared)],
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[UUID | None, Query()] = None,
    renamed: Annotated[str | None, Query(alias="as", max_length=4)] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> JSONResponse:
    CALLS.append("read")
    return JSONResponse([str(user_id), caller, path, limit, str(after), renamed, if_none_match])


@router.post("/users/{user_id}")
async def write(
    user_id: UUID, body: Body, caller: Annotated[str, Depends(checked)], number: int = 3
) -> Response:
    CALLS.append("write")
    return JSONResponse([str(user_id), body.model_dump(), caller, number])


@router.post("/anything")
async def anything(body: dict[str, Any]) -> Response:
    return JSONResponse(body)


class Wrapping(APIRoute):
    """A class that serves its routes in a way of its own."""


OTHERS = APIRouter()
WRAPPED = APIRouter(route_class=Wrapping)


@WRAPPED.get("/wrapped")
async def wrapped() -> Response:
    return Response()


@OTHERS.get("/model")
async def model() -> Body:
    return Body(name="x")


@OTHERS.get("/list")
async def repeated(tag: Annotated[list[str], Query()]) -> Response:
    return Response()


@OTHERS.get("/cookie")
async def cookie(session: Annotated[str, Cookie()]) -> Response:
    return Response()


@OTHERS.get("/query-model")
async def query_model(query: Annotated[Body, Query()]) -> Response:
    return Response()


@OTHERS.post("/form")
async def form(name: Annotated[str, Form()]) -> Response:
    return Response()


@OTHERS.get("/background")
async def background(tasks: BackgroundTasks) -> Response:
    return Response()


@OTHERS.get("/response")
async def response(response: Response) -> Response:
    return Response()


async def opened() -> AsyncIterator[int]:
    yield 1


@OTHERS.get("/generator")
async def generator(one: Annotated[int, Depends(opened)]) -> Response:
    return Response()


async def scoped(scopes: SecurityScopes) -> int:
    return len(scopes.scopes)


@OTHERS.get("/scopes")
async def scopes(count: Annotated[int, Depends(scoped)]) -> Response:
    return Response()


@OTHERS.get("/default")
async def default(when: Annotated[str, Query(default_factory=lambda: "now")]) -> Response:
    return Response()


def create_app() -> FastAPI:
    return create_service_app(
        title="demo",
        settings=ServiceSettings(environment="testing"),
        routers=[router],
        state=None,
        public=False,
        health=Health(),
    )


GOOD = "0198c5f0-7b1c-7a52-9d0e-4a6c2f1b8e11"
READS = [
    httpx.Request(method, f"http://demo/demo/users/{user}{query}", headers=list(headers.items()))
    for method, user, query, headers in itertools.product(
        ("GET", "HEAD"),
        (GOOD, GOOD.upper(), "me", "%20"),
        (
            "",
            "?limit=100",
            "?limit=0&as=long-text",
            f"?after={GOOD}&as=x%C3%A9",
            "?after=&limit=",
            "?unknown=1",
        ),
        (
            {},
            {"Authorization": "Bearer good", "X-Tenant": "abc", "If-None-Match": '"v1"'},
            {"Authorization": "Bearer bad"},
            {"Authorization": "Basic x", "X-Tenant": "too long"},
            {"If-None-Match": 'W/"v1", *'},
        ),
    )
]
JSON = {"Content-Type": "application/json"}
WRITES = [
    httpx.Request("POST", f"http://demo/demo/{path}", headers=headers, content=content)
    for path, headers, content in itertools.product(
        (f"users/{GOOD}", "users/me", f"users/{GOOD}?number=x", "anything"),
        (
            JSON,
            {"Content-Type": "Application/JSON; charset=utf-8"},
            {"Content-Type": "application/problem+json"},
            {"Content-Type": "text/plain"},
            {"Content-Type": "application/json", "Authorization": "Bearer bad"},
            {},
        ),
        (
            b"",
            b"null",
            b"[]",
            b"{}",
            b'{"name": "ada"}',
            b'{"name": "ada", "count": "2", "more": 1}',
            b'{"name": "longer"}',
            b'{"name": ',
            b'{"name": "\xff"}',
            b"\xef\xbb\xbf{}",
        ),
    )
]


async def outcome(app: Any, request: httpx.Request) -> tuple[object, ...]:
    CALLS.clear()
    transport = httpx.ASGITransport(app)
    response = await transport.handle_async_request(request)
    content = await response.aread()
    kept = {
        name: value
        for name, value in response.headers.items()
        if name not in ("x-request-id", "content-length")
    }
    body = content
    if kept.get("content-type") == "application/problem+json" and content:
        document = response.json()
        document.pop("request_id")
        return response.status_code, kept, document, tuple(CALLS)
    return response.status_code, kept, body, tuple(CALLS)


@pytest.mark.parametrize("requests", [READS, WRITES], ids=["reads", "writes"])
async def test_each_request_has_the_same_outcome_as_with_fastapi_alone(requests, monkeypatch):
    app, fastapi_alone = create_app(), create_app()
    planned = [await outcome(app, request) for request in requests]
    monkeypatch.setattr(routing, "create_plan", lambda _: None)
    for request, expected in zip(requests, planned, strict=True):
        assert await outcome(fastapi_alone, request) == expected, (request, request.content)
    assert {200, 401, 422} <= {status for status, *_ in planned}


def test_plain_routes_have_a_plan():
    assert all(create_plan(route) for route in router.routes)


@pytest.mark.parametrize("route", [*OTHERS.routes, *WRAPPED.routes], ids=lambda route: route.name)
def test_fastapi_serves_what_needs_more_than_a_plan(route):
    assert isinstance(route, APIRoute)
    assert create_plan(route) is None
