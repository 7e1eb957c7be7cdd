"""`python -m twelvefold_dev.console FILE`, the console's process, which runs until SIGTERM."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import cast

import uvicorn

from twelvefold.http.server.protocol import BoundedProtocol
from twelvefold.http.server.wire.pipeline import PipelineTurns

from .app import create_app
from .config import ConsoleConfig
from .state import ConsoleState

_NICENESS = 5  # the services have priority
_MAX_CONNECTIONS = 128  # beyond it 503
_TICKS_PER_SECOND = 10  # of uvicorn's main loop
_GRACE = 2  # seconds for requests in flight at shutdown


class _Protocol(BoundedProtocol):
    max_connections = _MAX_CONNECTIONS
    turns = PipelineTurns()


class _Server(uvicorn.Server):
    """A server that ends its event streams before it waits for requests in flight."""

    def __init__(self, config: uvicorn.Config, state: ConsoleState) -> None:
        super().__init__(config)
        self._state = state

    def handle_exit(self, sig: int, frame: object) -> None:
        self._state.live.end()
        super().handle_exit(sig, frame)  # type: ignore[arg-type]  # a frame, passed on unchanged

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_PER_SECOND == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                cast("BoundedProtocol", connection).check_reader(now)
        return await super().on_tick(counter)


def main(path: Path) -> None:
    """Serve the console with the configuration in `path` until SIGTERM."""
    os.nice(_NICENESS)
    config = ConsoleConfig.read(path)
    state = ConsoleState(config)
    settings = uvicorn.Config(
        create_app(state),
        loop="asyncio",  # uvloop would cost memory and start time
        http=_Protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=_GRACE,
        backlog=256,
    )
    _Server(settings, state).run([socket.socket(fileno=config.descriptor)])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
