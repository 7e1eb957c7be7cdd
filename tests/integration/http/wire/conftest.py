"""An app behind a real socket and our server, on both loops that the services may run on."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest_asyncio
import uvloop
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from twelvefold.http.server.server import Server
from twelvefold.settings import HttpSettings

LARGE = bytes(12_000_000)  # more than the kernel keeps of a connection that nobody reads
ENOUGH = 20  # seconds; the machine may be busy


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass
class App:
    """What the app saw, and `released`, for which /held waits."""

    seen: list[str] = field(default_factory=list)
    gone: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.seen.append(path)
        handlers: dict[str, Callable[[Request], Awaitable[ASGIResponse]]] = {
            "/held": self._held,
            "/large": self._large,
            "/events": self._events,
            "/echo": self._echo,
        }
        try:
            response = await handlers.get(path, self._head)(Request(scope, receive))
        except ClientDisconnect:
            self.gone.put_nowait(path)
            return
        await response(scope, receive, send)

    async def _held(self, _: Request) -> "ASGIResponse":
        await self.released.wait()
        return PlainTextResponse("held")

    async def _large(self, _: Request) -> "ASGIResponse":
        return PlainTextResponse(LARGE)

    async def _echo(self, request: Request) -> "ASGIResponse":
        return PlainTextResponse(await request.body())

    async def _head(self, request: Request) -> "ASGIResponse":
        return JSONResponse(
            {
                "path": request.url.path,
                "host": request.headers.get("host"),
                "hosts": request.headers.getlist("host"),
                "x": request.headers.getlist("x"),
            }
        )

    async def _events(self, _: Request) -> "ASGIResponse":
        async def lines() -> AsyncIterator[bytes]:
            try:
                yield b"data: 1\n\n"
                await self.released.wait()
                yield b"data: 2\n\n"
            except asyncio.CancelledError:
                self.gone.put_nowait("/events")
                raise

        return StreamingResponse(lines(), media_type="text/event-stream")


ASGIResponse = PlainTextResponse | JSONResponse | StreamingResponse


@dataclass
class Running:
    """A server, its app, and where it listens."""

    server: Server
    app: App
    address: tuple[str, int]

    async def exchange(self, *pieces: bytes, half_close: bool = False) -> bytes:
        """All that comes for these bytes until the server closes."""
        reader, writer = await self.connect()
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                # Let the server read the piece by itself.
                await asyncio.sleep(0)
            if half_close:
                writer.write_eof()
            async with asyncio.timeout(ENOUGH):
                return await reader.read()
        finally:
            writer.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connection = socket.socket()
        # Else the kernel may keep tens of megabytes for a client that does not read.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, self.address)
        return await asyncio.open_connection(sock=connection)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(ENOUGH):
            while not condition():
                await asyncio.sleep(0.005)


@pytest_asyncio.fixture(loop_scope="module")
async def running() -> AsyncIterator[Running]:
    app = App()
    server = Server(app, HttpSettings(environment="testing"), proxied=False)
    listening = socket.create_server(("127.0.0.1", 0))
    await server.start(listening)
    yield Running(server, app, listening.getsockname())
    app.released.set()
    await server.drain_and_close(grace=1)
