"""Work that follows a commit: cache entries, revocations of sessions.

The change is durable by then, so no failure here fails the request, and the cancellation of a
request does not cancel the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from twelvefold.database.database import Transaction
from twelvefold.observability import metrics

_log = structlog.get_logger(__name__)


class PostCommitTask:
    """Work that the commit starts. Without a commit it does not run."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def attach(self, task: asyncio.Task[None]) -> None:
        self._task = task

    async def finished(self) -> None:
        """Wait for the work, so that the caller reads its own writes. Never raises its error."""
        if self._task is not None:
            await asyncio.shield(self._task)


class PostCommitTasks:
    """The running post-commit tasks of this process."""

    def __init__(self, *, max_tasks: int = 1000, grace: float = 2.0) -> None:
        """`max_tasks`: tasks at a time; timeouts of their own bound each.

        `grace`: seconds that closing waits for running tasks.
        """
        self._max_tasks = max_tasks
        self._grace = grace
        self._running: set[asyncio.Task[None]] = set()
        metrics.register_pool("post_commit_tasks", max_tasks, lambda: len(self._running))

    def after(
        self, transaction: Transaction, *work: Callable[[], Awaitable[object]]
    ) -> PostCommitTask:
        """Run the functions of `work` in order once `transaction` has committed."""
        post_commit_task = PostCommitTask()

        def begin() -> None:
            if (task := self.start(*work)) is not None:
                post_commit_task.attach(task)

        transaction.after_commit(begin)
        return post_commit_task

    def start(self, *work: Callable[[], Awaitable[object]]) -> asyncio.Task[None] | None:
        """Run `work` in a task; None where too many are in flight."""
        if len(self._running) >= self._max_tasks:
            metrics.pool_exhausted.labels("post_commit_tasks").inc()
            _log.warning("post_commit_task_dropped", limit=self._max_tasks)
            return None
        task = asyncio.create_task(_run(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def aclose(self) -> None:
        """Wait for running tasks for a bounded time, then cancel them."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=self._grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)


async def _run(work: tuple[Callable[[], Awaitable[object]], ...]) -> None:
    for piece in work:
        try:
            await piece()
        except Exception:
            _log.exception("post_commit_task_failed")
