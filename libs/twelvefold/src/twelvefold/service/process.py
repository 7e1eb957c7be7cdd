"""The process of one service: its apps, its background work and its backing services.

Owns the order of opening and closing. Sockets and signals belong to `http.server.lifecycle`.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from twelvefold.observability.outage_log import OutageLog
from twelvefold.settings import ServiceSettings
from twelvefold.tasks import cancel_and_wait

from .health import Health

if TYPE_CHECKING:
    from fastapi import FastAPI

    from twelvefold.jobs import PeriodicJob

SCHEMA_POLL_INTERVAL = 0.5  # seconds between two checks of the schema while starting
_log = structlog.get_logger(__name__)


class Closable(Protocol):
    """The part of BackingServices that a process needs."""

    async def aclose(self) -> None:
        """Close what was opened, in reverse order."""
        ...


@dataclass
class ServiceProcess:
    """What a service's `create_app` returns. The lifecycle adds the management app."""

    name: str
    settings: ServiceSettings
    health: Health
    backing: Closable
    public: FastAPI | None = None
    internal: FastAPI | None = None
    # Entered in order, left in reverse: wake-up publishers, runners, subscriptions.
    background: Sequence[Callable[[], AbstractAsyncContextManager[None]]] = ()
    # Polled until it returns True; only then the process becomes ready.
    schema_ready: Callable[[], Awaitable[bool]] | None = None
    # Called at SIGTERM before listeners drain, e.g. to stop claiming or to end streams.
    drain: Sequence[Callable[[], Awaitable[None]]] = ()
    # The queue whose jobs the process runs, and the periodic jobs that it enqueues; /info has both.
    queue: str | None = None
    schedule: Sequence[PeriodicJob] = ()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ServiceProcess]:
        """Run background work and wait for the schema meanwhile; close all in reverse order.

        The block starts before the process is ready; `health` has the state. An unavailable backing
        service delays readiness and never ends the process.
        """
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.backing.aclose)
            for enter in self.background:
                await stack.enter_async_context(enter())
            waiting = asyncio.create_task(self._become_ready(), name="schema-ready")
            stack.push_async_callback(cancel_and_wait, [waiting])
            yield self

    async def _become_ready(self) -> None:
        outage = OutageLog(_log)
        while self.schema_ready is not None:
            try:
                if await self.schema_ready():
                    break
                reason = "schema is not at this release's head"
            except Exception as error:
                reason = str(error)
            outage.failed("waiting_for_schema", reason=reason)
            await asyncio.sleep(SCHEMA_POLL_INTERVAL)
        # Objects that are loaded by now stay. A full collection over all of them would stop the
        # loop for 0.1 s, and objects that live for a while (spans, jobs) trigger full collections.
        gc.collect()
        gc.freeze()
        self.health.mark_ready()
        _log.info("ready")
