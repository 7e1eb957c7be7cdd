"""Everything that the console knows, in one place, and the loops that keep it fresh.

Owns the threads that block (one for the traces, one for files and samples) and how often anything is looked
at: often while a page is open, seldom otherwise.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from twelvefold_dev.console.sources.jobs import Jobs, JobsUnavailable
from twelvefold_dev.console.sources.log_search import LogLines
from twelvefold_dev.console.sources.mails import Mails
from twelvefold_dev.console.sources.metrics import Metrics
from twelvefold_dev.console.sources.processes import Processes
from twelvefold_dev.console.traces.receiver import TraceReceiver
from twelvefold_dev.console.traces.store import TraceStore
from twelvefold_dev.system.probe import get

from .config import ConsoleConfig
from .live import EventBroadcaster

T = TypeVar("T")
TRACES, LOGS, JOBS, MAIL, PROCESSES = "traces", "logs", "jobs", "mail", "processes"
_WATCHED, _UNWATCHED = 3.0, 15.0  # seconds between two looks at processes and metrics
_GLANCE = 1.0  # seconds between two looks at what changes while somebody watches
_SCRAPE_TIMEOUT = 2.0


class ConsoleState:
    """Built by the composition root; `running` starts and ends it."""

    def __init__(self, config: ConsoleConfig) -> None:
        checkout, services = config.checkout, frozenset(config.services)
        self.config = config
        self.live = EventBroadcaster()
        self._store_thread = ThreadPoolExecutor(1, "store")
        self._other_thread = ThreadPoolExecutor(1, "other")
        self.store = TraceStore(checkout.console / "traces.db", config.started)
        self.receiver = TraceReceiver(
            self.store, self._store_thread, partial(self.live.changed, TRACES)
        )
        self.logs = LogLines(checkout.logs, services)
        self.mails = Mails(Path(config.mail_folder)) if config.mail_folder else None
        self.jobs = Jobs(config.jobs_url, config.redis_url)
        self.processes = Processes(checkout.run, services)
        self.metrics = Metrics()

    async def stored(self, ask: Callable[..., T], *values: Any) -> T:
        """Runs `ask` where the traces are."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._store_thread, ask, *values)

    async def run_in_file_thread(self, ask: Callable[..., T], *values: Any) -> T:
        """Runs `ask` where files are read and samples are kept."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._other_thread, ask, *values)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        loops = [asyncio.create_task(self._poll_forever()), asyncio.create_task(self._glance())]
        try:
            yield
        finally:
            for task in loops:
                task.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await self.jobs.aclose()
            await self.stored(self.store.close)
            self._store_thread.shutdown()
            self._other_thread.shutdown()

    async def _poll_forever(self) -> None:
        """At the processes and what they measure."""
        while True:
            await _carefully(self.poll())
            if self.live.watched:
                await asyncio.sleep(_WATCHED)
            else:
                await self.live.someone(_UNWATCHED)

    async def poll(self) -> None:
        await self.processes.look(probing=self.live.watched)
        services = self.processes.services()
        at = time.time()  # one for all, so that their values can be added
        await asyncio.gather(*(self._scrape(name, url, at) for name, url in services))
        await self.run_in_file_thread(self.metrics.forget, [name for name, _ in services])
        self.live.changed(PROCESSES)

    async def _scrape(self, name: str, url: str, at: float) -> None:
        with suppress(OSError):
            status, body = await get(url, "/metrics", within=_SCRAPE_TIMEOUT)
            if status == 200:  # noqa: PLR2004 (HTTP's)
                await self.run_in_file_thread(
                    self.metrics.take, name, body.decode(errors="replace"), at
                )

    async def _glance(self) -> None:
        """At files and rows, for open pages only."""
        before: dict[str, Any] = {}
        while True:
            if not self.live.watched:
                await _carefully(self.jobs.close_if_unused())
                await self.live.someone(_UNWATCHED)
                continue
            now: dict[str, Any] = {LOGS: await self.run_in_file_thread(self.logs.state)}
            if self.mails is not None:
                now[MAIL] = await self.run_in_file_thread(self.mails.state)
            with suppress(JobsUnavailable):
                now[JOBS] = await self.jobs.written()
            for topic, found in now.items():
                if topic in before and before[topic] != found:
                    self.live.changed(topic)
            before |= now
            await asyncio.sleep(_GLANCE)


async def _carefully(work: Awaitable[None]) -> None:
    """A look that fails says so in the process's log, and the next one follows."""
    try:
        await work
    except Exception as error:
        print(f"{type(error).__name__}: {error}", flush=True)
