"""Ending tasks for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

_AGAIN = 0.5  # seconds; what ends properly has time for it


async def cancel_and_wait(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels the tasks until every one of them has ended; their errors are nobody's any more.

    Once is not enough on Python 3.11: `asyncio.wait_for`, in which redis-py sends each command,
    loses a cancellation that comes as its future is done (python/cpython gh-86296, mended in
    3.12), and a loop goes on for ever.
    """
    all_of_them = list(tasks)
    pending = {task for task in all_of_them if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN)
    for task in all_of_them:
        if not task.cancelled():
            task.exception()  # looked at, so that it is not reported as never retrieved
