"""Supervision of one process: start, restart with exponential backoff, stop.

Independent of which process it is; `fleet` and `supervisor` decide the order among several.
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

MIN_RESTART_DELAY, _MAX_RESTART_DELAY = 1.0, 30.0  # seconds
_STABLE_AFTER = 20.0  # seconds of uptime after which the delay starts from its minimum again


class SupervisionState(StrEnum):
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    BACKING_OFF = "backing off"
    STOPPING = "stopping"


class SupervisedProcess:
    """One server or service process, its output and its state."""

    def __init__(
        self,
        server: Server,
        pipe: LogPipe,
        report: Callable[[str], None],
        min_restart_delay: float = MIN_RESTART_DELAY,
    ) -> None:
        """Wrap `server`, whose output goes to `pipe`. `report` receives one line per event.

        `min_restart_delay` is the delay in seconds before the first restart; it doubles for each
        further one, up to 30.
        """
        self.server = server
        self.pipe = pipe
        self._report = report
        self._min_restart_delay = min_restart_delay
        self._state = SupervisionState.STOPPED
        self._failed_starts = 0
        self.is_halted = False  # stopped by request, until it is started by request
        # Called after every change of `state`.
        self.on_state: Callable[[], None] = lambda: None
        self.restarts = 0
        self.started_at: float | None = None  # seconds since the epoch
        self._up = asyncio.Event()
        self._restart_requested = asyncio.Event()
        self._supervision: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.server.name

    @property
    def state(self) -> SupervisionState:
        return self._state

    @state.setter
    def state(self, state: SupervisionState) -> None:
        self._state = state
        if state in (SupervisionState.RUNNING, SupervisionState.STOPPING):
            self._failed_starts = 0
        self.on_state()

    @property
    def is_failing(self) -> bool:
        """Whether the process ended and could not be started again so far."""
        return self._failed_starts > 0

    async def start(self) -> None:
        """Start the process and return once it runs. Raises StackError where that fails."""
        self.is_halted = False
        self._restart_requested.clear()
        await self._start_once()
        self._supervision = asyncio.create_task(self._run(), name=f"supervise-{self.name}")

    async def wait_until_up(self) -> None:
        """Wait until the process runs, after a restart until it runs again."""
        await self._up.wait()

    def restart(self) -> None:
        """Request a restart without delay. `wait_until_up` returns when it is done."""
        self._up.clear()
        self._restart_requested.set()

    async def halt(self) -> None:
        """Stop the process until `start` is called again. Nothing else starts it meanwhile."""
        self.is_halted = True
        await self.stop()

    async def stop(self, *, replaced: bool = False) -> None:
        """Stop the process for good. `replaced`: see `Server.stop`."""
        self.state = SupervisionState.STOPPING
        self._up.clear()
        if self._supervision is not None:
            self._supervision.cancel()
            with suppress(asyncio.CancelledError):
                await self._supervision
        await self.server.stop(replaced=replaced)
        self.state = SupervisionState.STOPPED

    async def _start_once(self) -> None:
        self.state = SupervisionState.STARTING
        await self.server.start(self.pipe.writing)
        self.state = SupervisionState.RUNNING
        self.started_at = time.time()
        self._up.set()

    async def _run(self) -> None:
        requested, delay = self._restart_requested, self._min_restart_delay
        while True:
            if self.state is SupervisionState.RUNNING:
                since = time.monotonic()
                code = await run_unless(requested, self.server.wait())
                if time.monotonic() - since > _STABLE_AFTER:
                    delay = self._min_restart_delay
                self._up.clear()
                if not requested.is_set():
                    self._report(f"{self.name} ended with code {code}; restart in {delay:.0f} s")
            if not requested.is_set():
                self.state = SupervisionState.BACKING_OFF
                await run_unless(requested, asyncio.sleep(delay))
                delay = min(delay * 2, _MAX_RESTART_DELAY)
            if requested.is_set():
                requested.clear()
                delay = self._min_restart_delay
            self.restarts += 1
            await self._restart_once(delay)

    async def _restart_once(self, next_delay: float) -> None:
        self.state = SupervisionState.STARTING
        # The process still runs after a requested restart; otherwise its children may remain.
        await self.server.stop()
        try:
            await run_unless(self._restart_requested, self._start_once())
        except (StackError, OSError) as error:
            self._failed_starts += 1
            self.state = SupervisionState.BACKING_OFF
            self._report(f"{error}; next attempt in {next_delay:.0f} s")
