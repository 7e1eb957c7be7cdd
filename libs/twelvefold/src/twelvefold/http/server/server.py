"""One listening socket and its connections: uvicorn's server with an orderly end.

Owns starting, and finishing without dropping a request. Signals, and when to finish, are `serve`'s.
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

KEEP_ALIVE = 75  # seconds; above the 60 s that load balancers commonly keep an idle connection
# A connection that was last used this long ago may be closed in a drain: a client between two
# requests is back much sooner, and gets `Connection: close` with its next answer.
IDLE_SECONDS = 0.2  # seconds
_LOOK = 0.02  # seconds between looks at the connections of a drain
_CANCELLED = 1.0  # seconds that requests have to end after the grace period
_log = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    """Not run by uvicorn's own `serve`, which takes signals and drops idle connections."""

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
        return cast("list[BoundedProtocol]", list(self.server_state.connections))

    async def start(self, listening: socket.socket) -> None:
        """Accepts on `listening` from now on, and owns it."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.on_tick(0)  # the first answers have a Date, too
        await self.startup(sockets=[])
        self._acceptor = Acceptor(listening, self._protocol)

    async def on_tick(self, counter: int) -> bool:
        """Called about once a second: the Date header, and clients that do not read."""
        now = asyncio.get_running_loop().time()
        for connection in self.connections:
            connection.check_reader(now)
        return await super().on_tick(counter)

    def _protocol(self) -> BoundedProtocol:
        return self._protocol_class(self.config, self.server_state, self.lifespan.state)

    async def drain_and_close(self, *, grace: float) -> None:
        """Stops accepting, lets requests end within `grace` seconds, closes every connection."""
        await self._acceptor.aclose()
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        while self.server_state.connections and loop.time() < end:
            self._close_quiet(loop.time())
            await asyncio.sleep(_LOOK)
        await self._cancel()

    def _close_quiet(self, now: float) -> None:
        for connection in self.connections:
            if connection.busy:
                connection.shutdown()  # its answer is its last
            elif now - connection.idle_since >= IDLE_SECONDS:
                connection.transport.close()

    async def _cancel(self) -> None:
        """Ends what is left; the request layer answers 503 where no answer has begun."""
        tasks = list(self.server_state.tasks)
        if tasks:
            _log.warning("grace_period_expired", requests=len(tasks))
            for task in tasks:
                task.cancel("the grace period is over")
            await asyncio.wait(tasks, timeout=_CANCELLED)
        for connection in self.connections:
            connection.transport.abort()
