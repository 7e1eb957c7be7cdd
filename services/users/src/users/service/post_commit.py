"""Work that follows a commit: cache entries, marks of revoked sessions.

The effect is durable by then, so nothing here fails a request, and a request that is cancelled
does not take it along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from twelvefold.database.database import Transaction
from twelvefold.observability import metrics

_LIMIT = 1000  # running at a time; each is bounded by its own timeouts
_GRACE = 2.0  # seconds that closing waits for what runs
_log = structlog.get_logger(__name__)


class PostCommitTask:
    """One piece of work, begun by the commit. Where there was no commit, it never was."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def begun(self, task: asyncio.Task[None]) -> None:
        self._task = task

    async def finished(self) -> None:
        """Waits for the work, so that the caller reads its own writes. Never raises its error."""
        if self._task is not None:
            await asyncio.shield(self._task)


class PostCommitTasks:
    """What of this process is still under way."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        metrics.register_pool("post_commit_tasks", _LIMIT, lambda: len(self._running))

    def after(
        self, transaction: Transaction, *work: Callable[[], Awaitable[object]]
    ) -> PostCommitTask:
        """Does `work`, one after the other, once `transaction` has committed."""
        follow_up = PostCommitTask()

        def begin() -> None:
            if (task := self.start(*work)) is not None:
                follow_up.begun(task)

        transaction.after_commit(begin)
        return follow_up

    def start(self, *work: Callable[[], Awaitable[object]]) -> asyncio.Task[None] | None:
        """Does `work` beside the request; None where too much is under way already."""
        if len(self._running) >= _LIMIT:
            metrics.pool_exhausted.labels("post_commit_tasks").inc()
            _log.warning("post_commit_task_dropped", limit=_LIMIT)
            return None
        task = asyncio.create_task(_done(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def aclose(self) -> None:
        """Lets what runs end, for a bounded time."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=_GRACE)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)


async def _done(work: tuple[Callable[[], Awaitable[object]], ...]) -> None:
    for piece in work:
        try:
            await piece()
        except Exception:
            _log.exception("post_commit_task_failed")
