"""Serves a process: its sockets, its signals and the order in which it ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import structlog
import uvicorn
from starlette.types import ASGIApp

from twelvefold.process import ServiceProcess
from twelvefold.settings import HttpSettings

from .management import create_management_app

BACKLOG = 2048
LAST_ACCEPTED = 0.1  # seconds that a connection accepted last has for sending its request
KEEP_ALIVE = 75  # seconds; above the 60 s that load balancers commonly keep an idle connection
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Listener:
    """An app and its socket: an inherited descriptor, else a port (0: a free one)."""

    name: str
    app: ASGIApp
    port: int
    fd: int | None = None


class _Server(uvicorn.Server):
    """A uvicorn server that leaves the signals to their one owner."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(listener: Listener, host: str) -> socket.socket:
    """The listening socket. Raises OSError where the address is taken."""
    if listener.fd is not None:
        return socket.socket(fileno=listener.fd)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, listener.port))
    bound.listen(BACKLOG)
    return bound


def listeners_of(process: ServiceProcess) -> list[Listener]:
    """What the process listens on; the management port last, since it stops last."""
    settings = process.settings
    found = []
    if process.public is not None:
        found.append(Listener("public", process.public, settings.port, settings.http_fd))
    if process.internal is not None:
        found.append(
            Listener("internal", process.internal, settings.internal_port, settings.internal_fd)
        )
    management = create_management_app(name=process.name, settings=settings, health=process.health)
    found.append(
        Listener("management", management, settings.management_port, settings.management_fd)
    )
    return found


def _server(listener: Listener, settings: HttpSettings) -> _Server:
    return _Server(
        uvicorn.Config(
            listener.app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.http_trusted_proxies) and listener.name == "public",
            forwarded_allow_ips=settings.http_trusted_proxies,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=max(1, round(settings.http_grace)),
        )
    )


async def serve(process: ServiceProcess) -> None:
    """Serves until a signal, then ends in order (design: readiness, drain, listeners, backing)."""
    settings = process.settings
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    listeners = listeners_of(process)
    sockets = [bind(listener, settings.http_host) for listener in listeners]
    servers = [_server(listener, settings) for listener in listeners]
    tasks: list[asyncio.Task[None]] = []
    try:
        tasks = [
            asyncio.create_task(server.serve(sockets=[bound]), name=f"serve-{listener.name}")
            for server, bound, listener in zip(servers, sockets, listeners, strict=True)
        ]
        for bound, listener in zip(sockets, listeners, strict=True):
            _log.info(
                "listening",
                name=listener.name,
                host=bound.getsockname()[0],
                port=bound.getsockname()[1],
            )
        async with process.open():
            await stop.wait()
            process.health.mark_draining()
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
            for drain in process.drain:
                await drain()
            await asyncio.sleep(settings.http_lame_duck)
            await _stopped(servers[:-1], tasks[:-1])
        await _stopped(servers[-1:], tasks[-1:])
    finally:
        for task in tasks:
            task.cancel()
        _log.info("stopped")


async def _stopped(servers: Sequence[_Server], tasks: Sequence[asyncio.Task[None]]) -> None:
    # Where a socket is shared, the next process takes what comes from here on.
    for server in servers:
        # Set once it listens: a signal may come before.
        for listening in getattr(server, "servers", ()):
            listening.close()
    # uvicorn closes connections without a request at once: not those that came a moment ago.
    await asyncio.sleep(LAST_ACCEPTED)
    for server in servers:
        server.should_exit = True
    if tasks:
        await asyncio.wait(tasks)


def run(process: ServiceProcess) -> int:
    """Serves `process` on a loop of its own until a signal; returns the exit code."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(process))
    return 0
