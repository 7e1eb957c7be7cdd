"""The rows of `ps`, one per process, from the operating system and from /info of the process."""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import asdict, dataclass
from typing import Any

from twelvefold_dev.servers.server import EmbeddedServer, Server, strip_password
from twelvefold_dev.system.child_process import measure_memory, measure_own_memory
from twelvefold_dev.system.probe import get

from .service_process import ServiceProcess
from .supervised import SupervisedProcess, SupervisionState

_INFO_TIMEOUT = 1.0  # seconds
_RESPONSE_TIMEOUT = 0.8  # seconds in which a server must respond


@dataclass(frozen=True, slots=True)
class Row:
    """One process, in bytes and seconds. None stands for an unknown value."""

    name: str
    pid: int | None
    state: str
    restarts: int
    uptime_seconds: float | None
    url: str
    requests: int | None = None
    errors: int | None = None
    rss_bytes: int | None = None
    pss_bytes: int | None = None
    version: str | None = None
    health: str | None = None  # of a running backing server: ok, or silent without a response


async def rows(processes: list[SupervisedProcess], supervisor: Row) -> list[dict[str, Any]]:
    """Return the rows of `processes`, then that of the supervisor, as JSON objects."""
    process_rows = await asyncio.gather(*(_row(one) for one in processes))
    return [asdict(row) for row in (*process_rows, supervisor)]


def own_row(name: str, uptime_seconds: float) -> Row:
    """Return the row of this process, the supervisor, without its children."""
    memory = measure_own_memory()
    return Row(
        name=name,
        pid=os.getpid(),
        state=str(SupervisionState.RUNNING),
        restarts=0,
        uptime_seconds=uptime_seconds,
        url="",
        rss_bytes=memory.rss,
        pss_bytes=memory.pss,
    )


async def _row(process: SupervisedProcess) -> Row:
    server = process.server
    running = process.state is SupervisionState.RUNNING
    uptime = time.time() - process.started_at if running and process.started_at else None
    pid = server.pid
    memory = await asyncio.to_thread(measure_memory, pid) if pid is not None else None
    info = await _info(server) if running and isinstance(server, ServiceProcess) else {}
    return Row(
        name=process.name,
        pid=info.get("process_id", pid),
        state=str(process.state),
        restarts=process.restarts,
        uptime_seconds=info.get("uptime_seconds", uptime),
        url=strip_password(server.url),
        requests=info.get("requests"),
        errors=info.get("errors"),
        rss_bytes=memory.rss if memory else info.get("rss_bytes"),
        pss_bytes=memory.pss if memory else None,
        version=info.get("version"),
        health=await read_health(server) if running else None,
    )


async def read_health(server: Server) -> str | None:
    """Return whether a backing server responds; None for others, whose health has its own probe."""
    if not isinstance(server, EmbeddedServer) or isinstance(server, ServiceProcess):
        return None
    try:
        async with asyncio.timeout(_RESPONSE_TIMEOUT):
            return "ok" if await server.responds() else "silent"
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return "silent"


async def _info(server: ServiceProcess) -> dict[str, Any]:
    try:
        _, body = await get(server.url, "/info", within=_INFO_TIMEOUT)
        info = json.loads(body)
    except (OSError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}
