"""The orderly shutdown of a process. The order at SIGTERM and SIGINT:

1. /readyz becomes 503, each response has `Connection: close`, the process's drains are called;
2. lame duck: for HTTP_LAME_DUCK seconds the process still takes requests, while load balancers
   remove it and open connections get their last response; skipped at SIGINT (Ctrl-C);
3. listeners close, idle connections close, requests in flight have HTTP_GRACE seconds;
4. background work ends and backing services close, each in reverse order;
5. the management listener closes, and the exit code is 0.

A step of a service itself is a drain of its `ServiceProcess`. Steps 4 and 5 are the exits of what
`lifecycle.serve` and `ServiceProcess.open` have entered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from twelvefold.service.process import ServiceProcess

from .server import Server

_log = structlog.get_logger(__name__)


async def shut_down(
    process: ServiceProcess, servers: Sequence[Server], *, lame_duck: float
) -> None:
    """Take steps 1 to 3: mark the process as draining, call its drains, close its listeners."""
    settings = process.settings
    process.health.mark_draining()
    await asyncio.gather(*(_call_drain(drain, settings.http_grace) for drain in process.drain))
    await asyncio.sleep(lame_duck)
    await close_all(servers, grace=settings.http_grace)


async def close_all(servers: Sequence[Server], *, grace: float) -> None:
    """Close listeners and connections; requests in flight have `grace` seconds."""
    await asyncio.gather(*(server.drain_and_close(grace=grace) for server in servers))


async def _call_drain(drain: Callable[[], Awaitable[None]], limit: float) -> None:
    try:
        async with asyncio.timeout(limit):
            await drain()
    except Exception:
        _log.exception("drain_failed", drain=getattr(drain, "__qualname__", repr(drain)))
