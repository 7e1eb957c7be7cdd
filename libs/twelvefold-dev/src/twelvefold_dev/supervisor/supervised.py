"""Keeps one process running: starts it, starts it again with growing pauses, stops it.

Knows nothing of which process it is; the order among several is the stack's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum

from twelvefold_dev.servers.server import Server, StackError
from twelvefold_dev.terminal.logs import LogPipe

from .shutdown import run_unless

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds
_STEADY = 20.0  # seconds after which a process counts as well again


class SupervisionState(StrEnum):
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    BACKING_OFF = "backing off"
    STOPPING = "stopping"


class SupervisedProcess:
    """One server or service process, its output and its state."""

    def __init__(self, server: Server, pipe: LogPipe, say: Callable[[str], None]) -> None:
        """`say` takes what there is to tell about it, in a line."""
        self.server = server
        self.pipe = pipe
        self._say = say
        self.state = SupervisionState.STOPPED
        self.restarts = 0
        self.started_at: float | None = None  # seconds since the epoch
        self._up = asyncio.Event()
        self._again = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.server.name

    async def start(self) -> None:
        """Returns once it runs. Raises StackError where the first start fails."""
        await self._start_once()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep-{self.name}")

    async def wait_until_up(self) -> None:
        await self._up.wait()

    def restart(self) -> None:
        """At once, whatever pause it is in. `wait_until_up` tells when it runs again."""
        self._up.clear()
        self._again.set()

    async def stop(self, *, replaced: bool = False) -> None:
        self.state = SupervisionState.STOPPING
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        await self.server.stop(replaced=replaced)
        self.state = SupervisionState.STOPPED

    async def _start_once(self) -> None:
        self.state = SupervisionState.STARTING
        await self.server.start(self.pipe.writing)
        self.state = SupervisionState.RUNNING
        self.started_at = time.time()
        self._up.set()

    async def _keep(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            if self.state is SupervisionState.RUNNING:
                since = time.monotonic()
                code = await run_unless(self._again, self.server.wait())
                if time.monotonic() - since > _STEADY:
                    pause = _FIRST_PAUSE
                self._up.clear()
                if not self._again.is_set():
                    self._say(f"{self.name} ended with code {code}; starts again in {pause:.0f} s")
            if not self._again.is_set():
                self.state = SupervisionState.BACKING_OFF
                await run_unless(self._again, asyncio.sleep(pause))
                pause = min(pause * 2, _LONGEST_PAUSE)
            if self._again.is_set():
                self._again.clear()
                pause = _FIRST_PAUSE
            self.restarts += 1
            await self._restarted(pause)

    async def _restarted(self, pause: float) -> None:
        self.state = SupervisionState.STARTING
        # What is left of it, or all of it where a restart was asked for.
        await self.server.stop()
        try:
            await run_unless(self._again, self._start_once())
        except (StackError, OSError) as error:
            self.state = SupervisionState.BACKING_OFF
            self._say(f"{error}; next try in {pause:.0f} s")
