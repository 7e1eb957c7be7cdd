"""The state of the console and the loops that keep it up to date.

Owns the threads for blocking work (one for the traces, one for files and samples) and the polling
intervals, which are short while a page is open.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from twelvefold_dev.checkout import RECORDER_SOCKET
from twelvefold_dev.console.actions.http_client import HttpClient
from twelvefold_dev.console.actions.link_check import LinkChecker
from twelvefold_dev.console.actions.process_control import ProcessControl
from twelvefold_dev.console.actions.recordings import Recordings
from twelvefold_dev.console.actions.resend import Resender
from twelvefold_dev.console.sources.exemplars import MEDIA_TYPE
from twelvefold_dev.console.sources.jobs import Jobs, JobsUnavailable
from twelvefold_dev.console.sources.log_search import LogLines
from twelvefold_dev.console.sources.mails import Mails
from twelvefold_dev.console.sources.metrics import Metrics
from twelvefold_dev.console.sources.processes import Processes
from twelvefold_dev.console.sources.queues import Queues
from twelvefold_dev.console.traces.receiver import TraceReceiver
from twelvefold_dev.console.traces.store import TraceStore
from twelvefold_dev.system.probe import get

from .config import ConsoleConfig
from .links import demo_account
from .live import EventBroadcaster

T = TypeVar("T")
TRACES, LOGS, JOBS, MAIL, PROCESSES = "traces", "logs", "jobs", "mail", "processes"
RECORDINGS = "recordings"
# Seconds between two polls of processes and metrics, with and without an open page.
_POLL_INTERVAL, _IDLE_POLL_INTERVAL = 2.0, 15.0
_CHANGE_POLL_INTERVAL = 1.0  # seconds between two checks for changed files and rows
_SCRAPE_TIMEOUT = 2.0  # seconds


class ConsoleState:
    """All parts of the console's process; `running` starts and stops them."""

    def __init__(self, config: ConsoleConfig) -> None:
        checkout, services = config.checkout, frozenset(config.services)
        self.config = config
        self.live = EventBroadcaster()
        self._store_thread = ThreadPoolExecutor(1, "store")
        self._file_thread = ThreadPoolExecutor(1, "files")
        self.store = TraceStore(checkout.console / "traces.db", config.started)
        self.receiver = TraceReceiver(
            self.store, self._store_thread, partial(self.live.notify, TRACES)
        )
        self.logs = LogLines(checkout.logs, services)
        self.mails = Mails(Path(config.mail_folder)) if config.mail_folder else None
        self.jobs = Jobs(config.jobs_url, config.redis_url)
        self.processes = Processes(checkout.run, services)
        self.metrics = Metrics()
        endpoints = config.endpoints
        self.queues = Queues(
            self.jobs, self._slots, {*endpoints["public"], *endpoints.get("internal", ())}
        )
        self._request_threads = ThreadPoolExecutor(4, "requests")
        http = HttpClient(self._request_threads)
        self.control = ProcessControl(checkout.run, http)
        self.links = LinkChecker(http, endpoints["public"].values())
        self.recordings = Recordings(
            checkout.root / RECORDER_SOCKET, partial(self.live.notify, RECORDINGS)
        )
        self.resender = Resender(
            http,
            edge=endpoints["api"],
            public=dict(endpoints["public"]),
            demo=partial(demo_account, config),
        )

    async def run_in_store_thread(self, function: Callable[..., T], *values: Any) -> T:
        """Run `function` in the thread that uses the store of traces."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._store_thread, function, *values)

    async def run_in_file_thread(self, function: Callable[..., T], *values: Any) -> T:
        """Run `function` in the thread that reads files and stores samples."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._file_thread, function, *values)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the polling loops in the block, then close everything."""
        loops = [
            asyncio.create_task(self._run_polls()),
            asyncio.create_task(self._watch_files_and_jobs()),
        ]
        try:
            yield
        finally:
            for task in loops:
                task.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            self.recordings.stop()
            await self.jobs.aclose()
            await self.run_in_store_thread(self.store.close)
            self._store_thread.shutdown()
            self._file_thread.shutdown()
            self._request_threads.shutdown(wait=False, cancel_futures=True)

    def _slots(self, process: str) -> tuple[float | None, float | None]:
        """Return size and use of a worker's slots, as of the last scrape."""
        size = self.metrics.latest(process, "pool_size", pool="jobs")
        return size, self.metrics.latest(process, "pool_in_use", pool="jobs")

    async def _run_polls(self) -> None:
        while True:
            await _log_error(self.poll())
            if self.live.has_pages:
                await asyncio.sleep(_POLL_INTERVAL)
            else:
                await self.live.wait_for_page(_IDLE_POLL_INTERVAL)

    async def poll(self) -> None:
        """Read the state of all processes and scrape the metrics of the services once."""
        await self.processes.poll(probing=self.live.has_pages)
        services = self.processes.services()
        at = time.time()  # the same time for all, so that their values can be added
        await asyncio.gather(*(self._scrape(name, url, at) for name, url in services))
        await self.run_in_file_thread(self.metrics.prune, [name for name, _ in services])
        self.live.notify(PROCESSES)

    async def _scrape(self, name: str, url: str, at: float) -> None:
        with suppress(OSError):
            status, body = await get(url, "/metrics", within=_SCRAPE_TIMEOUT, accept=MEDIA_TYPE)
            if status == HTTPStatus.OK:
                await self.run_in_file_thread(
                    self.metrics.take, name, body.decode(errors="replace"), at
                )

    async def _watch_files_and_jobs(self) -> None:
        """Notify open pages of changed logs, emails and jobs."""
        before: dict[str, Any] = {}
        while True:
            if not self.live.has_pages:
                await _log_error(self.jobs.close_if_unused())
                await self.live.wait_for_page(_IDLE_POLL_INTERVAL)
                continue
            now: dict[str, Any] = {LOGS: await self.run_in_file_thread(self.logs.state)}
            if self.mails is not None:
                now[MAIL] = await self.run_in_file_thread(self.mails.state)
            with suppress(JobsUnavailable):
                now[JOBS] = await self.jobs.count_writes()
            for topic, version in now.items():
                if topic in before and before[topic] != version:
                    self.live.notify(topic)
            before |= now
            await asyncio.sleep(_CHANGE_POLL_INTERVAL)


async def _log_error(work: Awaitable[None]) -> None:
    """Await `work` and log an exception, so that the loop continues."""
    try:
        await work
    except Exception as error:
        print(f"{type(error).__name__}: {error}", flush=True)
