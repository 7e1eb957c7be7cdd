"""One listening socket and its connections: uvicorn's server with an orderly shutdown.

Owns the start, and a shutdown without lost requests. `lifecycle` owns the signals.

uvicorn's private parts are subclassed here, in `protocol` and in `wire`. Its version is therefore
limited to TESTED_UVICORN, and a test fails on any other one.
"""

from __future__ import annotations

import asyncio
import socket
from typing import cast

import structlog
import uvicorn
from starlette.types import ASGIApp

from twelvefold.http.middleware.cors import CorsPolicy
from twelvefold.http.server.wire.pipeline import PipelineTurns
from twelvefold.settings import HttpSettings

from .acceptor import Acceptor
from .protocol import BoundedProtocol

TESTED_UVICORN = "0.54"  # major and minor version; raise it after the tests of http passed
KEEP_ALIVE = 75  # seconds; above the 60 s for which load balancers commonly keep idle connections
# A drain closes connections that have been idle for so long: a client between two requests sends
# the next one much sooner, and gets `Connection: close` with its response.
IDLE_SECONDS = 0.2
_POLL_INTERVAL = 0.02  # seconds between two checks of the connections during a drain
_CANCEL_TIMEOUT = 1.0  # seconds for cancelled requests to end after the grace period
_log = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    """A server that does not use uvicorn's `serve`, which handles signals and cuts connections."""

    def __init__(self, app: ASGIApp, settings: HttpSettings, *, proxied: bool) -> None:
        trusted = settings.http_trusted_proxies if proxied else []

        class Protocol(BoundedProtocol):
            max_connections = settings.http_max_connections
            turns = PipelineTurns()
            cors = (
                CorsPolicy(settings.http_cors_origins)
                if proxied and settings.http_cors_origins
                else None
            )

        self._protocol_class = Protocol
        super().__init__(
            uvicorn.Config(
                app,
                http=Protocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(trusted),
                forwarded_allow_ips=trusted,
                timeout_keep_alive=KEEP_ALIVE,
            )
        )

    @property
    def connections(self) -> list[BoundedProtocol]:
        """The open connections."""
        return cast("list[BoundedProtocol]", list(self.server_state.connections))

    async def start(self, listening: socket.socket) -> None:
        """Accept on `listening` from now on, and close it in `drain_and_close`."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.on_tick(0)  # sets the Date header of the first responses
        await self.startup(sockets=[])
        self._acceptor = Acceptor(listening, self._create_protocol)

    async def on_tick(self, counter: int) -> bool:
        """Update the Date header and cut clients that do not read. Call it about once a second."""
        now = asyncio.get_running_loop().time()
        for connection in self.connections:
            connection.check_reader(now)
        return await super().on_tick(counter)

    def _create_protocol(self) -> BoundedProtocol:
        return self._protocol_class(self.config, self.server_state, self.lifespan.state)

    async def drain_and_close(self, *, grace: float) -> None:
        """Stop accepting, let requests end within `grace` seconds, close all connections."""
        await self._acceptor.aclose()
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        while self.server_state.connections and loop.time() < end:
            self._close_idle(loop.time())
            await asyncio.sleep(_POLL_INTERVAL)
        await self._cancel()

    def _close_idle(self, now: float) -> None:
        for connection in self.connections:
            if connection.busy:
                connection.shutdown()  # closes after the response
            elif now - connection.idle_since >= IDLE_SECONDS:
                connection.transport.close()

    async def _cancel(self) -> None:
        """Cancel the remaining requests; those without a response get 503 by the middleware."""
        tasks = list(self.server_state.tasks)
        if tasks:
            _log.warning("grace_period_expired", requests=len(tasks))
            for task in tasks:
                task.cancel("the grace period expired")
            await asyncio.wait(tasks, timeout=_CANCEL_TIMEOUT)
        for connection in self.connections:
            connection.transport.abort()
