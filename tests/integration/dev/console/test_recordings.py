"""Requests that are recorded whole by choice, and sent again as the demo account."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from tests.asgi_server import open_asgi_server

from twelvefold_dev.checkout import RECORDER_SOCKET, write_private
from twelvefold_dev.recording.recorder import MAX_BODY_BYTES, Recorder

DEMO = {"email": "demo@example.com", "password": "a password of the demo", "registered": True}
BODY = b'{"name": "\xc3\x84da"}'


class Edge:
    """An app with a recorder, as the public service of a stack; `seen` has what arrived."""

    def __init__(self) -> None:
        self.console: Any = None
        self.client: Any = None
        self.recorder: Any = None
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.app: Any = Starlette(
            routes=[
                Route("/api/v1/auth/token", self.token, methods=["POST"]),
                Route("/{path:path}", self.any, methods=["GET", "POST", "PUT"]),
            ]
        )

    async def token(self, request: Request) -> JSONResponse:
        form = (await request.body()).decode()
        assert "username=demo%40example.com" in form
        return JSONResponse({"access_token": "of-the-demo-account", "expires_in": 600})

    async def any(self, request: Request) -> PlainTextResponse:
        body = await request.body()
        self.seen.append((f"{request.url.path}?{request.url.query}", dict(request.headers), body))
        number = f"request-{len(self.seen)}"
        return PlainTextResponse("done", 201, headers={"X-Request-ID": number})


@pytest.fixture
async def edge(start_console) -> AsyncIterator[Edge]:
    """An edge whose console records; the console knows the demo account."""
    edge = Edge()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await edge.recorder(scope, receive, send)

    async with open_asgi_server(app) as url:
        edge.console = await start_console(edge=url)
        root = edge.console.checkout.root
        write_private(edge.console.checkout.demo, DEMO)
        edge.recorder = Recorder(edge.app, "api", str(root / RECORDER_SOCKET))
        async with httpx.AsyncClient(base_url=url) as client:
            edge.client = client
            yield edge


async def start(edge: Edge) -> None:
    response = await edge.console.write("POST", "recordings")
    assert response.json()["until"] > 0


async def recorded(edge: Edge, request_id: str) -> dict[str, Any]:
    """Return what the console has of a request, once it has arrived."""
    async with asyncio.timeout(10):
        while not (found := await edge.console.get(f"recordings/{request_id}"))["recorded"]:
            await asyncio.sleep(0.01)
    return dict(found)


async def test_nothing_is_recorded_unless_the_user_wants_it(edge) -> None:
    await edge.client.post("/x", content=BODY)
    assert not (edge.console.checkout.root / RECORDER_SOCKET).exists()
    await start(edge)
    await edge.client.post("/x", content=BODY)
    await recorded(edge, "request-2")
    await edge.console.write("POST", "recordings/stop")
    await edge.client.post("/x", content=BODY)
    assert await edge.console.get("recordings") == {"until": None, "count": 1}
    assert not (await edge.console.get("recordings/request-1"))["recorded"]
    await edge.console.write("DELETE", "recordings")
    assert (await edge.console.get("recordings"))["count"] == 0


async def test_only_this_user_can_deliver_a_recording(edge) -> None:
    await start(edge)
    mode = (edge.console.checkout.root / RECORDER_SOCKET).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


async def test_a_recorded_request_is_sent_again_as_the_demo_account(edge) -> None:
    await start(edge)
    headers = {
        "Authorization": "Bearer of-the-caller", "Idempotency-Key": '"the-first"',
        "Content-Type": "application/json", "X-Request-ID": "of-the-caller", "Cookie": "a=b",
    }  # fmt: skip
    await edge.client.post("/api/v1/things?a=1&b=%C3%A4", content=BODY, headers=headers)
    assert await recorded(edge, "request-1") == {"recorded": True, "whole": True}

    response = await edge.console.write("POST", "recordings/request-1/send")
    assert response.json()["status"] == 201
    assert response.json()["body"] == "done"
    (first, before, _), (again, after, body) = edge.seen
    assert (again, body) == (first, BODY)
    assert after["authorization"] == "Bearer of-the-demo-account"
    assert after["idempotency-key"] not in ("", before["idempotency-key"])
    assert after["content-type"] == "application/json"
    assert "cookie" not in after
    assert "x-request-id" not in after

    await edge.console.write("POST", "recordings/request-1/send")
    assert edge.seen[2][1]["idempotency-key"] != after["idempotency-key"]


async def test_a_request_without_a_token_is_sent_again_without_one(edge) -> None:
    await start(edge)
    await edge.client.get("/health")
    await recorded(edge, "request-1")
    await edge.console.write("POST", "recordings/request-1/send")
    assert "authorization" not in edge.seen[1][1]
    assert "idempotency-key" not in edge.seen[1][1]


async def test_a_request_that_was_not_recorded_whole_is_not_sent_again(edge) -> None:
    await start(edge)
    await edge.client.put("/x", content=b"a" * (MAX_BODY_BYTES + 1))
    assert await recorded(edge, "request-1") == {"recorded": True, "whole": False}
    response = await edge.console.write("POST", "recordings/request-1/send")
    assert response.status_code == 409
    assert len(edge.seen) == 1
    response = await edge.console.write("POST", "recordings/none/send")
    assert response.status_code == 404


async def test_a_request_is_copied_whole_but_without_its_caller(edge) -> None:
    await start(edge)
    headers = {"Authorization": "Bearer of-the-caller", "If-Match": '"3"'}
    await edge.client.put("/x?y=z", content=BODY, headers=headers)
    await recorded(edge, "request-1")
    content = (await edge.console.write("POST", "recordings/request-1/content")).json()
    assert content["target"] == "/x?y=z"
    assert base64.b64decode(content["body"]) == BODY
    assert ["if-match", '"3"'] in content["headers"]
    assert content["authorized"]
    assert "of-the-caller" not in json.dumps(content)


async def test_the_oldest_recordings_are_dropped_first(edge) -> None:
    await start(edge)
    for _ in range(205):
        await edge.client.get("/x")
    await recorded(edge, "request-205")
    assert (await edge.console.get("recordings"))["count"] == 200
    assert not (await edge.console.get("recordings/request-5"))["recorded"]


async def test_invalid_recordings_are_dropped(edge) -> None:
    await start(edge)
    for line in (b"{}\n", b"[]\n", b"no json\n", b'{"request_id": 1}\n', b"a" * 600_000 + b"\n"):
        reader, writer = await asyncio.open_unix_connection(
            edge.console.checkout.root / RECORDER_SOCKET
        )
        writer.write(line)
        try:
            async with asyncio.timeout(10):
                assert await reader.read() == b""
        except ConnectionResetError:
            pass
        writer.close()
    assert (await edge.console.get("recordings"))["count"] == 0
