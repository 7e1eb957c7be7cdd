"""One service's process: what it serves, what runs beside it, what it holds open.

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

from twelvefold.settings import ServiceSettings

from .health import Health

if TYPE_CHECKING:
    from fastapi import FastAPI

SCHEMA_POLL = 0.5  # seconds between looks at the schema while starting
_log = structlog.get_logger(__name__)


class Closable(Protocol):
    """What a process asks of BackingServices."""

    async def aclose(self) -> None:
        """Closes what was opened, in reverse order."""
        ...


@dataclass
class ServiceProcess:
    """What a service's `create_app` returns. The runner adds the management app."""

    name: str
    settings: ServiceSettings
    health: Health
    backing: Closable
    public: FastAPI | None = None
    internal: FastAPI | None = None
    # Entered in order, left in reverse: wake-up publishers, runners, subscriptions.
    background: Sequence[Callable[[], AbstractAsyncContextManager[None]]] = ()
    # Asked until it is true before the process is ready.
    schema_ready: Callable[[], Awaitable[bool]] | None = None
    # Called at SIGTERM before listeners drain: stop claiming, end streams.
    drain: Sequence[Callable[[], Awaitable[None]]] = ()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ServiceProcess]:
        """Runs background work and waits for the schema beside it; closes all in reverse.

        Does not wait to be ready: `health` says when. A backing service that is away delays
        readiness, it never ends the process.
        """
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.backing.aclose)
            for enter in self.background:
                await stack.enter_async_context(enter())
            waiting = asyncio.create_task(self._become_ready(), name="schema-ready")
            stack.push_async_callback(_cancelled, waiting)
            yield self

    async def _become_ready(self) -> None:
        logged = False
        while self.schema_ready is not None:
            try:
                if await self.schema_ready():
                    break
                reason = "schema is not at this release's head"
            except Exception as error:
                reason = str(error)
            if not logged:
                _log.warning("waiting_for_schema", reason=reason)
                logged = True
            await asyncio.sleep(SCHEMA_POLL)
        # What is loaded by now stays: a full collection that walks all of it stops the loop for a
        # tenth of a second, and whatever keeps objects for a while (spans, jobs) brings it about.
        gc.collect()
        gc.freeze()
        self.health.mark_ready()
        _log.info("ready")


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
