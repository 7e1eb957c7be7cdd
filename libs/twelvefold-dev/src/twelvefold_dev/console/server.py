"""The console's process as the supervisor sees it. Owns its socket across restarts."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import IO

from twelvefold_dev.servers.server import EmbeddedServer
from twelvefold_dev.system.child_process import Launch
from twelvefold_dev.system.probe import get
from twelvefold_dev.system.sockets import listen_on_first_free, url_of

from .config import ConsoleConfig

_PORTS = (*range(8400, 8600), 0)  # the first free one, so that a bookmark usually stays valid
_PROBE_TIMEOUT = 1.0  # seconds


class ConsoleServer(EmbeddedServer):
    """`python -m twelvefold_dev.console FILE` on a socket that stays open between starts."""

    name = "console"
    start_timeout = 20.0
    stop_signals = ((signal.SIGTERM, 3.0),)

    def __init__(self, run: Path, configure: Callable[[int, str], ConsoleConfig]) -> None:
        """Bind the console's port. Raises OSError where none is free.

        `configure` creates the configuration from the descriptor of the socket and the URL.
        """
        super().__init__(run)
        self._listener = listen_on_first_free(_PORTS)
        self._configure = configure

    @property
    def url(self) -> str:
        return url_of(self._listener)

    def launch(self, output: int | IO[bytes] = subprocess.DEVNULL) -> Launch:
        descriptor = self._listener.fileno()
        path = self._configure(descriptor, self.url).write(self.directory)
        return Launch(
            command=[sys.executable, "-P", "-m", "twelvefold_dev.console", path],
            environment={
                "PATH": "/usr/bin:/bin",
                "LC_ALL": "C.UTF-8",
                "PYTHONUNBUFFERED": "1",
                # Returns memory to the system after a burst of spans.
                "MALLOC_ARENA_MAX": "1",
                "MALLOC_TRIM_THRESHOLD_": "131072",
            },
            directory=self.directory,
            output=output,
            pass_fds=(descriptor,),
        )

    async def is_ready(self) -> bool:
        status, _ = await get(self.url, "/livez", within=_PROBE_TIMEOUT)
        return status == HTTPStatus.OK

    def close(self) -> None:
        """Close the port, after the last stop."""
        self._listener.close()
