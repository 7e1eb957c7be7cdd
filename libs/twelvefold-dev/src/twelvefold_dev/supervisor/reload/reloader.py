"""Reload of the services whose sources change, and a hint where a change needs a new start.

A new process starts beside the old one and replaces it once it is ready, so that the service
answers while the code is broken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from twelvefold.tasks import cancel_and_wait
from twelvefold_dev.servers.server import StackError

from .source_watcher import SourceChange, Sources
from .start_files import StartFiles


class Reloader:
    """Applies the changes of `sources`. A newer change cancels the reload that is in progress."""

    def __init__(
        self,
        sources: Sources,
        start_files: StartFiles,
        *,
        migrate: Callable[[], Awaitable[None]],
        replace: Callable[[str], Awaitable[None]],
        report: Callable[[str], None],
        failures: dict[str, str],
    ) -> None:
        """`replace` replaces the processes of a service. `failures` gets the error and output of
        each service whose last reload failed.
        """
        self._sources = sources
        self._start_files = start_files
        self._migrate = migrate
        self._replace = replace
        self._report = report
        self._failures = failures

    async def run(self) -> None:
        """Watch until cancelled. Raises OSError or RuntimeError where watching is impossible."""
        hinting = asyncio.create_task(self._report_hints(), name="start-files")
        reload: asyncio.Task[None] | None = None
        pending: SourceChange | None = None
        try:
            async for change in self._sources.changes():
                if reload is not None and pending is not None and not reload.done():
                    await cancel_and_wait([reload])
                    pending = change.including(pending)
                else:
                    pending = change
                reload = asyncio.create_task(self.apply(pending), name="reload")
        finally:
            await cancel_and_wait([hinting, *([reload] if reload else [])])

    async def _report_hints(self) -> None:
        async for hint in self._start_files.hints():
            self._report(hint)

    async def apply(self, change: SourceChange) -> None:
        """Migrate where migrations changed, and replace the processes of the changed services."""
        names = ", ".join(sorted(change.services))
        self._report(f"{change.example} changed: reloading {names}")
        if change.migrations:
            try:
                await self._migrate()
            except StackError as error:
                self._report(str(error))
        await asyncio.gather(*(self._reload(name, change) for name in sorted(change.services)))

    async def _reload(self, service: str, change: SourceChange) -> None:
        try:
            await self._replace(service)
        except StackError as error:
            reason = f"{service} was not reloaded: {error}; the old process stays"
            if change.settings:
                reason += ". Its settings changed: a new start of the stack passes new variables"
            self._failures[service] = "\n".join([reason, *getattr(error, "__notes__", ())])
            self._report(reason)
        else:
            if self._failures.pop(service, None):
                self._report(f"{service} runs the changed code")
