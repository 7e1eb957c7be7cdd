"""The processes of the stack and their health.

The supervisor reports state, memory and URLs over the control socket, and whether a backing server
responds; /readyz of each management port reports the health of a service.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twelvefold_dev.servers.server import StackError
from twelvefold_dev.supervisor.control import ask_async
from twelvefold_dev.system.probe import get

_ASK_TIMEOUT = 5.0  # seconds
_PROBE_TIMEOUT = 2.0  # seconds
_PROBE_INTERVAL = 30.0  # seconds; each probe makes the service call its dependencies
NOT_RELOADED = "not reloaded"
_Health = tuple[str | None, dict[str, str]]  # the status, and that of each backing service


class Processes:
    """The processes of the stack whose control socket is in the directory `run`."""

    def __init__(self, run: Path, services: frozenset[str]) -> None:
        self._run = run
        self._services = services
        self._probed: dict[int, tuple[float, _Health]] = {}  # by process id
        self.latest: list[dict[str, Any]] = []
        self.error: str | None = "the supervisor was not queried yet"

    async def poll(self, *, probing: bool = True) -> None:
        """Query the supervisor and update `latest`; sets `error` where it does not respond.

        With `probing`, also probe each service that was unhealthy or not probed for 30 seconds, and
        all of them while a backing server does not respond.
        """
        try:
            response = await ask_async(self._run, _ASK_TIMEOUT, command="ps")
        except StackError as error:
            self.error = str(error)
            return
        rows: list[dict[str, Any]] = response["processes"]
        rows.sort(
            key=lambda row: (not self._is_service(row), self._is_service(row) and row["name"])
        )
        silent = any(row.get("health") == "silent" for row in rows)
        results = await asyncio.gather(
            *(self._health(row, probing=probing, now=silent) for row in rows)
        )
        for row, (health, checks) in zip(rows, results, strict=True):
            row["checks"] = checks
            # A process of earlier code may be healthy.
            row["health"] = NOT_RELOADED if row.get("reload_error") else health
        self._probed = {
            pid: self._probed[pid] for row in rows if (pid := row["pid"]) in self._probed
        }
        self.latest, self.error = rows, None

    def of_services(self) -> list[dict[str, Any]]:
        """Return the rows of the services' processes, also of those that do not run."""
        return [row for row in self.latest if self._is_service(row)]

    def services(self) -> Sequence[tuple[str, str]]:
        """Return name and management URL of each running process of a service."""
        return [
            (row["name"], row["url"])
            for row in self.latest
            if self._is_service(row) and row["state"] == "running"
        ]

    def _is_service(self, row: dict[str, Any]) -> bool:
        return row["name"].partition(".")[0] in self._services

    async def _health(self, row: dict[str, Any], *, probing: bool, now: bool) -> _Health:
        """Return the health of a process: a service's own report, otherwise the supervisor's."""
        if not self._is_service(row) or row["state"] != "running":
            return row.get("health"), {}
        at, health = self._probed.get(row["pid"], (0.0, (None, {})))
        # An unhealthy process is probed at every poll.
        if probing and (now or health[0] != "ok" or time.monotonic() - at > _PROBE_INTERVAL):
            health = await _probe(row["url"])
            self._probed[row["pid"]] = time.monotonic(), health
        return health


async def _probe(url: str) -> _Health:
    try:
        _, body = await get(url, "/readyz", within=_PROBE_TIMEOUT)
        report = json.loads(body)
        checks = {str(key): str(value) for key, value in report["checks"].items()}
        return str(report["status"]), checks
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "silent", {}
