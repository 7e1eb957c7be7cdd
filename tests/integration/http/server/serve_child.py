"""A small service for test_serve.py: started as a process of its own, with real sockets.

Its settings come from the environment like those of any service. STEPS names a file to which it
writes what happens while it opens and closes, one step a line.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse

from twelvefold.context import current_request
from twelvefold.errors import Unauthenticated
from twelvefold.http.app import create_service_app
from twelvefold.http.callers import require_caller
from twelvefold.http.internal import InternalClient
from twelvefold.http.server import protocol
from twelvefold.http.server.lifecycle import main
from twelvefold.service.definition import Service
from twelvefold.service.health import Health
from twelvefold.service.process import ServiceProcess
from twelvefold.settings import ServiceSettings

protocol.HEAD_SECONDS = 2.0  # ten seconds would be long for a test


class Settings(ServiceSettings):
    steps: Path
    schema_file: Path  # the schema is there once this file is
    drain_seconds: float = 0.0
    opening_hangs: bool = False
    peer_url: str = ""


class Backing:
    def __init__(self, note, peer: InternalClient) -> None:
        self._note = note
        self._peer = peer

    async def ping(self) -> dict[str, str]:
        return {"postgres": "ok"}

    async def aclose(self) -> None:
        await self._peer.aclose()
        self._note("backing closed")


router = APIRouter(prefix="/api/v1")


@router.get("/quick")
async def quick(request: Request) -> dict[str, object]:
    client = request.client.host if request.client else None
    return {"client": client, "scheme": request.url.scheme}


@router.get("/slow")
async def slow(seconds: float) -> dict[str, float]:
    await asyncio.sleep(seconds)
    return {"slept": seconds}


@router.get("/fails")
async def fails() -> None:
    raise RuntimeError("a planted failure")


@router.post("/echo")
async def echo(body: dict[str, object]) -> dict[str, object]:
    return body


@router.post("/refused")
async def refused() -> None:
    raise Unauthenticated


@router.post("/upload")
async def upload(request: Request) -> dict[str, int]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return {"size": size}


@router.get("/hop")
async def hop(request: Request) -> dict[str, str | None]:
    peer: InternalClient = request.app.state.container
    response = await peer.request("GET", "/internal/v1/seen")
    seen: dict[str, str | None] = response.json()
    return seen


internal_router = APIRouter(prefix="/internal/v1", dependencies=[Depends(require_caller("child"))])


@internal_router.get("/seen")
async def seen() -> dict[str, str | None]:
    found = current_request()
    assert found
    return {"request_id": found.request_id, "trace_id": found.trace_id}


def create(settings: Settings) -> ServiceProcess:
    def note(step: str) -> None:
        with settings.steps.open("a") as steps:
            steps.write(step + "\n")

    def part(name: str):
        @asynccontextmanager
        async def running() -> AsyncIterator[None]:
            note(f"{name} opened")
            if settings.opening_hangs:
                await asyncio.sleep(3600)
            try:
                yield
            finally:
                note(f"{name} closed")

        return running

    drained = asyncio.Event()

    @router.get("/streams/events")
    async def events() -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            yield b"event: open\n\n"
            await drained.wait()
            yield b"event: end\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    async def schema_ready() -> bool:
        return settings.schema_file.exists()

    async def drain() -> None:
        await asyncio.sleep(settings.drain_seconds)
        drained.set()
        note("drained")

    peer = InternalClient("peer", settings.peer_url, caller="child", secret="of-child")
    backing = Backing(note, peer)
    health = Health(backing)
    public = create_service_app(
        title="child",
        settings=settings,
        routers=[router],
        state=peer,
        public=True,
        health=health,
        body_limits={"/api/v1/upload": 5_000_000},
    )
    internal = create_service_app(
        title="child, internal",
        settings=settings,
        routers=[internal_router],
        state=None,
        public=False,
        health=health,
        callers={"child": ["of-child"]},
    )
    return ServiceProcess(
        name="child",
        settings=settings,
        health=health,
        backing=backing,
        public=public,
        internal=internal,
        background=[part("first"), part("second")],
        schema_ready=schema_ready,
        drain=[drain],
    )


SERVICE = Service("child", Settings, create)

if __name__ == "__main__":
    raise SystemExit(main(SERVICE))
