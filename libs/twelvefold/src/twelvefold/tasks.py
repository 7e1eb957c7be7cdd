"""Reliable cancellation of asyncio tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

_CANCEL_INTERVAL = 0.5  # seconds between two cancellations of one task


async def cancel_and_wait(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks until each of them has ended; their errors are discarded.

    One cancellation is not enough on Python 3.11: `asyncio.wait_for`, in which redis-py sends each
    command, loses a cancellation that comes as its future completes (python/cpython gh-86296, fixed
    in 3.12), and a loop would run for ever.
    """
    cancelled = list(tasks)
    pending = {task for task in cancelled if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_INTERVAL)
    for task in cancelled:
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log it as never retrieved
