"""`python -m twelvefold_dev.console FILE`: the console's process, until SIGTERM."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import uvicorn

from .app import create_app
from .config import ConsoleConfig
from .state import ConsoleState

_NICENESS = 5  # the services come first
_MOST = 128  # connections and answers under way; beyond it 503
_GRACE = 2  # seconds for answers that are under way


class _Server(uvicorn.Server):
    """Ends the open event streams before it waits for answers to end."""

    def __init__(self, config: uvicorn.Config, state: ConsoleState) -> None:
        super().__init__(config)
        self._state = state

    def handle_exit(self, sig: int, frame: object) -> None:
        self._state.live.end()
        super().handle_exit(sig, frame)  # type: ignore[arg-type]  # a frame, which is passed on


def main(path: Path) -> None:
    os.nice(_NICENESS)
    config = ConsoleConfig.read(path)
    state = ConsoleState(config)
    settings = uvicorn.Config(
        create_app(state),
        loop="asyncio",  # uvloop is worth neither its memory nor its start here
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        limit_concurrency=_MOST,
        log_level="warning",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=_GRACE,
        backlog=256,
    )
    _Server(settings, state).run([socket.socket(fileno=config.descriptor)])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
