"""The queues: their depth by kind, their workers and the schedule of periodic jobs.

Reads the table of jobs, and /info of the services' processes, which says what queue they work on.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from twelvefold_dev.system.probe import get

from .jobs import Jobs

_INFO_TIMEOUT = 1.0  # seconds
# Ticks are counted from this time, as the workers do (twelvefold.jobs.worker.maintenance).
_ORIGIN = 946_684_800.0  # 2000-01-01T00:00:00Z, in seconds since the epoch
_DEPTH = """
SELECT queue, kind,
  count(*) FILTER (WHERE status IN ('queued', 'failed') AND run_at <= now()) AS due,
  count(*) FILTER (WHERE status IN ('queued', 'failed') AND run_at > now()) AS later,
  count(*) FILTER (WHERE status = 'failed') AS failed,
  count(*) FILTER (WHERE status = 'running') AS running,
  count(*) FILTER (WHERE status = 'dead') AS dead,
  extract(epoch FROM now() - min(run_at) FILTER (
    WHERE status IN ('queued', 'failed') AND run_at <= now()))::float8 AS oldest_due_seconds,
  min(run_at) FILTER (WHERE status IN ('queued', 'failed') AND run_at > now()) AS next_run
FROM jobs.jobs WHERE status IN ('queued', 'failed', 'running', 'dead')
GROUP BY queue, kind ORDER BY queue, kind
"""
_RUNNING = "SELECT worker, count(*) AS jobs FROM jobs.jobs WHERE status = 'running' GROUP BY worker"
_LAST_TICKS = """
SELECT kind, id, status, created_at FROM unnest($1::text[]) AS wanted (name)
CROSS JOIN LATERAL (
  SELECT kind, id, status, created_at FROM jobs.jobs WHERE kind = name
  ORDER BY created_at DESC LIMIT 1
) AS newest
"""


class Queues:
    """The queues of one stack.

    `slots` returns size and use of the slots of a process. `listening` are the services with other
    work than jobs: their processes are not stopped to pause a queue.
    """

    def __init__(
        self,
        jobs: Jobs,
        slots: Callable[[str], tuple[float | None, float | None]],
        listening: Collection[str],
    ) -> None:
        self._jobs = jobs
        self._slots = slots
        self._listening = listening
        self._infos: dict[str, dict[str, Any]] = {}  # the last of each process, also a stopped one

    async def read(self, processes: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return depth, workers and schedule. `processes` are those of the services.

        Raises JobsUnavailable.
        """
        await asyncio.gather(*(self._read_info(one) for one in processes))
        names = {one["name"] for one in processes}
        self._infos = {name: info for name, info in self._infos.items() if name in names}
        depth = [dict(row) for row in await self._jobs.fetch(_DEPTH)]
        running = {row["worker"]: row["jobs"] for row in await self._jobs.fetch(_RUNNING)}
        workers = [
            self._worker(process, self._infos[process["name"]], running)
            for process in processes
            if self._infos.get(process["name"], {}).get("queue")
        ]
        return {"depth": depth, "workers": workers, "schedule": await self._schedule(workers)}

    def pausable_workers(self, queue: str) -> list[str]:
        """Return the processes that only work on `queue`, as of the last `read`."""
        return [
            name
            for name, info in self._infos.items()
            if info.get("queue") == queue and self._is_pausable(name)
        ]

    def _is_pausable(self, process: str) -> bool:
        return process.partition(".")[0] not in self._listening

    def _worker(
        self, process: dict[str, Any], info: dict[str, Any], running: dict[str, int]
    ) -> dict[str, Any]:
        size, used = self._slots(process["name"])
        return {
            "process": process["name"],
            "state": process["state"],
            "queue": info["queue"],
            "pausable": self._is_pausable(process["name"]),
            "running": running.get(info.get("instance_id", ""), 0),
            "slots": size,
            "slots_used": used,
        }

    async def _schedule(self, workers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        entries = {
            (worker["queue"], job["kind"]): {**job, "queue": worker["queue"]}
            for worker in workers
            for job in self._infos[worker["process"]].get("periodic_jobs", ())
        }
        kinds = sorted({kind for _, kind in entries})
        last = {row["kind"]: row for row in await self._jobs.fetch(_LAST_TICKS, kinds)}
        return [
            {
                **entry,
                "next": next_tick(entry["every_seconds"], entry["at_seconds"], time.time()),
                "last": dict(last[kind]) if kind in last else None,
            }
            for (_, kind), entry in sorted(entries.items())
        ]

    async def _read_info(self, process: dict[str, Any]) -> None:
        if process["state"] != "running":
            return
        try:
            _, body = await get(process["url"], "/info", within=_INFO_TIMEOUT)
            info = json.loads(body)
        except (OSError, ValueError):
            return
        if isinstance(info, dict):
            self._infos[process["name"]] = info


def next_tick(every: float, at: float, now: float) -> datetime:
    """Return the first tick after `now` (seconds since the epoch) of a periodic job."""
    start = _ORIGIN + at
    passed = (now - start) // every
    return datetime.fromtimestamp(start + (passed + 1) * every, UTC)
