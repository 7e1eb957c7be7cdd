"""A service app with one route per behaviour, for the tests of the layers around routes."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Depends, FastAPI, Form, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, SecretStr

from twelvefold.context import current_request, set_principal
from twelvefold.errors import (
    DependencyUnavailable,
    NotFound,
    OAuthError,
    Unauthenticated,
    UnprocessableContent,
)
from twelvefold.http.app import create_service_app
from twelvefold.http.callers import require_caller
from twelvefold.http.rest.problems import problem_responses
from twelvefold.observability.logs import configure_logs
from twelvefold.service.health import Health
from twelvefold.settings import ServiceSettings

router = APIRouter(prefix="/api/v1")


class Account(BaseModel):
    name: str = Field(max_length=20)
    password: SecretStr = Field(min_length=12)


@router.get("/things/{thing_id}", responses=problem_responses(404))
async def thing(thing_id: int) -> dict[str, int]:
    if thing_id == 404:
        raise NotFound("There is no such thing.")
    return {"id": thing_id}


@router.put("/things/{thing_id}")
async def put_thing(thing_id: int) -> None: ...


@router.get("/search")
async def search(
    limit: Annotated[int, Query(ge=1, le=100)], x_number: Annotated[int, Header()] = 0
):
    return {"limit": limit, "number": x_number}


@router.get("/tagged")
async def tagged(
    tags: Annotated[list[str] | None, Query()] = None,
    order: Annotated[str | None, Query(alias="sort")] = None,
):
    return {"tags": tags, "order": order}


@router.post("/accounts", status_code=201)
async def register(account: Account) -> dict[str, str]:
    return {"name": account.name}


@router.post("/anything")
async def anything(body: dict[str, Any]) -> dict[str, Any]:
    return body


@router.post("/upload")
async def upload(request: Request) -> dict[str, int]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return {"size": size}


@router.get("/boom")
async def boom() -> None:
    raise RuntimeError("unexpected")


@router.get("/half")
async def half() -> StreamingResponse:
    async def lines() -> AsyncIterator[bytes]:
        yield b"first\n"
        raise RuntimeError("after the answer began")

    return StreamingResponse(lines())


@router.get("/streams/events")
async def events() -> StreamingResponse:
    async def lines() -> AsyncIterator[bytes]:
        yield b"event: open\n\n"
        await asyncio.Event().wait()

    return StreamingResponse(lines(), media_type="text/event-stream")


@router.get("/away")
async def away() -> None:
    raise DependencyUnavailable("postgres", retry_after=3)


@router.get("/invalid")
async def invalid() -> None:
    raise UnprocessableContent("No.")


@router.get("/me")
async def me() -> None:
    raise Unauthenticated(token_error="invalid_token")


@router.post("/token")
async def token(username: Annotated[str, Form()] = "") -> None:
    raise OAuthError("invalid_grant", "The password does not fit.")


@router.get("/slow")
async def slow(seconds: float) -> None:
    await asyncio.sleep(seconds)


@router.get("/held/{number}")
async def held(number: int, request: Request) -> int:
    """Wait for the test's gate; the numbers in the order in which they got here are its list."""
    request.app.state.container.reached.append(number)
    await request.app.state.container.gate.wait()
    return number


@router.get("/stubborn")
async def stubborn() -> None:
    """A library that turns a cancellation into an error of its own."""
    try:
        await asyncio.sleep(5)
    except asyncio.CancelledError:
        raise ConnectionError("interrupted") from None


@router.get("/cached")
async def cached(request: Request):
    kind = request.query_params["kind"]
    headers = {"etag": {"ETag": '"v1"'}, "own": {"Cache-Control": "public, max-age=60"}}[kind]
    return StreamingResponse(iter([b"x"]), headers=headers)


@router.get("/context")
async def context() -> dict[str, Any]:
    set_principal("0190f7a0-0000-7000-8000-00000000000a")
    found = current_request()
    assert found
    return {
        "request_id": found.request_id,
        "remaining": found.remaining(),
        "routing": found.routing,
        "traceparent": found.traceparent,
    }


@router.get("/private", dependencies=[Depends(require_caller("api"))])
async def private() -> str:
    return "welcome"


@router.get("/files/{name:path}")
async def files(name: str) -> dict[str, str]:
    return {"name": name}


SETTINGS = ServiceSettings(environment="testing", http_max_body_bytes=1_000)


class Gate:
    """What requests to `held` wait for, and the requests that do."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.reached: list[int] = []


class Demo:
    """The app, a client of it, and the log lines it wrote."""

    def __init__(self, app: FastAPI, client: httpx.AsyncClient, log: io.BytesIO) -> None:
        self.app = app
        self.client = client
        self._log = log

    @property
    def held(self) -> Gate:
        gate: Gate = self.app.state.container
        return gate

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.getvalue().splitlines()]

    def line(self, event: str) -> dict[str, Any]:
        return next(line for line in reversed(self.lines) if line["event"] == event)


@asynccontextmanager
async def demo(
    settings: ServiceSettings = SETTINGS, *, public: bool = True, health: Health | None = None
) -> AsyncIterator[Demo]:
    log = io.BytesIO()
    configure_logs(settings, service="demo", stream=log)
    if health is None:
        health = Health()
        health.mark_ready()
    app = create_service_app(
        title="demo",
        settings=settings,
        routers=[router],
        state=Gate(),
        public=public,
        health=health,
        body_limits={"/api/v1/upload": 5_000},
        callers={"api": [SecretStr("new-secret"), "old-secret"], "worker": ["worker-secret"]},
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://demo") as client:
        yield Demo(app, client, log)
