"""`python -m twelvefold_dev.console FILE`, the console's process, which runs until SIGTERM."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import uvicorn

from .app import create_app
from .config import ConsoleConfig
from .state import ConsoleState

_NICENESS = 5  # the services have priority
_MAX_CONCURRENCY = 128  # connections and requests in flight; beyond it 503
_GRACE = 2  # seconds for requests in flight at shutdown


class _Server(uvicorn.Server):
    """A server that ends its event streams before it waits for requests in flight."""

    def __init__(self, config: uvicorn.Config, state: ConsoleState) -> None:
        super().__init__(config)
        self._state = state

    def handle_exit(self, sig: int, frame: object) -> None:
        self._state.live.end()
        super().handle_exit(sig, frame)  # type: ignore[arg-type]  # a frame, passed on unchanged


def main(path: Path) -> None:
    """Serve the console with the configuration in `path` until SIGTERM."""
    os.nice(_NICENESS)
    config = ConsoleConfig.read(path)
    state = ConsoleState(config)
    settings = uvicorn.Config(
        create_app(state),
        loop="asyncio",  # uvloop would cost memory and start time
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        limit_concurrency=_MAX_CONCURRENCY,
        log_level="warning",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=_GRACE,
        backlog=256,
    )
    _Server(settings, state).run([socket.socket(fileno=config.descriptor)])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
