"""A small service for test_serve.py: started as a process of its own, with real sockets.

Its settings come from the environment like those of any service. STEPS names a file to which it
writes what happens while it opens and closes, one step a line.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from twelvefold.errors import Unauthenticated
from twelvefold.health import Health
from twelvefold.http.app import create_service_app
from twelvefold.process import ServiceProcess
from twelvefold.service import Service, main
from twelvefold.settings import ServiceSettings


class Settings(ServiceSettings):
    steps: Path
    schema_file: Path  # the schema is there once this file is
    drain_seconds: float = 0.0
    opening_hangs: bool = False


class Backing:
    def __init__(self, note) -> None:
        self._note = note

    async def ping(self) -> dict[str, str]:
        return {"postgres": "ok"}

    async def aclose(self) -> None:
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

    backing = Backing(note)
    health = Health(backing)
    public = create_service_app(
        title="child",
        settings=settings,
        routers=[router],
        state=None,
        public=True,
        health=health,
        body_limits={"/api/v1/upload": 5_000_000},
    )
    return ServiceProcess(
        name="child",
        settings=settings,
        health=health,
        backing=backing,
        public=public,
        background=[part("first"), part("second")],
        schema_ready=schema_ready,
        drain=[drain],
    )


SERVICE = Service("child", Settings, create)

if __name__ == "__main__":
    raise SystemExit(main(SERVICE))
