"""What `ps` shows: one row for each process, from the system and from the process itself."""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import asdict, dataclass
from typing import Any

from twelvefold_dev.servers.server import without_password
from twelvefold_dev.system.child_process import memory_of, own_memory
from twelvefold_dev.system.probe import get

from .service_process import ServiceProcess
from .supervised import SupervisedProcess, SupervisionState

_INFO_TIMEOUT = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Row:
    """One process. Bytes and seconds; None where nobody can tell."""

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


async def rows(processes: list[SupervisedProcess], supervisor: Row) -> list[dict[str, Any]]:
    found = await asyncio.gather(*(_row(one) for one in processes))
    return [asdict(row) for row in (*found, supervisor)]


def own_row(name: str, uptime_seconds: float) -> Row:
    """This process: the supervisor, without its children."""
    memory = own_memory()
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
    memory = await asyncio.to_thread(memory_of, pid) if pid is not None else None
    info = await _info(server) if running and isinstance(server, ServiceProcess) else {}
    return Row(
        name=process.name,
        pid=info.get("process_id", pid),
        state=str(process.state),
        restarts=process.restarts,
        uptime_seconds=info.get("uptime_seconds", uptime),
        url=without_password(server.url),
        requests=info.get("requests"),
        errors=info.get("errors"),
        rss_bytes=memory.rss if memory else info.get("rss_bytes"),
        pss_bytes=memory.pss if memory else None,
        version=info.get("version"),
    )


async def _info(server: ServiceProcess) -> dict[str, Any]:
    try:
        _, body = await get(server.url, "/info", within=_INFO_TIMEOUT)
        found = json.loads(body)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
