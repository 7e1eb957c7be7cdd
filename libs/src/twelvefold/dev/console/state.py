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

from twelvefold.dev.probe import get

from .config import ConsoleConfig
from .jobs import Jobs, JobsUnavailable
from .live import Live
from .loglines import LogLines
from .mails import Mails
from .metrics import Metrics
from .processes import Processes
from .receiver import TraceReceiver
from .store import TraceStore

T = TypeVar("T")
TRACES, LOGS, JOBS, MAIL, PROCESSES = "traces", "logs", "jobs", "mail", "processes"
_WATCHED, _UNWATCHED = 3.0, 15.0  # seconds between two looks at processes and metrics
_GLANCE = 1.0  # seconds between two looks at what changes while somebody watches
_SCRAPE_TIMEOUT = 2.0


class State:
    """Built by the composition root; `running` starts and ends it."""

    def __init__(self, config: ConsoleConfig) -> None:
        checkout, services = config.checkout, frozenset(config.services)
        self.config = config
        self.live = Live()
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

    async def aside(self, ask: Callable[..., T], *values: Any) -> T:
        """Runs `ask` where files are read and samples are kept."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._other_thread, ask, *values)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        loops = [asyncio.create_task(self._look()), asyncio.create_task(self._glance())]
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

    async def _look(self) -> None:
        """At the processes and what they measure."""
        while True:
            await _carefully(self.look())
            if self.live.watched:
                await asyncio.sleep(_WATCHED)
            else:
                await self.live.someone(_UNWATCHED)

    async def look(self) -> None:
        await self.processes.look(probing=self.live.watched)
        services = self.processes.services()
        at = time.time()  # one for all, so that their values can be added
        await asyncio.gather(*(self._scrape(name, url, at) for name, url in services))
        await self.aside(self.metrics.forget, [name for name, _ in services])
        self.live.changed(PROCESSES)

    async def _scrape(self, name: str, url: str, at: float) -> None:
        with suppress(OSError):
            status, body = await get(url, "/metrics", within=_SCRAPE_TIMEOUT)
            if status == 200:  # noqa: PLR2004 (HTTP's)
                await self.aside(self.metrics.take, name, body.decode(errors="replace"), at)

    async def _glance(self) -> None:
        """At files and rows, for open pages only."""
        before: dict[str, Any] = {}
        while True:
            if not self.live.watched:
                await _carefully(self.jobs.close_if_unused())
                await self.live.someone(_UNWATCHED)
                continue
            now: dict[str, Any] = {LOGS: await self.aside(self.logs.state)}
            if self.mails is not None:
                now[MAIL] = await self.aside(self.mails.state)
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
