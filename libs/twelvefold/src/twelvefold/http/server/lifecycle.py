"""The lifecycle of a process: its event loop, its sockets and its signals.

`shutdown` owns the order in which it ends at SIGTERM and SIGINT. A second signal ends the process
at once.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

import structlog
from starlette.types import ASGIApp

from twelvefold.extras import explain_missing
from twelvefold.http.management import create_management_app
from twelvefold.observability import metrics
from twelvefold.observability.logs import configure_logs
from twelvefold.observability.telemetry import configure_telemetry, shutdown_telemetry
from twelvefold.service.definition import Service
from twelvefold.service.installed import settings_of
from twelvefold.service.process import ServiceProcess
from twelvefold.settings import SettingsError, load, without_disabled

from .acceptor import BACKLOG
from .server import Server
from .shutdown import close_all, shut_down

EXIT_CANNOT_START = 1
EXIT_SETTINGS = 2
EXIT_SIGNALLED = 128  # added to the number of the signal, as shells do
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_MAX_DESCRIPTORS = 65_536
_LAG_SAMPLES = 10  # per second: enough for a 99th percentile over some seconds
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Listener:
    """An app and its socket: an inherited descriptor, or else a port (0: any free port)."""

    name: str
    app: ASGIApp
    port: int
    fd: int | None = None


def create_listeners(process: ServiceProcess) -> list[Listener]:
    """Return the listeners of the process; the management port is last, since it closes last."""
    settings = process.settings
    listeners = []
    if process.public is not None:
        listeners.append(Listener("public", process.public, settings.port, settings.http_fd))
    if process.internal is not None:
        listeners.append(
            Listener("internal", process.internal, settings.internal_port, settings.internal_fd)
        )
    management = create_management_app(
        name=process.name,
        settings=settings,
        health=process.health,
        queue=process.queue,
        schedule=process.schedule,
    )
    listeners.append(
        Listener("management", management, settings.management_port, settings.management_fd)
    )
    return listeners


def bind(listener: Listener, host: str) -> socket.socket:
    """Return the listening socket. Raises OSError where the address is in use."""
    if listener.fd is not None:
        return socket.socket(fileno=listener.fd)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, listener.port))
        bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


class _Signals:
    """The one owner of SIGTERM and SIGINT while a process runs."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._main = asyncio.current_task()
        self._stop = asyncio.Event()
        self.first: signal.Signals | None = None
        # A signal before the process has opened cancels its opening.
        self.opening = True
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            _log.warning("forced_exit", signal=number.name)
            os._exit(EXIT_SIGNALLED + number)
        _log.info("stopping", signal=number.name)
        self.first = number
        self._stop.set()
        if self.opening and self._main is not None:
            self._main.cancel()

    @property
    def received(self) -> bool:
        return self._stop.is_set()

    async def wait(self) -> None:
        self.opening = False
        await self._stop.wait()

    def release(self) -> None:
        for number in _SIGNALS:
            self._loop.remove_signal_handler(number)


async def serve(process: ServiceProcess) -> None:
    """Serve until a signal arrives, then shut down in order.

    Raises OSError where a socket cannot be bound, and any error of background work at its opening.
    """
    settings = process.settings
    signals = _Signals()
    servers: list[Server] = []
    async with AsyncExitStack() as stack:
        stack.callback(signals.release)
        listeners = create_listeners(process)
        bound = [bind(listener, settings.http_host) for listener in listeners]
        for listener, listening in zip(listeners, bound, strict=True):
            server = Server(listener.app, settings, proxied=listener.name == "public")
            await server.start(listening)
            servers.append(server)
            host, port, *_ = listening.getsockname()
            _log.info("listening", name=listener.name, host=host, port=port)
        management = servers.pop()
        stack.push_async_callback(management.drain_and_close, grace=1.0)
        ticking = asyncio.create_task(_tick([*servers, management]), name="tick")
        stack.callback(ticking.cancel)
        try:
            async with process.open():
                await signals.wait()
                lame_duck = 0.0 if signals.first is signal.SIGINT else settings.http_lame_duck
                await shut_down(process, servers, lame_duck=lame_duck)
        except asyncio.CancelledError:
            if not signals.received:
                raise
            # Stopped while it was opening: it was never ready, so there is no work to drain.
            process.health.mark_draining()
            await close_all(servers, grace=settings.http_grace)
    _log.info("stopped")


async def _tick(servers: Sequence[Server]) -> None:
    """Update the servers once a second, and sample the lag of the event loop meanwhile."""
    loop = asyncio.get_running_loop()
    while True:
        for server in servers:
            await server.on_tick(0)
        for _ in range(_LAG_SAMPLES):
            due = loop.time() + 1 / _LAG_SAMPLES
            await asyncio.sleep(1 / _LAG_SAMPLES)
            metrics.event_loop_lag.observe(max(0.0, loop.time() - due))


def _new_loop() -> asyncio.AbstractEventLoop:
    with suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def _raise_descriptor_limit() -> None:
    """Raise the limit of open files up to _MAX_DESCRIPTORS.

    The usual 1,024 are fewer than the connections of a listener, which could then accept none.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MAX_DESCRIPTORS)
    if soft < limit:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def run(process: ServiceProcess) -> int:
    """Serve `process` on a new event loop until a signal arrives; return the exit code."""
    _raise_descriptor_limit()
    try:
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(serve(process))
    except OSError as error:
        _log.critical("cannot_listen", error=error.strerror or str(error))
        return EXIT_CANNOT_START
    except Exception:
        _log.exception("process_failed")
        return EXIT_CANNOT_START
    finally:
        shutdown_telemetry()
    return 0


def main(service: Service, **overrides: str) -> int:
    """Run `service` until a signal ends it; return the exit code.

    `overrides` are settings from the command line, which take precedence over the environment.
    Invalid settings are listed on stderr, one per line, and the exit code is 2.
    """
    try:
        settings = load(without_disabled(settings_of(service)), **overrides)
    except SettingsError as error:
        count = len(error.problems)
        noun = "setting" if count == 1 else "settings"
        sys.stderr.write(f"{service.name}: {count} invalid {noun}\n")
        for problem in error.problems:
            sys.stderr.write(f"  {problem}\n")
        return EXIT_SETTINGS

    configure_logs(settings, service=service.name)
    try:
        configure_telemetry(settings, service=service.name)
        process = service.create(settings)
    except ImportError as error:
        missing = explain_missing(error, service.name)
        if missing is None:
            raise
        _log.critical("cannot_start", error=str(missing))
        return EXIT_CANNOT_START
    return run(process)
